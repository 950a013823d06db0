//! The bank: accounts, a ledger, and the statements of one transfer.

use dsql_conn::tokio_postgres::types::ToSql;
use dsql_conn::tokio_postgres::{self};
use dsql_conn::{Connection, Error, Outcomes};
use dsql_local::LocalCluster;
use tokio::try_join;

/// The outcome table of the workers.
pub const OUTCOMES: Outcomes = Outcomes::table("outcomes");

/// A transfer of money between two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// The transfer's unique number.
    pub id: i64,
    /// The account to debit.
    pub from: i64,
    /// The account to credit; never the same.
    pub to: i64,
    /// The amount.
    pub amount: i64,
}

/// The accounts at the start: their number, counted from 1, and the balance of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The number of accounts.
    pub accounts: i64,
    /// The balance of each.
    pub balance: i64,
}

/// What the database holds at the end of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// The ledger: one row each time a transfer was applied.
    pub ledger: Vec<Transfer>,
    /// The accounts and their balances.
    pub balances: Vec<(i64, i64)>,
}

impl Opening {
    /// Creates the tables and opens the accounts.
    ///
    /// # Errors
    ///
    /// The cluster's error.
    pub async fn write(&self, connection: &Connection) -> Result<(), Error> {
        for statement in SCHEMA {
            connection.batch_execute(statement).await?;
        }
        connection.batch_execute(&OUTCOMES.create_table()).await?;
        for first in (1..=self.accounts).step_by(ROWS_AT_ONCE) {
            let last = self.accounts.min(first + ROWS_AT_ONCE as i64 - 1);
            let open =
                "INSERT INTO account SELECT id, $3 FROM generate_series($1::bigint, $2) AS id";
            connection
                .execute(open, &[&first, &last, &self.balance])
                .await?;
        }
        Ok(())
    }
}

impl Books {
    /// Reads the final state directly from the engine, without the tested path.
    ///
    /// # Errors
    ///
    /// PostgreSQL's error.
    pub async fn read(cluster: &LocalCluster) -> Result<Self, tokio_postgres::Error> {
        let ledger = numbers(
            cluster,
            "SELECT transfer, debited, credited, amount FROM ledger",
        );
        let balances = numbers(cluster, "SELECT id, balance FROM account");
        let (ledger, balances) = try_join!(ledger, balances)?;
        Ok(Self {
            ledger: ledger
                .into_iter()
                .map(|[id, from, to, amount]| Transfer {
                    id,
                    from,
                    to,
                    amount,
                })
                .collect(),
            balances: balances
                .into_iter()
                .map(|[id, balance]| (id, balance))
                .collect(),
        })
    }
}

impl Transfer {
    /// Moves the money and adds a ledger row, one statement after the other.
    ///
    /// The client computes the new balances, so a statement that runs outside its transaction
    /// changes the sums.
    ///
    /// # Errors
    ///
    /// That of the first statement that failed.
    pub async fn book(&self, connection: &Connection) -> Result<(), Error> {
        let from = balance(connection, self.from).await?;
        let to = balance(connection, self.to).await?;
        set_balance(connection, self.from, from - self.amount).await?;
        set_balance(connection, self.to, to + self.amount).await?;
        self.record(connection).await
    }

    /// Like [`book`](Self::book), with as many concurrent statements as possible. When one fails,
    /// the others are cancelled.
    ///
    /// # Errors
    ///
    /// That of the first statement that failed.
    pub async fn book_at_once(&self, connection: &Connection) -> Result<(), Error> {
        let (from, to) = try_join!(balance(connection, self.from), balance(connection, self.to))?;
        try_join!(
            set_balance(connection, self.from, from - self.amount),
            set_balance(connection, self.to, to + self.amount),
            self.record(connection),
        )?;
        Ok(())
    }

    /// Like [`book`](Self::book), unless the transfer was applied before: safe to repeat.
    ///
    /// # Errors
    ///
    /// That of the first statement that failed.
    pub async fn book_once(&self, connection: &Connection) -> Result<(), Error> {
        match connection.execute(CLAIM, &[&self.id]).await? {
            0 => Ok(()),
            _ => self.book(connection).await,
        }
    }

    /// Like [`book`](Self::book), and fails if the transfer was applied before.
    ///
    /// # Errors
    ///
    /// That of the first statement that failed.
    pub async fn book_first(&self, connection: &Connection) -> Result<(), Error> {
        connection.execute(CLAIM_FIRST, &[&self.id]).await?;
        self.book(connection).await
    }

    /// Adds a ledger row without moving money.
    ///
    /// # Errors
    ///
    /// The statement's error.
    pub async fn record(&self, connection: &Connection) -> Result<(), Error> {
        let row: [&(dyn ToSql + Sync); 4] = [&self.id, &self.from, &self.to, &self.amount];
        connection.execute(RECORD, &row).await?;
        Ok(())
    }
}

async fn balance(connection: &Connection, account: i64) -> Result<i64, Error> {
    Ok(connection.query_one(BALANCE, &[&account]).await?.get(0))
}

async fn set_balance(connection: &Connection, account: i64, balance: i64) -> Result<(), Error> {
    connection
        .execute(SET_BALANCE, &[&account, &balance])
        .await?;
    Ok(())
}

async fn numbers<const COLUMNS: usize>(
    cluster: &LocalCluster,
    sql: &str,
) -> Result<Vec<[i64; COLUMNS]>, tokio_postgres::Error> {
    let rows = cluster.query(sql).await?;
    let number = |text: Option<String>| {
        text.and_then(|text| text.parse().ok())
            .expect("every column of the bank is a bigint and not null")
    };
    let row = |row: Vec<Option<String>>| {
        let mut columns = row.into_iter();
        std::array::from_fn(|_| number(columns.next().flatten()))
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Reads an account's balance.
pub const BALANCE: &str = "SELECT balance FROM account WHERE id = $1";
/// Sets an account's balance.
pub const SET_BALANCE: &str = "UPDATE account SET balance = $2 WHERE id = $1";
/// Adds a ledger row. The ledger accepts the same transfer any number of times.
pub const RECORD: &str =
    "INSERT INTO ledger (transfer, debited, credited, amount) VALUES ($1, $2, $3, $4)";
/// Claims a transfer's number. Only the first claim changes a row.
const CLAIM: &str = "INSERT INTO claim (transfer) VALUES ($1) ON CONFLICT DO NOTHING";
const CLAIM_FIRST: &str = "INSERT INTO claim (transfer) VALUES ($1)";
/// Fails: the word exists.
pub const COLLIDE: &str = "INSERT INTO word (word) VALUES ('taken')";

/// The ledger has no primary key on purpose: rows written twice must be visible.
const SCHEMA: [&str; 6] = [
    "CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL)",
    "CREATE TABLE ledger (transfer bigint NOT NULL, debited bigint NOT NULL, \
     credited bigint NOT NULL, amount bigint NOT NULL)",
    "CREATE TABLE claim (transfer bigint PRIMARY KEY)",
    "CREATE TABLE list (key bigint PRIMARY KEY, items text NOT NULL)",
    "CREATE TABLE word (word text PRIMARY KEY)",
    COLLIDE,
];

/// Below the service's limit of 3,000 changed rows per transaction.
const ROWS_AT_ONCE: usize = 1_000;
