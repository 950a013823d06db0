//! The ID of a transaction in the outcome table.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The ID of a transaction in the outcome table, a UUID.
///
/// `Display` and `FromStr` use the usual form of 36 characters, so that an ID can be logged or
/// queued and settled later.
///
/// ```
/// use dsql_conn::OutcomeId;
///
/// let id: OutcomeId = "9f0c2f1e-5b0a-8c3d-a7e4-019aa2d5c1f0".parse()?;
/// assert_eq!(id.to_string(), "9f0c2f1e-5b0a-8c3d-a7e4-019aa2d5c1f0");
/// # Ok::<(), dsql_conn::InvalidOutcomeId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutcomeId(u128);

/// A text that is no [`OutcomeId`].
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the ID of an outcome; it must be a UUID of 32 hexadecimal digits in five groups")]
pub struct InvalidOutcomeId(());

impl OutcomeId {
    /// Creates a new ID: 74 random bits and the time.
    ///
    /// The random bits come first, so that new rows spread over the whole key space as the service
    /// [recommends](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-primary-keys.html).
    /// The time shows the age of an ID that the application stored.
    pub(crate) fn new(now: SystemTime) -> Self {
        let millis = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let random = rand::random::<u128>() & !(VERSION_BITS | VARIANT_BITS | TIME_BITS);
        Self(random | VERSION | VARIANT | millis & TIME_BITS)
    }

    /// Returns the time since the ID was created. Zero if that is in the future.
    pub(crate) fn age(self, now: SystemTime) -> Duration {
        let millis = u64::try_from(self.0 & TIME_BITS).unwrap_or(0);
        let drawn = UNIX_EPOCH + Duration::from_millis(millis);
        now.duration_since(drawn).unwrap_or_default()
    }
}

impl fmt::Display for OutcomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let [a, b, c, d, e] = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        write!(f, "{a}-{b}-{c}-{d}-{e}")
    }
}

impl fmt::Debug for OutcomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutcomeId({self})")
    }
}

/// Like `Display`: a `main` that returns an error prints it by `Debug`.
impl fmt::Debug for InvalidOutcomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OutcomeId {
    type Err = InvalidOutcomeId;

    fn from_str(text: &str) -> Result<Self, InvalidOutcomeId> {
        let groups: Vec<usize> = text.split('-').map(str::len).collect();
        let hex = text.replace('-', "");
        if groups != [8, 4, 4, 4, 12] || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidOutcomeId(()));
        }
        let id = u128::from_str_radix(&hex, 16).map_err(|_| InvalidOutcomeId(()))?;
        Ok(Self(id))
    }
}

/// Version 8 of [RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.8): a layout of our
/// own.
const VERSION: u128 = 8 << 76;
const VERSION_BITS: u128 = 0xf << 76;
const VARIANT: u128 = 0b10 << 62;
const VARIANT_BITS: u128 = 0b11 << 62;
const TIME_BITS: u128 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_age_and_reads_back() {
        let drawn = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let id = OutcomeId::new(drawn);
        assert_eq!(
            id.age(drawn + Duration::from_secs(9)),
            Duration::from_secs(9)
        );
        assert_eq!(id.age(drawn - Duration::from_secs(9)), Duration::ZERO);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().as_bytes()[14], b'8');
        assert_ne!(id, OutcomeId::new(drawn));
    }

    #[test]
    fn other_texts_are_no_id() {
        for text in [
            "",
            "9f0c2f1e5b0a8c3da7e4019aa2d5c1f0",
            "+f0c2f1e-5b0a-8c3d-a7e4-019aa2d5c1f0",
        ] {
            let error = text.parse::<OutcomeId>().unwrap_err();
            assert_eq!(format!("{error:?}"), error.to_string(), "{text}");
        }
    }
}
