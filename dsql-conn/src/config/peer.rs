//! Names the other Region of a multi-Region cluster.

use std::net::IpAddr;
use std::time::Duration;

use super::{Config, FOREVER};
use crate::endpoint::Endpoint;
use crate::error::ConfigError;

/// The endpoint of a multi-Region cluster in its other Region.
///
/// User, database, credentials and TLS are those of the [`Config`]. Tokens are signed for the
/// Region that the connection goes to.
///
/// ```
/// use dsql_conn::{Config, Peer};
///
/// let home = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws".parse()?;
/// let peer = "zyxwvutsrqponmlkjihgfedc32.dsql.us-east-2.on.aws".parse()?;
/// let config = Config::new(home).peer(Peer::new(peer))?;
/// # Ok::<(), dsql_conn::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    endpoint: Endpoint,
    address: Option<IpAddr>,
    port: Option<u16>,
}

impl Peer {
    /// Starts from the defaults that the setters state.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            address: None,
            port: None,
        }
    }

    /// Connects to this IP address instead of looking up the endpoint's name. Defaults to none.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Sets the TCP port. Defaults to the port of the [`Config`].
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }
}

impl Config {
    /// Names the cluster's endpoint in its other Region, for a [multi-Region cluster](
    /// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/multi-region-clusters.html).
    /// Defaults to none.
    ///
    /// New connections go to the [`endpoint`](Self::endpoint), the home Region. If it cannot be
    /// reached, or has not answered within [`failover_after`](Self::failover_after), the peer is
    /// dialed as well, and the connection that is ready first is used. While the peer serves, the
    /// home Region is tried in the background every few seconds. When it answers, new connections
    /// go there, and connections to the peer are replaced at their checkouts, spread over a minute.
    ///
    /// A refusal of the login, such as "access denied", is returned and not tried elsewhere.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] if the peer is in the same Region. This method cannot check that both
    /// belong to one cluster.
    pub fn peer(mut self, peer: Peer) -> Result<Self, ConfigError> {
        if peer.endpoint.region() == self.endpoint.region() {
            return Err(ConfigError::value(
                "peer",
                peer.endpoint.host(),
                "the endpoint of the same cluster in another Region",
            ));
        }
        self.peer = Some(peer);
        Ok(self)
    }

    /// Sets how long the home Region may take before the [`peer`](Self::peer) is dialed as well.
    /// Defaults to 1 second.
    #[must_use]
    pub fn failover_after(mut self, time: Duration) -> Self {
        self.failover_after = time.min(FOREVER);
        self
    }

    /// Returns the configuration for the other Region.
    pub(crate) fn at_peer(&self) -> Option<Self> {
        let peer = self.peer.as_ref()?;
        Some(Self {
            endpoint: peer.endpoint.clone(),
            address: peer.address,
            port: peer.port.unwrap_or(self.port),
            peer: None,
            ..self.clone()
        })
    }
}
