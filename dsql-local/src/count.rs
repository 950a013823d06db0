//! What the cluster saw: counters, and one log entry per connection.
//! Everything from `front` on writes here; tests read snapshots.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::HandshakeKind;

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
    /// Handshakes from scratch.
    pub tls_full: u64,
    /// Handshakes from a ticket.
    pub tls_resumed: u64,
    /// Handshakes from scratch that took another round trip to agree on a key share.
    pub tls_hello_retry: u64,
    /// Connections that began with the TLS hello.
    pub direct: u64,
    /// Connections that asked for TLS first.
    pub ssl_request: u64,
    /// Statements run: simple queries and executes.
    pub statements: u64,
    /// Cancel requests, all ignored.
    pub cancel_requests: u64,
    /// Sockets closed by [`cut_all`](crate::LocalCluster::cut_all).
    pub cut: u64,
    /// Sockets closed by [`reset_all`](crate::LocalCluster::reset_all).
    pub reset: u64,
    /// Sockets silenced by [`black_hole_all`](crate::LocalCluster::black_hole_all).
    pub black_holed: u64,
    /// Sessions closed because they had grown too old.
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

    /// Returns how many times clients were told a refusal that `is_it` accepts.
    pub fn refused(&self, is_it: impl Fn(&Refusal) -> bool) -> u64 {
        self.refusals
            .iter()
            .filter(|(refusal, _)| is_it(refusal))
            .map(|(_, times)| times)
            .sum()
    }
}

/// What became of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLog {
    /// The host that the TLS hello asked for.
    pub sni: Option<String>,
    /// The protocol that TLS agreed on.
    pub alpn: Option<String>,
    /// The user of the startup packet.
    pub user: Option<String>,
    /// The application name of the startup packet.
    pub application_name: Option<String>,
    /// Whether the password was there before it was asked for.
    pub early_password: bool,
    /// How it stands, or how it ended.
    pub outcome: Outcome,
    /// The client's frames after the login, as their tags, cut after each frame that asks for
    /// `ReadyForQuery` (`S`, `Q`, `F`): `"Q"`, `"PDS"`, `"BES"`, `"CS"`, and `"X"` for the end.
    /// A run of `d` (copy data) counts once. At most 10,000 are kept.
    pub flights: Vec<String>,
    /// How many of the flights began before the one before was answered.
    pub pipelined: usize,
}

/// How a connection stands, or how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// On its way to a login.
    #[default]
    LoggingIn,
    /// Logged in.
    Open,
    /// Ended by the client, with or without a word.
    Closed,
    /// Ended by a refusal.
    Refused(Refusal),
    /// Ended because TLS was not agreed on.
    TlsFailed(String),
    /// Ended because the login took too long.
    LoginTimedOut,
    /// Ended by a fault or by the cluster's end.
    Cut,
    /// Ended because the session had grown too old.
    Expired,
    /// Ended by a network error or by bytes that are no protocol.
    Failed(String),
}

/// The cluster's book, which every connection writes to.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    counts: Counts,
    connections: Vec<ConnectionLog>,
}

impl Ledger {
    pub(crate) fn counts(&self) -> Counts {
        self.book().counts.clone()
    }

    pub(crate) fn connections(&self) -> Vec<ConnectionLog> {
        self.book().connections.clone()
    }

    /// Opens the entry of a newly accepted connection.
    pub(crate) fn accepted(self: &Arc<Self>) -> Entry {
        let mut book = self.book();
        book.counts.accepted += 1;
        book.counts.open += 1;
        // A long run keeps its counters, not its memories.
        let index = (book.connections.len() < MOST_CONNECTIONS).then(|| {
            book.connections.push(ConnectionLog::default());
            book.connections.len() - 1
        });
        Entry {
            ledger: self.clone(),
            index,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's page. Dropped when its socket closes.
#[derive(Debug)]
pub(crate) struct Entry {
    ledger: Arc<Ledger>,
    index: Option<usize>,
}

impl Entry {
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.ledger.book().counts);
    }

    pub(crate) fn log(&self, change: impl FnOnce(&mut ConnectionLog)) {
        if let Some(index) = self.index {
            change(&mut self.ledger.book().connections[index]);
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

    /// Counts a backend for as long as the guard lives.
    pub(crate) fn backend(&self) -> BackendCount {
        self.count(|counts| counts.backends += 1);
        BackendCount {
            ledger: self.ledger.clone(),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.count(|counts| counts.open -= 1);
    }
}

/// A backend that is open.
#[derive(Debug)]
pub(crate) struct BackendCount {
    ledger: Arc<Ledger>,
}

impl Drop for BackendCount {
    fn drop(&mut self) {
        self.ledger.book().counts.backends -= 1;
    }
}

const MOST_CONNECTIONS: usize = 100_000;
const MOST_FLIGHTS: usize = 10_000;
