//! Decides which errors are retried, and when.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::error::Error;

/// An error, and whether another attempt may succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    retry: Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    Never,
    /// A retry fails again unless another migrator caused the error.
    AfterRace,
    AfterConflict,
}

impl Failure {
    /// Classifies a driver's error.
    pub(crate) fn new(
        source: tokio_postgres::Error,
        error: impl FnOnce(tokio_postgres::Error) -> Error,
    ) -> Self {
        let retry = retry(&source);
        Self {
            error: error(source),
            retry,
        }
    }

    pub(crate) fn permanent(error: Error) -> Self {
        Self {
            error,
            retry: Retry::Never,
        }
    }

    pub(crate) fn is_permanent(&self) -> bool {
        self.retry == Retry::Never
    }
}

/// Conflicts and lost connections: [concurrency
/// control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).
fn retry(error: &tokio_postgres::Error) -> Retry {
    let Some(server) = error.as_db_error() else {
        // A value of an unexpected type is not a failure of the connection.
        let is_lost = error.is_closed()
            || std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
        return match is_lost {
            true => Retry::AfterConflict,
            false => Retry::Never,
        };
    };
    // If two migrators create the same object at once, one violates a constraint of the catalog.
    // PostgreSQL reports it like any other constraint.
    let meets_in_catalog = server.schema() == Some("pg_catalog");
    match server.code() {
        &SqlState::UNIQUE_VIOLATION if meets_in_catalog => Retry::AfterRace,
        &SqlState::DUPLICATE_TABLE
        | &SqlState::DUPLICATE_OBJECT
        | &SqlState::DUPLICATE_SCHEMA
        | &SqlState::DUPLICATE_COLUMN => Retry::AfterRace,
        code => match code.code() {
            // The last two mean too many connections, and too many new connections.
            "40001" | "OC000" | "OC001" | "40P01" | "XX000" | "53300" | "53400" => {
                Retry::AfterConflict
            }
            code if code.starts_with("57P") || code.starts_with("08") => Retry::AfterConflict,
            _ => Retry::Never,
        },
    }
}

/// The attempts since the last progress.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failed: u32,
    races: u32,
}

impl Attempts {
    /// Notes that some migrator recorded a statement.
    pub(crate) fn progress(&mut self) {
        *self = Self::default();
    }

    /// Returns how long to wait before taking over another migrator's statement. If runs keep
    /// failing, that statement may take longer than `least`, and each migrator makes the others
    /// fail by taking it over. So the time doubles, up to the longest that a transaction lives.
    pub(crate) fn takeover_after(&self, least: Duration) -> Duration {
        let doublings = self.failed.saturating_sub(1);
        let doubled = least.saturating_mul(2_u32.saturating_pow(doublings));
        doubled.min(LONGEST_TRANSACTION.max(least))
    }

    /// Returns the delay before the next attempt, for a random number from 0 to 1, or the error if
    /// no attempt is left.
    pub(crate) fn next(&mut self, failure: Failure, unit: f64) -> Result<Duration, Error> {
        self.failed += 1;
        match failure.retry {
            Retry::Never => return Err(failure.error),
            Retry::AfterRace => self.races += 1,
            Retry::AfterConflict => {}
        }
        if self.races > MAX_RACES {
            return Err(failure.error);
        }
        if self.failed >= MAX_ATTEMPTS {
            return Err(Error::Busy {
                attempts: self.failed,
                source: Box::new(failure.error),
            });
        }
        // The first retry is immediate: after one failure with OC001, the session knows the new
        // schema.
        let doublings = self.failed - 1;
        let most = match doublings {
            0 => Duration::ZERO,
            _ => (BASE * 2_u32.saturating_pow(doublings - 1)).min(CAP),
        };
        Ok(most.mul_f64(unit))
    }
}

/// About 20 seconds without progress.
const MAX_ATTEMPTS: u32 = 25;

const MAX_RACES: u32 = 5;

/// <https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html>
const LONGEST_TRANSACTION: Duration = Duration::from_secs(300);

const BASE: Duration = Duration::from_millis(50);

const CAP: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(retry: Retry) -> Failure {
        Failure {
            error: Error::NoMigration("x".to_owned()),
            retry,
        }
    }

    #[test]
    fn attempts_end_without_progress() {
        let mut attempts = Attempts::default();
        let mut delays = Vec::new();
        let error = loop {
            match attempts.next(failure(Retry::AfterConflict), 1.0) {
                Ok(delay) => delays.push(delay.as_millis()),
                Err(error) => break error,
            }
        };
        assert_eq!(delays[..8], [0, 50, 100, 200, 400, 800, 1600, 2000]);
        assert_eq!(delays.len(), 24);
        assert!(
            error.to_string().starts_with("25 attempts in a row"),
            "{error}"
        );
        attempts.progress();
        assert!(attempts.next(failure(Retry::AfterConflict), 1.0).is_ok());
    }

    #[test]
    fn races_end_sooner_and_with_their_own_error() {
        let mut attempts = Attempts::default();
        for _ in 0..5 {
            attempts.next(failure(Retry::AfterRace), 0.0).unwrap();
        }
        let error = attempts.next(failure(Retry::AfterRace), 0.0).unwrap_err();
        assert!(matches!(error, Error::NoMigration(_)), "{error}");
        let error = Attempts::default().next(failure(Retry::Never), 0.0);
        assert!(matches!(error, Err(Error::NoMigration(_))));
    }

    /// Otherwise the migrators would take a long statement from each other until no attempt is
    /// left.
    #[test]
    fn takeovers_get_rarer_until_the_longest_statement_is_left_alone() {
        let least = Duration::from_secs(2);
        let mut attempts = Attempts::default();
        let mut times = Vec::new();
        for _ in 1..MAX_ATTEMPTS {
            times.push(attempts.takeover_after(least).as_secs());
            attempts.next(failure(Retry::AfterConflict), 1.0).unwrap();
        }
        assert_eq!(times[..10], [2, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(times[10..].iter().all(|time| *time == 300));
        attempts.progress();
        assert_eq!(attempts.takeover_after(least), least);
        let most = Duration::from_secs(600);
        assert_eq!(attempts.takeover_after(most), most);
    }
}
