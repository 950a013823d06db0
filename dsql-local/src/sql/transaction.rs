//! A session's transaction, and which statements may still join it. `server::request` asks for each
//! statement before it is sent, and corrects the state by the engine's status.

use std::time::Duration;

use crate::refusal::Refusal;
use crate::sql::rules::Kind;

/// The state of a transaction after the statements that were sent.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// Whether BEGIN opened it. An implicit transaction is not open.
    open: bool,
    failed: bool,
    begun: Duration,
    has_definition: bool,
    has_change: bool,
}

impl Transaction {
    /// Adopts the engine's transaction status, which is current only if no reply is pending.
    pub(crate) fn set_status(&mut self, status: u8, now: Duration) {
        match status {
            b'I' => *self = Self::default(),
            status => {
                if !self.open {
                    self.begun = now;
                }
                self.open = true;
                self.failed = status == b'E';
            }
        }
    }

    /// Returns whether a COMMIT would commit anything.
    pub(crate) fn commits(&self) -> bool {
        self.open && !self.failed
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Adds a statement, or refuses it. A failed transaction takes every statement: the engine
    /// answers 25P02 itself.
    pub(crate) fn admit(
        &mut self,
        kind: Kind,
        now: Duration,
        age_limit: Duration,
    ) -> Result<(), Refusal> {
        if kind == Kind::Rollback || self.failed && kind == Kind::Commit {
            *self = Self::default();
            return Ok(());
        }
        if self.failed {
            return Ok(());
        }
        let age = now.saturating_sub(self.begun);
        if self.open && age > age_limit {
            return Err(Refusal::TransactionAge {
                age,
                limit: age_limit,
            });
        }
        match kind {
            // Earlier statements of the same text become part of the transaction.
            Kind::Begin if !self.open => {
                self.open = true;
                self.begun = now;
            }
            Kind::Commit => *self = Self::default(),
            Kind::Definition if self.has_definition => {
                return Err(Refusal::unsupported(
                    "multiple ddl statements not supported in a transaction",
                ));
            }
            Kind::Definition if self.has_change => return Err(mixed()),
            Kind::Definition => self.has_definition = true,
            Kind::Change if self.has_definition => return Err(mixed()),
            Kind::Change => self.has_change = true,
            Kind::LocalRole if !self.open => {
                return Err(Refusal::SettingNotSupported {
                    name: "role".to_owned(),
                });
            }
            Kind::WaitForJob if self.open => {
                return Err(Refusal::NotInTransaction {
                    what: "CALL sys.wait_for_job",
                });
            }
            Kind::Begin | Kind::Rollback | Kind::LocalRole | Kind::WaitForJob | Kind::Other => {}
        }
        Ok(())
    }

    /// Ends an implicit transaction at the end of its flight.
    pub(crate) fn end_flight(&mut self) {
        if !self.open {
            *self = Self::default();
        }
    }
}

fn mixed() -> Refusal {
    Refusal::unsupported("ddl and dml are not supported in the same transaction")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the message with which the last kind is refused.
    fn last(kinds: &[Kind]) -> Option<String> {
        let mut transaction = Transaction::default();
        let outcomes: Vec<_> = kinds
            .iter()
            .map(|kind| transaction.admit(*kind, Duration::ZERO, Duration::MAX))
            .collect();
        let (last, before) = outcomes.split_last().unwrap();
        assert!(before.iter().all(Result::is_ok), "{outcomes:?}");
        Some(last.clone().err()?.message().into_owned())
    }

    #[test]
    fn definitions_are_alone_in_a_transaction() {
        use Kind::{Begin, Change, Commit, Definition, Other, Rollback};
        let multiple = Some("multiple ddl statements not supported in a transaction".to_owned());
        let mixed = Some("ddl and dml are not supported in the same transaction".to_owned());
        for (kinds, expected) in [
            (&[Definition, Definition][..], &multiple),
            (&[Begin, Definition, Other, Definition], &multiple),
            (&[Definition, Begin, Definition], &multiple),
            (&[Begin, Definition, Change], &mixed),
            (&[Begin, Change, Definition], &mixed),
            (&[Begin, Definition, Commit, Definition], &None),
            (&[Begin, Change, Rollback, Definition], &None),
            (&[Begin, Change, Other, Change], &None),
        ] {
            assert_eq!(&last(kinds), expected, "{kinds:?}");
        }
    }

    #[test]
    fn an_old_transaction_can_only_be_rolled_back() {
        let (limit, late) = (Duration::from_secs(300), Duration::from_secs(301));
        for (kind, refused) in [
            (Kind::Other, true),
            (Kind::Commit, true),
            (Kind::Rollback, false),
        ] {
            let mut transaction = Transaction::default();
            transaction
                .admit(Kind::Begin, Duration::ZERO, limit)
                .unwrap();
            transaction.admit(Kind::Other, limit, limit).unwrap();
            assert_eq!(transaction.admit(kind, late, limit).is_err(), refused);
        }
    }
}
