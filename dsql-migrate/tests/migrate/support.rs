//! Migrations of every kind, and their results.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use dsql_local::{LocalCluster, ScriptError};
use dsql_migrate::tokio_postgres::Client;
use dsql_migrate::{Connect, Migrations, Migrator, Outcome, Progress, Report};

/// Statements of every kind. The numbers tell whether each ran once.
pub(crate) const SHOP: &[(&str, &str)] = &[
    (
        "0001_items.sql",
        "CREATE SCHEMA IF NOT EXISTS shop;
         CREATE TABLE IF NOT EXISTS shop.item (id int PRIMARY KEY, name text, price int);",
    ),
    (
        "0002_rows.sql",
        "INSERT INTO shop.item VALUES (1, 'a', 1), (2, 'b', 2);
         UPDATE shop.item SET price = price + 10;
         ALTER TABLE shop.item ADD COLUMN IF NOT EXISTS weight int;",
    ),
    (
        "0003_indexes.sql",
        "CREATE INDEX ASYNC IF NOT EXISTS item_name ON shop.item (name);
         CREATE UNIQUE INDEX ASYNC IF NOT EXISTS item_price ON shop.item (price);
         ALTER TABLE shop.item ADD CONSTRAINT positive CHECK (price > 0) NOT VALID;
         ALTER TABLE ASYNC shop.item VALIDATE CONSTRAINT positive;",
    ),
    (
        "0004_seller.sql",
        "CREATE ROLE seller WITH LOGIN;
         AWS IAM GRANT seller TO 'arn:aws:iam::111122223333:role/seller';
         GRANT USAGE ON SCHEMA shop TO seller;",
    ),
    (
        "0005_products.sql",
        "ALTER TABLE shop.item RENAME COLUMN name TO title;
         ALTER TABLE IF EXISTS shop.item RENAME TO product;
         CREATE OR REPLACE VIEW shop.cheap AS SELECT id FROM shop.product WHERE price < 12;
         DROP INDEX IF EXISTS shop.item_name;
         UPDATE shop.product SET price = price * 2;",
    ),
];

/// The number of statements in [`SHOP`].
pub(crate) const STATEMENTS: usize = 17;

pub(crate) fn migrations(files: &[(&str, &str)]) -> Migrations {
    Migrations::parse(files.iter().copied()).unwrap()
}

pub(crate) fn shop() -> Migrator {
    Migrator::new(migrations(SHOP))
}

pub(crate) async fn cluster() -> Arc<LocalCluster> {
    let cluster = LocalCluster::start().await;
    Arc::new(cluster.expect("the tests need a PostgreSQL on this machine"))
}

/// Returns the results of [`SHOP`], and how many statements are recorded.
pub(crate) async fn left(cluster: &LocalCluster) -> Vec<String> {
    let query = "SELECT 'table ' || string_agg(relname, ' ' ORDER BY relname)
         FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = 'shop' AND relkind IN ('r', 'v')
         UNION ALL SELECT 'columns ' || string_agg(attname, ' ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = 'shop.product'::regclass AND attnum > 0
         UNION ALL SELECT 'index ' || indexrelid::regclass || ' ' || indisvalid
         FROM pg_index WHERE indrelid = 'shop.product'::regclass
         UNION ALL SELECT 'constraint ' || conname || ' ' || convalidated
         FROM pg_constraint WHERE conrelid = 'shop.product'::regclass
         UNION ALL SELECT 'role ' || pg_role_name || ' ' || arn FROM sys.iam_pg_role_mappings
         UNION ALL SELECT 'usage ' || has_schema_privilege('seller', 'shop', 'USAGE')
         UNION ALL SELECT 'row ' || product.*::text FROM shop.product
         UNION ALL SELECT 'records ' || count(*) FROM dsql_migrations";
    let mut rows: Vec<_> = cluster.query(query).await.unwrap();
    rows.sort();
    rows.into_iter().flatten().flatten().collect()
}

/// Returns what [`left`] must return.
pub(crate) fn expected() -> Vec<String> {
    let expected = [
        "columns id title price weight",
        "constraint item_pkey true",
        "constraint positive true",
        "index shop.item_pkey true",
        "index shop.item_price true",
        "records 17",
        "role seller arn:aws:iam::111122223333:role/seller",
        "row (1,a,22,)",
        "row (2,b,24,)",
        "table cheap product",
        "usage true",
    ];
    expected.map(str::to_owned).to_vec()
}

/// Removes the results of [`SHOP`], even if only some of them exist.
pub(crate) async fn clean(cluster: &LocalCluster) {
    let run = async |sql: &str| cluster.query(sql).await;
    run("DROP SCHEMA IF EXISTS shop CASCADE; DROP TABLE IF EXISTS dsql_migrations")
        .await
        .unwrap();
    let (client, arn) = (
        Connect::connect(&cluster).await.unwrap(),
        "arn:aws:iam::111122223333:role/seller",
    );
    // Each statement fails if its object does not exist.
    let revoke = format!("AWS IAM REVOKE seller FROM '{arn}'");
    let _ = client.batch_execute(&revoke).await;
    let _ = client.batch_execute("DROP ROLE seller").await;
    let roles = run("SELECT FROM pg_roles WHERE rolname = 'seller'").await;
    assert!(roles.unwrap().is_empty());
}

/// Returns how many statements a run applied.
pub(crate) fn applied(report: &Report) -> usize {
    let steps = report.steps.iter();
    steps
        .filter(|step| step.outcome == Outcome::Applied)
        .count()
}

/// Opens one connection and no second one, like a process that dies with its connection.
pub(crate) struct Mortal {
    cluster: Arc<LocalCluster>,
    lived: AtomicBool,
}

impl Mortal {
    pub(crate) fn new(cluster: &Arc<LocalCluster>) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            lived: AtomicBool::new(false),
        }
    }
}

impl Connect for Mortal {
    type Session = Client;
    type Error = ScriptError;

    async fn connect(&self) -> Result<Client, ScriptError> {
        match self.lived.swap(true, Ordering::Relaxed) {
            true => Err(ScriptError::Connect("it was killed".to_owned())),
            false => Connect::connect(&&*self.cluster).await,
        }
    }
}

/// The steps that a migrator reported.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<Progress>>>);

impl Told {
    pub(crate) fn observer(&self) -> impl Fn(&Progress) + Send + Sync + 'static {
        let told = self.clone();
        move |progress| told.0.lock().unwrap().push(progress.clone())
    }

    pub(crate) fn all(&self) -> Vec<Progress> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.all().iter().map(ToString::to_string).collect()
    }
}
