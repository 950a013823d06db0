//! Sends the password with the startup packet, before the server asks for it.
//!
//! That saves a round trip of every login. When the server asks, the driver writes the same bytes
//! again, and this module drops them. If the server asks for something else, or for nothing, the
//! connection fails and another one logs in, in the usual order.

use std::mem;

/// The progress of an early password.
pub(super) enum EarlyPassword {
    /// Sent with the first bytes that the driver writes.
    Due(Vec<u8>),
    /// The server has not asked yet.
    Sent(Vec<u8>),
    /// The driver's own copy must be dropped.
    Wanted(Vec<u8>),
    /// Nothing left to do.
    Done,
}

impl EarlyPassword {
    /// Prepares the message that the driver will write when the server asks for a cleartext
    /// password.
    pub(super) fn new(password: Option<&str>) -> Self {
        let Some(password) = password else {
            return Self::Done;
        };
        let body = [password.as_bytes(), b"\0"].concat();
        match u32::try_from(LENGTH + body.len()) {
            Ok(length) => Self::Due([b"p", &length.to_be_bytes()[..], &body].concat()),
            Err(_) => Self::Done,
        }
    }

    /// Returns what must be written behind the driver's first bytes.
    pub(super) fn take_due(&mut self) -> Option<&[u8]> {
        if let Self::Due(message) = self {
            *self = Self::Sent(mem::take(message));
            if let Self::Sent(message) = self {
                return Some(message);
            }
        }
        None
    }

    /// Returns how many of these bytes were already sent.
    pub(super) fn sent_of(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Wanted(message) if bytes.starts_with(message) => {
                let length = message.len();
                *self = Self::Done;
                length
            }
            _ => 0,
        }
    }

    /// Reads a message of the server, and returns whether it asks for something else.
    pub(super) fn is_refused_by(&mut self, tag: u8, body: &[u8]) -> bool {
        let Self::Sent(message) = self else {
            return false;
        };
        if tag != AUTHENTICATION {
            return false;
        }
        let is_wanted = body.get(..LENGTH) == Some(CLEARTEXT_PASSWORD);
        *self = match is_wanted {
            true => Self::Wanted(mem::take(message)),
            false => Self::Done,
        };
        !is_wanted
    }
}

const LENGTH: usize = 4;
const AUTHENTICATION: u8 = b'R';
const CLEARTEXT_PASSWORD: &[u8] = &[0, 0, 0, 3];
