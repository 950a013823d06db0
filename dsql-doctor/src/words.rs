//! Writes times and lists as text.

use std::fmt;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A duration in milliseconds, or in seconds if it is long.
pub(crate) struct Millis(pub(crate) Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs_f64() * 1_000.0;
        let text = match millis {
            millis if millis >= 10_000.0 => format!("{:.1} s", millis / 1_000.0),
            millis if millis >= 100.0 => format!("{millis:.0} ms"),
            millis => format!("{millis:.1} ms"),
        };
        f.pad(&text)
    }
}

/// Returns a duration in its largest unit.
pub(crate) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Returns a time in UTC, to the second.
pub(crate) fn written(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339)
        .unwrap_or_else(|_| "an unknown time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_at_every_scale() {
        for (millis, text) in [(1, "1.0 ms"), (250, "250 ms"), (12_345, "12.3 s")] {
            assert_eq!(Millis(Duration::from_millis(millis)).to_string(), text);
        }
        for (seconds, text) in [
            (90, "90 s"),
            (3_600, "60 min"),
            (86_400, "24 h"),
            (864_000, "10 days"),
        ] {
            assert_eq!(rough(Duration::from_secs(seconds)), text);
        }
    }
}
