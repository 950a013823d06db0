//! Starts a server, when everything that it needs exists.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::engine::Engine;
use crate::iam::identity::Identity;
use crate::local::LocalCluster;
use crate::server::certificate::Certificates;
use crate::server::cluster::Cluster;
use crate::server::listener;
use crate::start_error::StartError;

/// Starts to accept connections.
pub(super) fn listen(
    cluster: Cluster,
    certificates: Certificates,
    admin: Identity,
    address: SocketAddr,
    engine: Arc<Engine>,
    peer: Option<Box<LocalCluster>>,
) -> Result<LocalCluster, StartError> {
    let cluster = Arc::new(cluster);
    let failed = |source| StartError::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // The listener must be registered with the engine's runtime, not with the caller's.
    let accepting = {
        let _runtime = engine.runtime().enter();
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        tokio::spawn(listener::listen(listener, cluster.clone())).abort_handle()
    };
    Ok(LocalCluster {
        cluster,
        certificates,
        admin,
        address,
        listener: accepting,
        peer,
        engine,
    })
}
