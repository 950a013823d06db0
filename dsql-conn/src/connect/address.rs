//! Reaches a host by the first of its addresses that answers.
//!
//! The service's endpoints have IPv4 and IPv6 addresses. A network without IPv6 may refuse at once
//! or never reply. So addresses are tried as [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305)
//! says: the families alternate, and each attempt begins 250 ms after the one before, or as soon as
//! that one failed.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Why no address could be reached.
#[derive(Debug)]
pub(super) struct Unreached {
    /// `None` if there is no address.
    pub(super) address: Option<SocketAddr>,
    pub(super) error: io::Error,
}

/// Connects to one of these addresses. Returns the error of the first address, not of the last: the
/// others mostly fail because the network has no route to them.
pub(super) async fn connect(addresses: Vec<SocketAddr>) -> Result<TcpStream, Unreached> {
    let mut waiting = VecDeque::from(families_in_turn(addresses));
    let mut under_way = FuturesUnordered::new();
    let mut first_error = None;
    loop {
        if let Some(address) = waiting.pop_front() {
            under_way.push(async move {
                let stream = TcpStream::connect(address).await;
                let tuned = stream.and_then(|stream| tune(&stream).map(|()| stream));
                tuned.map_err(|error| Unreached {
                    address: Some(address),
                    error,
                })
            });
        }
        if under_way.is_empty() {
            return Err(first_error.unwrap_or_else(|| Unreached {
                address: None,
                error: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
            }));
        }
        tokio::select! {
            Some(connected) = under_way.next() => match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            },
            () = sleep(CONNECTION_ATTEMPT_DELAY), if !waiting.is_empty() => {}
        }
    }
}

/// Disables delayed sending, and makes the system detect an unresponsive peer: a statement that
/// waits for its reply has no deadline of its own.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    // While sent bytes are not acknowledged, the system sends no keepalive probes.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(60)))?;
    Ok(())
}

/// Orders addresses so that the two families alternate, starting with the family of the first.
fn families_in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    while let Some(address) = first.pop_front().or_else(|| second.pop_front()) {
        ordered.push(address);
        ordered.extend(second.pop_front());
    }
    ordered
}

/// RFC 8305, section 8.
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn families_alternate() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let given = ["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:1", "1.1.1.1:2"].map(address);
        let expected = ["[::1]:1", "1.1.1.1:1", "[::1]:2", "1.1.1.1:2", "[::1]:3"].map(address);
        assert_eq!(families_in_turn(given.to_vec()), expected);
        assert!(families_in_turn(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_skipped() {
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = refusing.local_addr().unwrap();
        drop(refusing);
        let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listening.local_addr().unwrap();

        let stream = connect(vec![refused, address]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());

        let Unreached { address, error } = connect(vec![refused]).await.unwrap_err();
        assert_eq!(address, Some(refused));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let Unreached { address, error } = connect(Vec::new()).await.unwrap_err();
        assert_eq!(address, None);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
