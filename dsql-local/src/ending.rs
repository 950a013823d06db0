//! How a conversation with a client ends.
//! `session` and `forward` end with one; `front` carries it out.

use std::io;

use crate::count::Outcome;
use crate::frame::Malformed;
use crate::refusal::Refusal;

/// Why nothing more is said, and what happens to the socket.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The client said goodbye, or just went.
    Closed,
    /// The client is told why, and the socket closes.
    Refused(Refusal),
    /// The socket closes.
    Cut,
    /// The socket closes with a reset.
    Reset,
    /// The socket stays open until stalls are released.
    Stalled,
    /// The socket closes: the session is too old.
    Expired,
    /// The client gets nonsense, and the socket closes.
    Garbage,
    /// TLS was not agreed on.
    TlsFailed(io::Error),
    /// The login took too long.
    LoginTimedOut,
    /// The network failed.
    Failed(io::Error),
    /// The client's bytes are no protocol.
    Malformed(Malformed),
    /// The engine's own end.
    EngineClosed,
}

impl Ending {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Closed => Outcome::Closed,
            Self::Refused(refusal) => Outcome::Refused(refusal.clone()),
            Self::Cut | Self::Reset | Self::Stalled | Self::Garbage => Outcome::Cut,
            Self::Expired => Outcome::Expired,
            Self::TlsFailed(error) => Outcome::TlsFailed(error.to_string()),
            Self::LoginTimedOut => Outcome::LoginTimedOut,
            Self::Failed(error) => Outcome::Failed(error.to_string()),
            Self::Malformed(error) => Outcome::Failed(error.to_string()),
            Self::EngineClosed => Outcome::Failed("the engine closed the connection".to_owned()),
        }
    }
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The client's going, as far as the cluster cares.
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
