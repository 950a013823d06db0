//! Statements that may meet other transactions, in the engine's tables.

use bytes::BytesMut;

use super::transaction::Place;
use super::{ATTEMPTS, Contention, Guard, is_true};
use crate::conflict::class::Class;
use crate::conflict::flight::{self, Segment};
use crate::conflict::internal::Answer;
use crate::conflict::writes::{Lock, Writes};
use crate::protocol::ending::Ending;

impl Guard<'_> {
    /// Runs a statement that is a transaction of its own. Moves other transactions aside if they
    /// lock its rows.
    pub(super) async fn autocommit(&mut self, segment: &Segment) -> Result<bool, Ending> {
        let mut attempt = 0;
        loop {
            // The statement's writes may conflict with transactions that began before.
            let is_noted = segment.class != Class::Definition
                && !is_call(segment)
                && self.member.has_open_others();
            if is_noted {
                self.quiesce().await;
                self.query("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
            }
            let mut out = BytesMut::new();
            let closed = match attempt {
                0 => 0,
                _ => segment.put_closes(&mut out)?,
            };
            segment.put(&mut out);
            let mut answer = self.round_trip(&out).await?;
            if is_noted {
                if answer.error.is_none() {
                    self.note_locks(segment.class).await?;
                }
                self.end_noted(&mut answer).await?;
            }
            attempt += 1;
            let contention = answer.error.as_ref().and_then(Contention::of);
            let has_changed = answer
                .error
                .as_ref()
                .is_some_and(|error| error.sqlstate == "40001");
            match contention {
                Some(Contention::Lock) if attempt < ATTEMPTS => {
                    let token = self.token().await?;
                    self.member
                        .move_others_aside(&token, segment.class == Class::Definition)
                        .await;
                }
                Some(Contention::Change) if attempt < ATTEMPTS && has_changed => {}
                Some(Contention::Lock | Contention::Change) | None => {
                    return Ok(self.accept(answer, closed, segment));
                }
            }
        }
    }

    /// Ends the transaction around a single statement, and registers its writes.
    async fn end_noted(&mut self, answer: &mut Answer) -> Result<(), Ending> {
        if answer.error.is_some() {
            self.query("ROLLBACK").await?;
        } else {
            let writes = self.writes().await?;
            let at = self.member.commit_time();
            let mut out = BytesMut::new();
            flight::put_query(&mut out, "COMMIT");
            let committed = self.round_trip(&out).await?;
            match committed.error {
                Some(_) => answer.fail_with(committed),
                None => self.member.committed(at, writes),
            }
        }
        answer.set_idle();
        Ok(())
    }

    /// Runs a statement of a transaction. Rolls it back if it meets another transaction.
    pub(super) async fn write(&mut self, segment: &Segment) -> Result<bool, Ending> {
        let mut attempt = 0;
        loop {
            let mut out = BytesMut::new();
            flight::put_query(&mut out, savepoint(segment.class));
            let closed = match attempt {
                0 => 0,
                _ => segment.put_closes(&mut out)?,
            };
            segment.put(&mut out);
            let _savepoint = self.round_trip(&out).await?;
            let answer = self.engine.answer().await?;
            attempt += 1;
            let contention = match &answer.error {
                Some(failure) => Contention::of(failure),
                None if self.sees_violation(segment.class).await? => Some(Contention::Change),
                None => None,
            };
            let Some(contention) = contention.filter(|_| attempt < ATTEMPTS && self.is_pinned())
            else {
                if answer.error.is_none() {
                    self.note_locks(segment.class).await?;
                }
                return Ok(self.accept(answer, closed, segment));
            };
            self.query("ROLLBACK TO SAVEPOINT dsql_local_statement")
                .await?;
            match contention {
                Contention::Lock => {
                    let token = self.token().await?;
                    self.member
                        .move_others_aside(&token, segment.class == Class::Definition)
                        .await;
                }
                Contention::Change => {
                    self.move_aside(true).await?;
                    if let Some(transaction) = &mut self.transaction
                        && matches!(transaction.place, Place::Tables)
                    {
                        transaction.place = Place::Aside(Writes::default());
                    }
                }
            }
            if !self.is_in_tables() {
                return self.run_on_copies(segment).await;
            }
        }
    }

    /// Returns whether a write succeeded only because a transaction that committed later freed a
    /// key which the snapshot still contains.
    async fn sees_violation(&mut self, class: Class) -> Result<bool, Ending> {
        let later = self.member.later_commits();
        if class != Class::Write || !later.iter().any(|writes| writes.may_free_keys()) {
            return Ok(false);
        }
        let rows = self.query("SELECT pg_toast.dsql_sees_violation()").await?;
        Ok(is_true(rows))
    }

    /// Adds the rows that a statement just locked to the transaction's log.
    pub(super) async fn note_locks(&mut self, class: Class) -> Result<(), Ending> {
        let lock = match class {
            Class::Lock => Lock::Update,
            Class::LockShared => Lock::KeyShare,
            Class::Read
            | Class::Copy
            | Class::Write
            | Class::Definition
            | Class::Rollback
            | Class::Commit
            | Class::Begin => return Ok(()),
        };
        let note = format!("SELECT pg_toast.dsql_note_locks('{}', true)", lock.mark());
        self.query(&note).await.map(drop)
    }

    fn is_pinned(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|transaction| transaction.is_pinned)
    }

    fn is_in_tables(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|transaction| matches!(transaction.place, Place::Tables))
    }
}

/// Returns whether the segment is a CALL, which may end the transaction that it runs in.
fn is_call(segment: &Segment) -> bool {
    let text = segment.text.trim_start();
    text.get(..4)
        .is_some_and(|word| word.eq_ignore_ascii_case("call"))
}

/// Returns the SQL before a statement that may have to be rolled back.
pub(super) fn savepoint(class: Class) -> &'static str {
    match class {
        Class::Lock | Class::LockShared => {
            "SAVEPOINT dsql_local_statement;SELECT pg_toast.dsql_before_locks()"
        }
        Class::Read
        | Class::Copy
        | Class::Write
        | Class::Definition
        | Class::Rollback
        | Class::Commit
        | Class::Begin => "SAVEPOINT dsql_local_statement",
    }
}
