//! The cluster's log: counters, and one record per connection. All modules of `server` write to it;
//! tests read snapshots.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::HandshakeKind;

use crate::protocol::ending::Ending;
use crate::refusal::Refusal;

/// A snapshot of what a cluster counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Sockets accepted.
    pub accepted: u64,
    /// Sockets open now.
    pub open: u64,
    /// Connections to the engine open now.
    pub backends: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Full TLS handshakes.
    pub tls_full: u64,
    /// TLS handshakes that resumed a session.
    pub tls_resumed: u64,
    /// Full TLS handshakes with another round trip to agree on a key share.
    pub tls_hello_retry: u64,
    /// Connections that used direct TLS.
    pub direct: u64,
    /// Connections that sent an SSLRequest.
    pub ssl_request: u64,
    /// Statements run: simple queries and executes.
    pub statements: u64,
    /// Cancel requests, all ignored.
    pub cancel_requests: u64,
    /// Sockets closed by [`cut_all`](crate::LocalCluster::cut_all).
    pub cut: u64,
    /// Sockets closed by [`reset_all`](crate::LocalCluster::reset_all).
    pub reset: u64,
    /// Sockets that stopped responding by [`black_hole_all`](crate::LocalCluster::black_hole_all).
    pub black_holed: u64,
    /// Sessions closed at their maximum age.
    pub expired: u64,
    refusals: Vec<(Refusal, u64)>,
}

impl Counts {
    /// Writes the counters as a JSON object.
    pub(crate) fn to_json(&self) -> String {
        let Self {
            accepted,
            open,
            backends,
            logins,
            tls_full,
            tls_resumed,
            tls_hello_retry,
            direct,
            ssl_request,
            statements,
            cancel_requests,
            cut,
            reset,
            black_holed,
            expired,
            refusals,
        } = self;
        let refused: u64 = refusals.iter().map(|(_, times)| times).sum();
        serde_json::json!({
            "accepted": accepted,
            "open": open,
            "backends": backends,
            "logins": logins,
            "tls_full": tls_full,
            "tls_resumed": tls_resumed,
            "tls_hello_retry": tls_hello_retry,
            "direct": direct,
            "ssl_request": ssl_request,
            "statements": statements,
            "cancel_requests": cancel_requests,
            "cut": cut,
            "reset": reset,
            "black_holed": black_holed,
            "expired": expired,
            "refused": refused,
        })
        .to_string()
    }

    /// Returns how many refusals that `matches` accepts were sent to clients.
    pub fn refused(&self, matches: impl Fn(&Refusal) -> bool) -> u64 {
        self.refusals
            .iter()
            .filter(|(refusal, _)| matches(refusal))
            .map(|(_, times)| times)
            .sum()
    }
}

/// What one connection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLog {
    /// The server name in the TLS hello.
    pub sni: Option<String>,
    /// The ALPN protocol that TLS agreed on.
    pub alpn: Option<String>,
    /// The user of the startup packet.
    pub user: Option<String>,
    /// The application name of the startup packet.
    pub application_name: Option<String>,
    /// Whether the client sent its password before the server requested it.
    pub early_password: bool,
    /// The current state, or how the connection ended.
    pub outcome: Outcome,
    /// The tags of the client's frames after the login. A flight ends with a frame that
    /// `ReadyForQuery` answers (`S`, `Q`, `F`): `"Q"`, `"PDS"`, `"BES"`, `"CS"`, and `"X"` for
    /// Terminate. A run of `d` (copy data) counts once. At most 10,000 flights are kept.
    pub flights: Vec<String>,
    /// How many flights began before the previous one was answered.
    pub pipelined: usize,
}

/// The state of a connection, or how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Not logged in yet.
    #[default]
    LoggingIn,
    /// Logged in.
    Open,
    /// Closed by the client, with or without Terminate.
    Closed,
    /// Ended by a refusal.
    Refused(Refusal),
    /// Ended because the TLS handshake failed.
    TlsFailed(String),
    /// Ended because the login took too long.
    LoginTimedOut,
    /// Ended by a fault, or because the cluster was dropped.
    Cut,
    /// Ended at the session's maximum age.
    Expired,
    /// Ended by a network error or a protocol violation.
    Failed(String),
}

