//! The clock that tokens are judged by: the machine's, moved by an offset.
//! Only `session` reads it; tests move it instead of waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The token clock of a cluster. It runs at the machine's pace, from wherever it was moved to.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset: Arc<Mutex<Offset>>,
}

impl Clock {
    /// Returns the time that a token presented now is judged by.
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

    /// Sets the clock; it runs on from there.
    pub fn set(&self, time: SystemTime) {
        *self.offset() = match time.duration_since(SystemTime::now()) {
            Ok(ahead) => Offset::Ahead(ahead),
            Err(behind) => Offset::Behind(behind.duration()),
        };
    }

    /// Puts the clock back to the machine's time.
    pub fn reset(&self) {
        *self.offset() = Offset::default();
    }

    fn offset(&self) -> std::sync::MutexGuard<'_, Offset> {
        self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parses the `20240827T000000Z` of an `X-Amz-Date`.
pub(crate) fn parse_amz_date(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0u64, |number, byte| {
            byte.is_ascii_digit()
                .then(|| number * 10 + u64::from(byte - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_epoch(year, month, day)?;
    let time = SystemTime::UNIX_EPOCH
        + Duration::from_secs(days * 86_400 + hour * 3_600 + minute * 60 + second);
    // A day that the month does not have would come back as another date.
    (amz_date(time) == text).then_some(time)
}

/// Writes a time as the `20240827T000000Z` of an `X-Amz-Date`.
pub(crate) fn amz_date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);

    // Days since 0000-03-01, in eras of 400 years: Howard Hinnant, "chrono-compatible date algorithms".
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);

    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

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
    use crate::corpus::{mistaken, walk};

    /// Against a calendar that is walked day by day, as people do.
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
        fn every_second_is_read_as_it_was_written(seconds in 0..LAST) {
            let text = amz_date(at(seconds));
            prop_assert_eq!(parse_amz_date(&text), Some(at(seconds)));
            let seconds_of_day = [(9, 3_600), (11, 60), (13, 1)].map(|(from, unit)| {
                text[from..from + 2].parse::<u64>().unwrap() * unit
            });
            prop_assert_eq!(seconds_of_day.iter().sum::<u64>(), seconds % 86_400);
        }

        #[test]
        fn no_mistakes_make_it_panic(date in mistaken("amz_date")) {
            read(&date);
        }

        #[test]
        fn what_is_read_is_written_alike(date in "[0-9]{4}[01][0-9][0-3][0-9]T[0-2][0-9][0-6][0-9][0-6][0-9]Z") {
            read(date.as_bytes());
        }
    }

    #[test]
    fn what_is_kept_is_read_with_any_mistake() {
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

    /// The end of the year 9999, after which there are too many digits.
    const LAST: u64 = 253_402_300_800;

    #[test]
    fn dates_are_read_and_written() {
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
