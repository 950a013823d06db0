//! The key by which a client can safely repeat a request for a new game.
//!
//! `route` reads it, and `store` saves it with the game. It follows the
//! [draft](https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header):
//! however often a request is sent within [`LIFETIME`], one game is saved.

use std::time::Duration;

use lambda_http::Request;
use lambda_http::http::HeaderName;

use crate::caller;

/// How long a key stands for the game that was saved under it. After that, a request with the same
/// key saves another game. The documentation of the API promises it to clients.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A key chosen by a client, and its [caller](caller::of). The same key of two callers is two keys,
/// so nobody gets another caller's game by guessing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdempotencyKey {
    caller: String,
    key: String,
}

impl IdempotencyKey {
    /// Reads the key of a request, if it has one.
    ///
    /// An HTTP API joins repeated headers by commas, which makes them one key here.
    ///
    /// # Errors
    ///
    /// What is wrong with the key, for the client.
    pub fn of(request: &Request) -> Result<Option<Self>, KeyError> {
        let mut keys = request.headers().get_all(IDEMPOTENCY_KEY).iter();
        let Some(key) = keys.next() else {
            return Ok(None);
        };
        if keys.next().is_some() {
            return Err(KeyError::Repeated);
        }
        let key = key.as_bytes();
        if !key.iter().all(u8::is_ascii_graphic) {
            return Err(KeyError::Invisible);
        }
        if !(1..=LONGEST_KEY).contains(&key.len()) {
            return Err(KeyError::Length { length: key.len() });
        }
        Ok(Some(Self {
            caller: caller::of(request),
            key: key.iter().copied().map(char::from).collect(),
        }))
    }

    /// Returns the name of the caller; empty where it is unknown.
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// Returns the key as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.key
    }
}

/// Why an `Idempotency-Key` is invalid.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// More than one header.
    #[error("there is more than one Idempotency-Key")]
    Repeated,
    /// A blank, a control character, or something that ASCII does not have.
    #[error("the Idempotency-Key has a character that is not one of the visible ones of ASCII")]
    Invisible,
    /// Nothing, or too much.
    #[error("the Idempotency-Key has {length} characters, 1 to {LONGEST_KEY} are allowed")]
    Length {
        /// The number of characters.
        length: usize,
    },
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// With the caller before it, within the 1 KiB of an index entry:
/// <https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html>
const LONGEST_KEY: usize = 255;

#[cfg(test)]
mod tests {
    use lambda_http::Body;
    use lambda_http::http::{HeaderValue, Request};

    use super::*;

    #[test]
    fn a_key_is_one_header_of_visible_characters() {
        let longest = "~".repeat(255);
        let too_long = "x".repeat(256);
        let length = |length| Err(KeyError::Length { length });
        let key = |key: &str| {
            Ok(Some(IdempotencyKey {
                caller: String::new(),
                key: key.to_owned(),
            }))
        };
        for (headers, expected) in [
            (&[][..], Ok(None)),
            (&["7"], key("7")),
            (&[r#""8e03978e-40d5,!""#], key(r#""8e03978e-40d5,!""#)),
            (&[&longest], key(&longest)),
            (&[""], length(0)),
            (&[&too_long], length(256)),
            (&["a b"], Err(KeyError::Invisible)),
            (&["a\tb"], Err(KeyError::Invisible)),
            (&["schlüssel"], Err(KeyError::Invisible)),
            (&["a", "b"], Err(KeyError::Repeated)),
            (&["a", "a"], Err(KeyError::Repeated)),
        ] {
            let mut request = Request::new(Body::Empty);
            for header in headers {
                let value = HeaderValue::from_bytes(header.as_bytes()).unwrap();
                request.headers_mut().append("Idempotency-Key", value);
            }
            assert_eq!(IdempotencyKey::of(&request), expected, "{headers:?}");
        }
    }
}
