//! The code of the guide's pages, compiled as it is printed, and run against a local cluster where
//! it starts one. [`cluster`] starts one for the tests of other packages.

use std::error::Error;

use dsql_conn::Config;
use dsql_local::LocalCluster;

/// Starts a cluster for one test, and returns it with the configuration of its administrator.
///
/// # Errors
///
/// Those of [`LocalCluster::start`].
///
/// # Cancel safety
///
/// Dropping the future stops what was started.
pub async fn cluster() -> Result<(LocalCluster, Config), Box<dyn Error>> {
    let cluster = LocalCluster::start().await?;
    let config = Config::from_variables(cluster.variables())?;
    Ok((cluster, config))
}

/// The pages with code; `tests/pages.rs` checks that none is missing.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("batches.md")]
    struct BatchesPage;
    #[doc = include_str!("bb8-and-deadpool.md")]
    struct Bb8AndDeadpool;
    #[doc = include_str!("cancellation.md")]
    struct Cancellation;
    #[doc = include_str!("credentials.md")]
    struct CredentialsPage;
    #[doc = include_str!("from-bb8-postgres.md")]
    struct FromBb8Postgres;
    #[doc = include_str!("from-sqlx.md")]
    struct FromSqlx;
    #[doc = include_str!("from-typeorm.md")]
    struct FromTypeorm;
    #[doc = include_str!("lambda.md")]
    struct Lambda;
    #[doc = include_str!("migrations.md")]
    struct Migrations;
    #[doc = include_str!("network.md")]
    struct Network;
    #[doc = include_str!("observability.md")]
    struct Observability;
    #[doc = include_str!("servers.md")]
    struct Servers;
    #[doc = include_str!("start.md")]
    struct Start;
    #[doc = include_str!("testing.md")]
    struct Testing;
    #[doc = include_str!("transactions.md")]
    struct Transactions;
}
