//! The session state, derived from the messages.

use super::fence::Fence;
use super::flights::{Flights, OutOfStep};
use super::sql::{batch_may_commit, may_commit};
use super::waiters::Waiters;
use crate::sqlstate::ServerError;

#[derive(Debug, Default)]
pub(super) struct SessionState {
    status: Status,
    flights: Flights,
    pub(super) fence: Fence,
    pub(super) waiters: Waiters,
    closed: bool,
    /// Replies can no longer be matched with requests, although the connection is open.
    pub(super) out_of_step: bool,
    pub(super) password_was_unwanted: bool,
    /// This side has aborted the connection task.
    pub(super) aborted: bool,
    /// The owner has dropped the connection.
    pub(super) leaving: bool,
    /// The next `BEGIN` is pipelined with the statement behind it.
    pub(super) pipelines_begin: bool,
    /// `BEGIN` has no reply yet.
    begin_is_pending: bool,
    /// A prepared statement of this session may commit, and may run without being sent again.
    commit_is_prepared: bool,
    pub(super) transaction: Seen,
}

/// What the messages showed since a transaction, or its `COMMIT`, began.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The tag of the last command that completed.
    pub(super) tag: Option<Vec<u8>>,
    /// The first conflict.
    pub(super) conflict: Option<ServerError>,
    /// The first error.
    pub(super) failure: Option<ServerError>,
    /// A transaction has ended, by any statement.
    pub(super) has_ended: bool,
    /// Something was sent that may commit a transaction.
    pub(super) may_have_committed: bool,
}

/// The transaction status that `ReadyForQuery` reports.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// No reply yet, or one that is not of the protocol.
    #[default]
    Unknown,
    /// Outside of a transaction.
    Idle,
    /// In a transaction.
    Open,
    /// In a transaction that failed.
    Failed,
}

impl SessionState {
    /// Follows a message of the driver.
    pub(super) fn sent(&mut self, tag: u8, body: &[u8]) {
        match tag {
            b'Q' => {
                self.transaction.may_have_committed |= batch_may_commit(body, body.ends_with(&[0]));
            }
            b'P' => {
                let name = body.iter().position(|&byte| byte == 0);
                let commits = name.is_none_or(|end| may_commit(&body[end + 1..]));
                // The next Parse replaces the statement without a name.
                self.commit_is_prepared |= commits && name != Some(0);
                self.transaction.may_have_committed |= commits;
            }
            _ => {}
        }
        let sent = self.flights.sent(tag);
        self.check(sent);
    }

    /// Follows a message of the server.
    pub(super) fn received(&mut self, tag: u8, body: &[u8]) {
        match tag {
            b'Z' => self.ready(body),
            b'C' => self.completed(body),
            b'E' => self.failed(body),
            b'G' => {
                let begun = self.flights.copy_in_begins();
                self.check(begun);
            }
            // COPY in both directions, which this driver does not support.
            b'W' => self.check(Err(OutOfStep)),
            _ => {}
        }
    }

    fn ready(&mut self, body: &[u8]) {
        let was_open = matches!(self.status, Status::Open | Status::Failed);
        self.status = match body {
            b"I" => Status::Idle,
            b"T" => Status::Open,
            b"E" => Status::Failed,
            _ => Status::Unknown,
        };
        self.transaction.has_ended |= was_open && self.status == Status::Idle;
        self.begin_is_pending &= self.status == Status::Idle;
        let ready = self.flights.ready();
        self.check(ready);
    }

    fn completed(&mut self, body: &[u8]) {
        let end = body.iter().position(|&byte| byte == 0);
        let tag = &body[..end.unwrap_or(body.len())];
        // The same flight may begin the next transaction, so its status does not show the end of
        // this one.
        self.transaction.has_ended |= matches!(tag, b"COMMIT" | b"ROLLBACK");
        let last = self.transaction.tag.get_or_insert_default();
        last.clear();
        last.extend_from_slice(tag);
        self.flights.command_completed();
    }

    fn failed(&mut self, body: &[u8]) {
        let error = ServerError::parse(body);
        match error.is_fatal() {
            true => self.close(),
            false => {
                let failed = self.flights.failed();
                self.check(failed);
            }
        }
        let seen = &mut self.transaction;
        if seen.conflict.is_none() && error.meaning().is_conflict() {
            seen.conflict = Some(error.clone());
        }
        seen.failure.get_or_insert(error);
    }

    /// Starts to observe a transaction whose `BEGIN` is pipelined.
    pub(super) fn begin_pipelined(&mut self) {
        self.forget();
        self.pipelines_begin = true;
        self.begin_is_pending = true;
    }

