//! Expectations of faults that strike an open connection.

use super::{ALREADY_CONNECTED, NO_STATEMENT, Row, cancelled, served};
use crate::fault::{Fault, Service};
use crate::outcome::{Bound, Expected, Outcome};

/// An error that the server sends in a session.
enum SessionError {
    /// Retryable; nothing was applied.
    Conflict(&'static str),
    /// Retryable; something may have been applied.
    Unavailable(&'static str),
    /// Permanent.
    Refusal(&'static str),
    /// Ends the session.
    Fatal(&'static str),
}

fn session_error(service: Service) -> Option<SessionError> {
    Some(match service {
        Service::DataConflict | Service::SchemaConflict => SessionError::Conflict("40001"),
        Service::Unavailable => SessionError::Unavailable("XX000"),
        Service::TransactionAge | Service::TransactionSize => SessionError::Refusal("54000"),
        Service::TransactionFailed => SessionError::Refusal("25P02"),
        Service::NotInTransaction => SessionError::Refusal("25001"),
        Service::UnsupportedStatement | Service::UnsupportedSetting => {
            SessionError::Refusal("0A000")
        }
        Service::UnknownType => SessionError::Refusal("42704"),
        Service::ShuttingDown => SessionError::Fatal("57P01"),
        Service::ProtocolViolation => SessionError::Fatal("08P01"),
        _ => return None,
    })
}

pub(super) fn idle(fault: Fault) -> Row {
    let (used_lately, ping_due) = match fault {
        Fault::Refuse | Fault::TryAgain => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage | Fault::Trickle => (served(), served()),
        Fault::Stall | Fault::Crawl => (cancelled(), Outcome::Served.by(Bound::Ping)),
        Fault::Service(service) => match session_error(service) {
            Some(SessionError::Fatal(_)) => (served(), served()),
            Some(_) => return Row::Impossible(NO_STATEMENT),
            None => return Row::Impossible(LOGGED_IN),
        },
    };
    Row::Possible(vec![used_lately, ping_due])
}

/// The expectations of a statement that a fault strikes, and of the transaction around it.
pub(super) struct Statement {
    alone: Expected,
    once: Expected,
    lasting: Expected,
    cancelled: Expected,
}

impl Statement {
    /// A fault that strikes `BEGIN` has the same outcome.
    pub(super) fn sent(self) -> Vec<Expected> {
        let begin = self.once.clone();
        vec![self.alone, begin, self.once, self.lasting, self.cancelled]
    }

    /// The query writes nothing.
    pub(super) fn half_read(self) -> Vec<Expected> {
        vec![
            self.alone.reading(),
            self.once,
            self.lasting,
            self.cancelled,
        ]
    }
}

pub(super) fn statement(fault: Fault, ways: impl FnOnce(Statement) -> Vec<Expected>) -> Row {
    let (alone, once, lasting) = match fault {
        Fault::Refuse | Fault::TryAgain => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage => (lost(), served(), lost()),
        Fault::Stall | Fault::Crawl => (cancelled(), timed_out(), timed_out()),
        Fault::Trickle => (served(), served(), served()),
        Fault::Service(service) => match session_error(service) {
            None => return Row::Impossible(LOGGED_IN),
            Some(SessionError::Conflict(code)) => (refused(code), served_later(), conflict()),
            Some(SessionError::Unavailable(code)) => {
                let lasting = Outcome::Refused(code.into()).by(Bound::Backoff);
                (refused(code), served_later(), lasting)
            }
            Some(SessionError::Refusal(code)) => (refused(code), refused(code), refused(code)),
            Some(SessionError::Fatal(code)) => (refused(code), served(), refused(code)),
        },
    };
    Row::Possible(ways(Statement {
        alone,
        once,
        lasting,
        cancelled: match fault.is_silent() {
            true => cancelled(),
            false => Expected::impossible(),
        },
    }))
}

/// The expectations of a transaction whose `COMMIT` a fault strikes.
struct Commit {
    by_hand: Expected,
    once: Expected,
    lasting: Expected,
    cancelled: Expected,
    idempotent: Expected,
    recorded: Expected,
}

impl Commit {
    /// The client cannot know whether the transaction was applied.
    fn in_doubt(by_hand: Expected) -> Self {
        let unknown = Outcome::CommitUnknown.by(Bound::AtOnce);
        Self {
            by_hand,
            once: unknown.clone(),
            lasting: unknown,
            cancelled: Expected::impossible(),
            idempotent: served(),
            recorded: served(),
        }
    }

    fn silent() -> Self {
        let unknown = Outcome::CommitUnknown.by(Bound::Deadline);
        Self {
            by_hand: cancelled(),
            once: unknown.clone(),
            lasting: unknown.clone(),
            cancelled: cancelled(),
            // No time is left for another attempt.
            idempotent: unknown,
            recorded: Outcome::Served.by(Bound::CommitReply),
        }
    }

    fn refused(code: &'static str) -> Self {
        Self {
            by_hand: refused(code),
            once: refused(code),
            lasting: refused(code),
            cancelled: Expected::impossible(),
            idempotent: refused(code),
            recorded: refused(code),
        }
    }

    fn row(self) -> Row {
        Row::Possible(vec![
            self.by_hand,
            self.once,
            self.lasting,
            self.cancelled,
            self.idempotent,
            self.recorded,
        ])
    }

    /// The same expectations if the transaction was applied.
    fn applied(self) -> Row {
        Self {
            by_hand: self.by_hand.applied(),
            once: self.once.applied(),
            lasting: self.lasting.applied(),
            cancelled: self.cancelled.applied(),
            idempotent: self.idempotent.applied(),
            recorded: self.recorded.applied(),
        }
        .row()
    }
}

/// The expectations of a transaction whose row for the outcome table a fault strikes.
pub(super) fn outcome_sent(fault: Fault) -> Row {
    let (once, lasting) = match fault {
        Fault::Refuse | Fault::TryAgain => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Trickle => (served(), served()),
        Fault::Reset | Fault::Eof | Fault::Garbage => (served(), unknown()),
        Fault::Stall => (Outcome::Served.by(Bound::CommitReply), unknown()),
        // Bytes that trickle are a reply: the row is inserted, and `COMMIT` applied.
        Fault::Crawl => (Outcome::Served.by(Bound::CommitReply), unknown().applied()),
        Fault::Service(service) => match session_error(service) {
            None => return Row::Impossible(LOGGED_IN),
            Some(SessionError::Conflict(_)) => (served_later(), conflict()),
            // A lasting fault would strike `COMMIT` itself.
            Some(SessionError::Unavailable(_)) => (served_later(), Expected::impossible()),
            Some(SessionError::Refusal(code)) => {
                let once = match code.starts_with("42") {
                    true => Outcome::UnusableTable(code.into()).by(Bound::AtOnce),
                    false => Outcome::RolledBack(code.into()).by(Bound::AtOnce),
                };
                (once, Expected::impossible())
            }
            Some(SessionError::Fatal(_)) => (served(), unknown()),
        },
    };
    Row::Possible(vec![once, lasting])
}

pub(super) fn commit_sent(fault: Fault) -> Row {
    match fault {
        Fault::Refuse | Fault::TryAgain => Row::Impossible(ALREADY_CONNECTED),
        Fault::Trickle | Fault::Crawl => Row::Impossible(TRICKLE_IS_A_REPLY),
        Fault::Reset | Fault::Eof | Fault::Garbage => Commit::in_doubt(lost()).row(),
        Fault::Stall => Commit::silent().row(),
        Fault::Service(service) => match session_error(service) {
            None => Row::Impossible(LOGGED_IN),
            Some(SessionError::Conflict(code)) => Commit {
                once: served_later(),
                lasting: conflict(),
                idempotent: served_later(),
                recorded: served_later(),
                ..Commit::refused(code)
            }
            .row(),
            Some(SessionError::Unavailable(code) | SessionError::Fatal(code)) => {
                Commit::in_doubt(refused(code)).row()
            }
            Some(SessionError::Refusal(code)) => Commit::refused(code).row(),
        },
    }
}

pub(super) fn commit_applied(fault: Fault) -> Row {
    match fault {
        Fault::Refuse | Fault::TryAgain => Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage => Commit::in_doubt(lost()).applied(),
        Fault::Stall | Fault::Crawl => Commit::silent().applied(),
        Fault::Trickle => Commit {
            by_hand: served(),
            once: served(),
            lasting: served(),
            cancelled: Expected::impossible(),
            idempotent: served(),
            recorded: served(),
        }
        .row(),
        Fault::Service(service) => match session_error(service) {
            None => Row::Impossible(LOGGED_IN),
            Some(SessionError::Unavailable(code) | SessionError::Fatal(code)) => {
                Commit::in_doubt(refused(code)).applied()
            }
            Some(SessionError::Conflict(_) | SessionError::Refusal(_)) => {
                Row::Impossible(NOTHING_APPLIED)
            }
        },
    }
}

/// The expectations of the next checkout, by what the last user left on the connection.
struct Return {
    statement: Expected,
    rows: Expected,
    begin: Expected,
    rollback: Expected,
}

pub(super) fn return_to_pool(fault: Fault) -> Row {
    let settled = || Outcome::Served.by(Bound::Settle);
    let at_once = Return {
        statement: served(),
        rows: served(),
        begin: served(),
        rollback: served(),
    };
    let next = match fault {
        Fault::Refuse | Fault::TryAgain => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage | Fault::Trickle => at_once,
        Fault::Stall | Fault::Crawl => Return {
            statement: settled(),
            rows: settled(),
            // The client knows that a transaction is open, without asking the server.
            begin: served(),
            rollback: settled(),
        },
        Fault::Service(service) => match session_error(service) {
            None => return Row::Impossible(LOGGED_IN),
            Some(SessionError::Fatal(_)) => at_once,
            Some(_) => Return {
                begin: Expected::impossible(),
                ..at_once
            },
        },
    };
    Row::Possible(vec![next.statement, next.rows, next.begin, next.rollback])
}

fn served_later() -> Expected {
    Outcome::Served.by(Bound::Backoff)
}

fn lost() -> Expected {
    Outcome::Lost.by(Bound::AtOnce)
}

fn refused(code: &'static str) -> Expected {
    Outcome::Refused(code.into()).by(Bound::AtOnce)
}

/// Other connections do not settle the commit before the deadline.
fn unknown() -> Expected {
    Outcome::CommitUnknown.by(Bound::Deadline)
}

fn conflict() -> Expected {
    Outcome::Conflict.by(Bound::Backoff)
}

fn timed_out() -> Expected {
    Outcome::TransactionTimedOut.by(Bound::Deadline)
}

const LOGGED_IN: &str = "the login is done";
const TRICKLE_IS_A_REPLY: &str = "bytes that trickle are a reply, so `COMMIT` was applied";
const NOTHING_APPLIED: &str = "this error means that nothing was applied";
