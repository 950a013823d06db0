//! Computes from a refusal how far this machine's clock is off.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::date_time::{DateTime, Format};
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::reason::Reason;

/// How far this machine's clock is from the server's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Skew {
    Ahead(Duration),
    Behind(Duration),
}

impl Skew {
    /// Compares the time of signing with the server's time, if the refusal of the token names it.
    /// `None` if the server's time is unknown, or near the time of signing.
    ///
    /// AWS phrases a SigV4 refusal as `Signature expired: 20210502T164300Z is now earlier than
    /// 20210502T164822Z (20210502T165322Z - 5 min.)`, with its own time last. Other messages are
    /// understood if they contain the time of signing and one other time.
    pub(super) fn told(words: &str, signed: SystemTime) -> Option<Self> {
        let times: Vec<_> = timestamps(words).collect();
        let is_ours = |time: &SystemTime| difference(*time, signed) < PRECISION;
        let server = match is_known(words) {
            true => times[..].split_first().and_then(|(_, rest)| rest.last()),
            false if times.iter().any(is_ours) => times.iter().rfind(|time| !is_ours(time)),
            false => None,
        };
        Self::between(signed, *server?)
    }

    fn between(ours: SystemTime, servers: SystemTime) -> Option<Self> {
        let by = difference(ours, servers);
        match by > TOLERANCE {
            true if ours > servers => Some(Self::Ahead(by)),
            true => Some(Self::Behind(by)),
            false => None,
        }
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (by, direction) = match self {
            Self::Ahead(by) => (by, "ahead of"),
            Self::Behind(by) => (by, "behind"),
        };
        let by = Rounded(*by);
        write!(f, "this machine's clock is {by} {direction} the server's")
    }
}

/// Returns whether a refusal of a token blames the time without naming the server's time.
pub(super) fn is_about_clock(words: &str) -> bool {
    let words = words.to_lowercase();
    // The message of AWS's SigV4 for a token from the future, and those of S3 for both directions:
    // https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    words.contains("signature not yet current")
        || words.contains("requesttimetooskewed")
        || words.contains("request time and the current time is too large")
}

/// Returns why a certificate is not valid now. If it is not valid yet, this machine's clock is
/// nearly always wrong. If it has expired, it was not renewed, or the clock is wrong.
pub(super) fn certificate(error: &CertificateError) -> Option<(Reason, String)> {
    let by = |from: u64, to: u64| Rounded(Duration::from_secs(to.saturating_sub(from)));
    let now = |time: UnixTime| written(UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    let (reason, state) = match error {
        CertificateError::NotValidYet => (Reason::ClockSkew, "is not valid yet".to_owned()),
        CertificateError::Expired => (Reason::Certificate, "has expired".to_owned()),
        CertificateError::NotValidYetContext { time, not_before } => {
            let by = by(time.as_secs(), not_before.as_secs());
            let state = format!("is not valid for another {by} (it is {} here)", now(*time));
            (Reason::ClockSkew, state)
        }
        CertificateError::ExpiredContext { time, not_after } => {
            let by = by(not_after.as_secs(), time.as_secs());
            let state = format!("expired {by} ago (it is {} here)", now(*time));
            (Reason::Certificate, state)
        }
        _ => return None,
    };
    Some((reason, format!("{CERTIFICATE} {state}")))
}

/// Returns a time in RFC 3339's form.
pub(super) fn written(time: SystemTime) -> String {
    let time = DateTime::from(time);
    let seconds = DateTime::from_secs(time.secs());
    seconds
        .fmt(Format::DateTime)
        .unwrap_or_else(|_| "an unknown time".to_owned())
}

fn is_known(words: &str) -> bool {
    let words = words.to_lowercase();
    words.contains("signature expired") || words.contains("signature not yet current")
}

/// Returns the times in a text, in SigV4's form (`20210502T164300Z`) or RFC 3339's.
fn timestamps(text: &str) -> impl Iterator<Item = SystemTime> {
    let is_part = |c: char| c.is_ascii_digit() || "TZtz-:.".contains(c);
    text.split(move |c| !is_part(c)).filter_map(timestamp)
}

pub(super) fn timestamp(text: &str) -> Option<SystemTime> {
    let text = text.trim_matches(['-', ':', '.']).to_ascii_uppercase();
    let (seconds, _) = text.split_once(['.', 'Z'])?;
    let digits = seconds.replace(['-', ':', 'T'], "");
    if digits.len() != 14 || !text.ends_with('Z') || !seconds.contains('T') {
        return None;
    }
    let part = |range: std::ops::Range<usize>| digits.get(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let time = DateTime::from_str(&text, Format::DateTime).ok()?;
    SystemTime::try_from(time).ok()
}

fn difference(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other)
        .unwrap_or_else(|earlier| earlier.duration())
}

/// A duration in its two largest units.
pub(super) struct Rounded(pub(super) Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, ..) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// The beginning of texts about a certificate's dates.
pub(super) const CERTIFICATE: &str = "by this machine's clock the server's certificate";

/// SigV4 accepts a token whose time differs by this much.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// A timestamp has whole seconds.
const PRECISION: Duration = Duration::from_secs(2);
