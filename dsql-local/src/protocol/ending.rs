//! How a connection ends. `server::login` and `server::forward` return an [`Ending`];
//! `server::listener` carries it out.

use std::io;

use super::frame::Malformed;
use crate::refusal::Refusal;

/// Why a connection ends, and what happens to its socket.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The client terminated the session or closed the socket.
    Closed,
    /// The client gets an error, and the socket closes.
    Refused(Refusal),
    /// The socket closes.
    Cut,
    /// The socket closes with a reset.
    Reset,
    /// The socket stays open until stalls are released.
    Stalled,
    /// The socket closes: the session is past its maximum age.
    Expired,
    /// The client gets bytes that violate the protocol, and the socket closes.
    Garbage,
    /// The TLS handshake failed.
    TlsFailed(io::Error),
    /// The login took longer than its deadline.
    LoginTimedOut,
    /// The network failed.
    Failed(io::Error),
    /// The client's bytes violate the protocol.
    Malformed(Malformed),
    /// The engine closed its connection.
    EngineClosed,
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The cluster does not distinguish how a client disconnects.
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(error),
        }
    }
}

impl From<Malformed> for Ending {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
