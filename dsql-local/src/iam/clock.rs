//! The clock that token expiry is checked against: the machine's clock plus an offset. Tests move
//! it instead of waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// The token clock of a cluster: the machine's clock plus an offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset: Arc<Mutex<Offset>>,
}

impl Clock {
    /// Returns the current time of this clock.
    pub fn now(&self) -> SystemTime {
        match *self.offset() {
            Offset::Ahead(by) => SystemTime::now() + by,
            Offset::Behind(by) => SystemTime::now() - by,
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now() + by);
    }

    /// Moves the clock back.
    pub fn rewind(&self, by: Duration) {
        self.set(self.now() - by);
    }

    /// Sets the clock, which continues from this time.
    pub fn set(&self, time: SystemTime) {
        *self.offset() = match time.duration_since(SystemTime::now()) {
            Ok(ahead) => Offset::Ahead(ahead),
            Err(behind) => Offset::Behind(behind.duration()),
        };
    }

    /// Resets the clock to the machine's time.
    pub fn reset(&self) {
        *self.offset() = Offset::default();
    }

    fn offset(&self) -> std::sync::MutexGuard<'_, Offset> {
        self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parses the `20240827T000000Z` of an `X-Amz-Date`.
pub(crate) fn parse_amz_date(text: &str) -> Option<SystemTime> {
    let date = PrimitiveDateTime::parse(text, AMZ_DATE).ok()?;
    let time = SystemTime::from(date.assume_utc());
    // The parser is lenient about signs and leap seconds; the service is not.
    (time >= SystemTime::UNIX_EPOCH && amz_date(time) == text).then_some(time)
}

/// Writes a time as the `20240827T000000Z` of an `X-Amz-Date`.
pub(crate) fn amz_date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(AMZ_DATE).ok())
        .unwrap_or_else(|| LAST_DATE.to_owned())
}

const AMZ_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
/// Stands for all later times, which have too many digits.
const LAST_DATE: &str = "99991231T235959Z";

#[derive(Debug)]
enum Offset {
    Ahead(Duration),
    Behind(Duration),
}

impl Default for Offset {
    fn default() -> Self {
        Self::Ahead(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{mutated, walk};

    /// Compares with a calendar that counts day by day.
    #[test]
    fn every_day_has_its_date() {
        let mut days = 0;
        for year in 1970..2401 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if is_leap { 29 } else { 28 };
            for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
            {
                for day in 1..=31 {
                    let text = format!("{year:04}{month:02}{day:02}T000000Z");
                    let expected = (day <= length).then(|| at(days * 86_400));
                    assert_eq!(parse_amz_date(&text), expected, "{text}");
                    if let Some(time) = expected {
                        assert_eq!(amz_date(time), text);
                        days += 1;
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn formatted_times_parse_to_the_same_time(seconds in 0..LAST) {
            let text = amz_date(at(seconds));
            prop_assert_eq!(parse_amz_date(&text), Some(at(seconds)));
            let seconds_of_day = [(9, 3_600), (11, 60), (13, 1)].map(|(from, unit)| {
                text[from..from + 2].parse::<u64>().unwrap() * unit
            });
            prop_assert_eq!(seconds_of_day.iter().sum::<u64>(), seconds % 86_400);
        }

        #[test]
        fn no_mutated_input_panics(date in mutated("amz_date")) {
            read(&date);
        }

        #[test]
        fn parsed_dates_format_to_the_same_text(
            date in "[0-9]{4}[01][0-9][0-3][0-9]T[0-2][0-9][0-6][0-9][0-6][0-9]Z",
        ) {
            read(date.as_bytes());
        }
    }

    #[test]
    fn mutations_of_the_corpus_never_panic() {
        walk("amz_date", read);
    }

    fn read(date: &[u8]) {
        let date = String::from_utf8_lossy(date);
        if let Some(time) = parse_amz_date(&date) {
            assert!(time < at(LAST));
            assert_eq!(amz_date(time), date);
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// The end of the year 9999: later dates have too many digits.
    const LAST: u64 = 253_402_300_800;

    #[test]
    fn dates_are_parsed_and_formatted() {
        for (text, seconds) in [
            ("19700101T000000Z", 0),
            ("20000229T235959Z", 951_868_799),
            ("20240827T000000Z", 1_724_716_800),
            ("20241231T120001Z", 1_735_646_401),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse_amz_date(text), Some(time), "{text}");
            assert_eq!(amz_date(time), text);
        }
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "",
            "20230229T000000Z",
            "20240431T000000Z",
            "20241301T000000Z",
            "20240827T240000Z",
            "20240827T000060Z",
            "20240827 000000Z",
            "20240827T000000z",
            "19691231T235959Z",
            "2024082\u{e9}T00000Z",
        ] {
            assert_eq!(parse_amz_date(text), None, "{text}");
        }
    }

    #[test]
    fn the_clock_moves_both_ways() {
        let clock = Clock::default();
        let hour = Duration::from_secs(3_600);
        clock.advance(hour);
        assert!(clock.now() >= SystemTime::now() + Duration::from_secs(3_500));
        clock.rewind(2 * hour);
        assert!(clock.now() <= SystemTime::now() - Duration::from_secs(3_500));
        clock.reset();
        assert!(clock.now() <= SystemTime::now());
    }
}
