//! The bank: accounts, a ledger, and the statements of one transfer.

use dsql_conn::tokio_postgres::types::ToSql;
use dsql_conn::tokio_postgres::{self};
use dsql_conn::{Connection, Error};
use dsql_local::LocalCluster;
use tokio::try_join;

/// Money that goes from one account to another, under a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// The number, which no other transfer has.
    pub id: i64,
    /// The account debited.
    pub from: i64,
    /// The account credited, another one.
    pub to: i64,
    /// How much.
    pub amount: i64,
}

/// How a bank opens: accounts with the numbers from 1 on, with as much on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// How many accounts.
    pub accounts: i64,
    /// What is on each.
    pub balance: i64,
}

/// What is written, once everything has come to rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// A row for each time that a transfer was applied.
    pub ledger: Vec<Transfer>,
    /// Accounts and what is on them.
    pub balances: Vec<(i64, i64)>,
}

impl Opening {
    /// Creates the tables and opens the accounts.
    ///
    /// # Errors
    ///
    /// What the cluster said.
    pub async fn write(&self, connection: &Connection) -> Result<(), Error> {
        for statement in SCHEMA {
            connection.batch_execute(statement).await?;
        }
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
    /// Reads the books past everything that was tested.
    ///
    /// # Errors
    ///
    /// What PostgreSQL said.
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
    /// Moves the money and enters it in the ledger, one statement after the other.
    ///
    /// The new balances are computed here: a statement that runs outside of its transaction shows
    /// in the sums.
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

    /// Does what [`book`](Self::book) does, with as many statements under way at once as can be.
    /// When one fails, the others are given up where they are.
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

    /// Does what [`book`](Self::book) does, unless that was done before: may be run as often as one
    /// likes.
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

    /// Does what [`book`](Self::book) does, and fails if that was done before.
    ///
    /// # Errors
    ///
    /// That of the first statement that failed.
    pub async fn book_first(&self, connection: &Connection) -> Result<(), Error> {
        connection.execute(CLAIM_FIRST, &[&self.id]).await?;
        self.book(connection).await
    }

    /// Enters it in the ledger, and moves no money.
    ///
    /// # Errors
    ///
    /// That of the statement.
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

/// What is on an account.
pub const BALANCE: &str = "SELECT balance FROM account WHERE id = $1";
/// Puts so much on an account.
pub const SET_BALANCE: &str = "UPDATE account SET balance = $2 WHERE id = $1";
/// Enters a transfer in the ledger, which takes it as often as it comes.
pub const RECORD: &str =
    "INSERT INTO ledger (transfer, debited, credited, amount) VALUES ($1, $2, $3, $4)";
/// Claims a transfer's number: changes a row for the first who does.
const CLAIM: &str = "INSERT INTO claim (transfer) VALUES ($1) ON CONFLICT DO NOTHING";
const CLAIM_FIRST: &str = "INSERT INTO claim (transfer) VALUES ($1)";
/// Fails: the word is taken.
pub const COLLIDE: &str = "INSERT INTO word (word) VALUES ('taken')";

/// The ledger has no key on purpose: what is written twice must be there to be seen.
const SCHEMA: [&str; 5] = [
    "CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL)",
    "CREATE TABLE ledger (transfer bigint NOT NULL, debited bigint NOT NULL, \
     credited bigint NOT NULL, amount bigint NOT NULL)",
    "CREATE TABLE claim (transfer bigint PRIMARY KEY)",
    "CREATE TABLE word (word text PRIMARY KEY)",
    COLLIDE,
];

/// Well below the 3,000 rows that a transaction may change.
const ROWS_AT_ONCE: usize = 1_000;