    /// Forgets what was seen so far.
    pub(super) fn forget(&mut self) {
        self.transaction = Seen {
            may_have_committed: self.commit_is_prepared,
            ..Seen::default()
        };
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    fn check(&mut self, step: Result<(), OutOfStep>) {
        if step == Err(OutOfStep) {
            self.out_of_step = true;
            self.close();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// Returns whether only the reply to `BEGIN` is pending, and no statement waits behind it.
    pub(super) fn awaits_begin_alone(&self) -> bool {
        self.begin_is_pending && self.flights.due() == 1 && !self.fence.is_writing()
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.begin_is_pending || self.status != Status::Idle
    }

    /// Returns whether every statement was answered, and the driver holds back none.
    pub(super) fn is_settled(&self) -> bool {
        self.flights.is_settled() && self.fence.is_clear()
    }

    /// Returns whether no reply is pending. The driver may hold back more requests.
    #[cfg(test)]
    pub(super) fn is_answered(&self) -> bool {
        self.flights.is_settled()
    }

    /// Returns whether rows of a query wait for their reader: the driver does not read on, and
    /// replies behind them cannot arrive.
    pub(super) fn has_unread_rows(&self) -> bool {
        !self.closed && self.fence.is_held_up()
    }

    /// Returns whether a statement waits for its reply behind such rows.
    pub(super) fn waits_behind_rows(&self) -> bool {
        // The first reply is the one with the rows.
        self.has_unread_rows() && self.flights.due() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::STARTUP;
    use super::*;

    /// Returns a session after its login.
    fn ready() -> SessionState {
        let mut state = SessionState::default();
        state.sent(STARTUP, b"");
        assert!(!state.is_answered());
        state.sent(b'p', b"");
        state.received(b'R', &[0; 4]);
        state.received(b'Z', b"I");
        assert!(state.is_answered());
        state
    }

    #[test]
    fn ready_for_query_tells_the_status() {
        let mut state = ready();
        for (body, status) in [
            (&b"T"[..], Status::Open),
            (b"E", Status::Failed),
            (b"I", Status::Idle),
            (b"?", Status::Unknown),
        ] {
            state.sent(b'Q', b"SELECT 1\0");
            state.received(b'Z', body);
            assert_eq!(state.status(), status);
        }
    }

    #[test]
    fn a_reply_without_a_request_closes_the_session() {
        let mut state = ready();
        state.received(b'Z', b"I");
        assert!(state.is_closed() && state.out_of_step);
    }

    #[test]
    fn a_fatal_error_closes_the_session_in_step() {
        let mut state = ready();
        state.received(b'E', b"SFATAL\0VFATAL\0C57P01\0Mshutting down\0\0");
        assert!(state.is_closed() && !state.out_of_step);
    }

    #[test]
    fn a_conflict_is_kept_until_the_next_transaction() {
        const CONFLICT: &str = "change conflicts with another transaction (OC000)";
        let mut state = ready();
        let body = format!("SERROR\0VERROR\0C40001\0M{CONFLICT}\0\0");
        state.received(b'E', body.as_bytes());
        state.received(b'E', b"SERROR\0VERROR\0C25P02\0Maborted\0\0");
        let conflict = state.transaction.conflict.as_ref();
        assert_eq!(conflict.map(ServerError::message), Some(CONFLICT));
        let failure = state.transaction.failure.as_ref();
        assert!(failure.is_some_and(|failure| failure.code().code() == "40001"));
        state.forget();
        assert!(state.transaction.conflict.is_none() && state.transaction.failure.is_none());
    }

    #[test]
    fn a_commit_is_found_in_a_query_and_in_a_parse() {
        let may = |tag: u8, body: &[u8]| {
            let mut state = ready();
            state.sent(tag, body);
            state.transaction.may_have_committed
        };
        assert!(may(b'Q', b"COMMIT\0"));
        assert!(may(b'P', b"s1\0COMMIT\0\0"));
        assert!(may(b'Q', b"SELECT 'longer than is kept"));
        for (tag, body) in [
            (b'Q', &b"SELECT 1\0"[..]),
            (b'P', b"s1\0SELECT 1\0\0"),
            (b'P', b"s1\0SELECT 'longer than is kept"),
            (b'B', b"\0s1\0"),
        ] {
            assert!(!may(tag, body), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_prepared_commit_may_run_in_any_later_transaction() {
        let mut state = ready();
        state.sent(b'Q', b"COMMIT\0");
        state.forget();
        assert!(!state.transaction.may_have_committed);
        state.sent(b'P', b"s1\0COMMIT\0\0\0");
        state.forget();
        assert!(state.transaction.may_have_committed);
    }
}
