//! How the workers connect to the cluster.

use std::iter;
use std::time::Duration;

use aws_credential_types::Credentials;
use dsql_conn::{Config, Peer};
use dsql_local::LocalCluster;

use crate::failure::Failure;

/// The configuration, with short timeouts: a silent connection never recovers here.
///
/// # Errors
///
/// [`Failure::Setup`] if an endpoint is not valid.
pub fn config(cluster: &LocalCluster) -> Result<Config, Failure> {
    let endpoint = cluster.endpoint().parse().map_err(Failure::setup)?;
    let admin = cluster.admin();
    let credentials = Credentials::new(
        admin.access_key_id(),
        admin.secret_access_key(),
        admin.session_token().map(str::to_owned),
        None,
        "soak",
    );
    let config = Config::new(endpoint)
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .root_certificates([cluster.ca_der().clone()])
        .map_err(Failure::setup)?
        .credentials(credentials)
        .connect_timeout(Duration::from_secs(5))
        .max_lifetime(Duration::from_secs(30));
    let Some(peer) = cluster.peer() else {
        return Ok(config);
    };
    let address = peer.address();
    let peer = Peer::new(peer.endpoint().parse().map_err(Failure::setup)?)
        .address(address.ip())
        .port(address.port());
    let config = config.peer(peer).map_err(Failure::setup)?;
    Ok(config.failover_after(Duration::from_millis(200)))
}

/// The Regions of a cluster, home first.
pub(crate) fn regions(cluster: &LocalCluster) -> impl Iterator<Item = &LocalCluster> {
    iter::once(cluster).chain(cluster.peer())
}