impl From<&Ending> for Outcome {
    fn from(ending: &Ending) -> Self {
        match ending {
            Ending::Closed => Self::Closed,
            Ending::Refused(refusal) => Self::Refused(refusal.clone()),
            Ending::Cut | Ending::Reset | Ending::Stalled | Ending::Garbage => Self::Cut,
            Ending::Expired => Self::Expired,
            Ending::TlsFailed(error) => Self::TlsFailed(error.to_string()),
            Ending::LoginTimedOut => Self::LoginTimedOut,
            Ending::Failed(error) => Self::Failed(error.to_string()),
            Ending::Malformed(error) => Self::Failed(error.to_string()),
            Ending::EngineClosed => Self::Failed("the engine closed the connection".to_owned()),
        }
    }
}

/// The log that every connection writes to.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    counts: Counts,
    connections: Vec<ConnectionLog>,
}

impl Log {
    pub(crate) fn counts(&self) -> Counts {
        self.records().counts.clone()
    }

    pub(crate) fn connections(&self) -> Vec<ConnectionLog> {
        self.records().connections.clone()
    }

    /// Counts an accepted connection and starts its record.
    pub(crate) fn accepted(self: &Arc<Self>) -> Recorder {
        let mut records = self.records();
        records.counts.accepted += 1;
        records.counts.open += 1;
        // Bounds the memory of a long run: further connections are only counted.
        let index = (records.connections.len() < MOST_CONNECTIONS).then(|| {
            records.connections.push(ConnectionLog::default());
            records.connections.len() - 1
        });
        Recorder {
            log: self.clone(),
            index,
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records what one connection does. Dropped after the connection's socket closed.
#[derive(Debug)]
pub(crate) struct Recorder {
    log: Arc<Log>,
    index: Option<usize>,
}

impl Recorder {
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.log.records().counts);
    }

    pub(crate) fn log(&self, change: impl FnOnce(&mut ConnectionLog)) {
        if let Some(index) = self.index {
            change(&mut self.log.records().connections[index]);
        }
    }

    pub(crate) fn tls(&self, sni: Option<&str>, alpn: Option<&[u8]>, kind: Option<HandshakeKind>) {
        self.count(|counts| match kind {
            Some(HandshakeKind::Resumed) => counts.tls_resumed += 1,
            Some(HandshakeKind::FullWithHelloRetryRequest) => counts.tls_hello_retry += 1,
            _ => counts.tls_full += 1,
        });
        self.log(|log| {
            log.sni = sni.map(str::to_owned);
            log.alpn = alpn.map(|alpn| String::from_utf8_lossy(alpn).into_owned());
        });
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.count(|counts| {
            match counts
                .refusals
                .iter_mut()
                .find(|(known, _)| known == refusal)
            {
                Some((_, times)) => *times += 1,
                None => counts.refusals.push((refusal.clone(), 1)),
            }
        });
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        self.log(|log| log.outcome = outcome);
    }

    pub(crate) fn flight(&self, flight: &str, pipelined: bool) {
        self.log(|log| {
            if log.flights.len() < MOST_FLIGHTS {
                log.flights.push(flight.to_owned());
            }
            log.pipelined += usize::from(pipelined);
        });
    }

    /// Counts a backend until the guard is dropped.
    pub(crate) fn backend(&self) -> BackendCount {
        self.count(|counts| counts.backends += 1);
        BackendCount {
            log: self.log.clone(),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.count(|counts| counts.open -= 1);
    }
}

/// Counts an open backend.
#[derive(Debug)]
pub(crate) struct BackendCount {
    log: Arc<Log>,
}

impl Drop for BackendCount {
    fn drop(&mut self) {
        self.log.records().counts.backends -= 1;
    }
}

const MOST_CONNECTIONS: usize = 100_000;
const MOST_FLIGHTS: usize = 10_000;
