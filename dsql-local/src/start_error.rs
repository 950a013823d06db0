//! Why a cluster did not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::engine::EngineError;

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The port is in use, or requires privileges.
    #[error("could not listen on {address}: {source}; choose another port, or 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The ID is not valid.
    #[error("\"{id}\" is not a cluster ID; use 26 lower-case letters and digits")]
    Id {
        /// The ID.
        id: String,
    },
    /// The peer is in the Region of the cluster itself.
    #[error("the peer Region is {region}, as the cluster's own; choose another one")]
    PeerRegion {
        /// The Region.
        region: String,
    },
    /// The data folder belongs to another cluster.
    #[error(
        "the data folder belongs to {kept}, not to {asked}; \
         leave the option out, or use another folder"
    )]
    OtherCluster {
        /// The ID or Region of the folder.
        kept: String,
        /// The requested ID or Region.
        asked: String,
    },
    /// The names and keys in the data folder cannot be read or written.
    #[error("could not use cluster.json in {}: {source}", .folder.display())]
    Saved {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file with the certificate authority cannot be written.
    #[error("could not write {}: {source}", .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The [`migrations`](crate::Builder::migrations) could not be applied.
    #[error("{}", .0.chain())]
    Migrations(#[from] dsql_migrate::Error),
    /// The certificate could not be issued: the Region does not make a valid host name.
    #[error("could not issue a certificate for this Region: {0}")]
    Certificate(#[from] rcgen::Error),
}
