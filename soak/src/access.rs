//! How the workers connect to the cluster.

use std::iter;
use std::time::Duration;

use dsql_conn::Config;
use dsql_local::LocalCluster;

use crate::failure::Failure;

/// Returns the configuration, with short timeouts: an unresponsive connection never recovers in
/// this program.
///
/// # Errors
///
/// [`Failure::Setup`] if an endpoint is not valid.
pub fn config(cluster: &LocalCluster) -> Result<Config, Failure> {
    let config = Config::from_variables(cluster.variables()).map_err(Failure::setup)?;
    Ok(config
        .connect_timeout(Duration::from_secs(5))
        .max_lifetime(Duration::from_secs(30))
        .failover_after(Duration::from_millis(200)))
}

/// The Regions of a cluster, home first.
pub(crate) fn regions(cluster: &LocalCluster) -> impl Iterator<Item = &LocalCluster> {
    iter::once(cluster).chain(cluster.peer())
}
