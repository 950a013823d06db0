//! Keeps the books on one session: what was asked, what is unanswered, what the answers said.

use std::collections::VecDeque;

use super::frames::STARTUP;

/// The state of a session as its messages tell it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    status: Status,
    /// What was sent and not yet answered by `ReadyForQuery`, oldest first.
    flights: VecDeque<Flight>,
    /// What was sent since the last flight ended.
    unfinished: Unfinished,
    /// The server takes rows by `COPY .. FROM STDIN`.
    copying_in: bool,
    closed: bool,
    pub(super) password_was_unwanted: bool,
    /// Which answer belongs to which question can no longer be told, although the session lives.
    pub(super) derailed: bool,
    /// The tag of the last command that completed.
    pub(super) tag: Option<Vec<u8>>,
    pub(super) conflict: Option<Conflict>,
    /// The first failure.
    pub(super) failure: Option<Refusal>,
    /// A `BEGIN` is about to be written that the statement behind it may join.
    pub(super) opens: bool,
    /// It has not been answered.
    opening: bool,
    /// A transaction has ended, by whatever statement.
    pub(super) has_ended: bool,
    /// Something was sent that may commit a transaction.
    pub(super) may_have_committed: bool,
    /// Such a statement was prepared, and may be run from now on without being sent again.
    commit_prepared: bool,

    /// The driver's last act was a flush that went through: nothing is left in its queue.
    pub(super) flushed: bool,
    /// There was nothing more to read when the driver last tried. It does not try while somebody leaves their rows untaken.
    pub(super) drained: bool,
    pub(super) fence_wanted: u64,
    fence_begun: u64,
    pub(super) fence_reached: u64,
}

/// Messages that the server answers with one `ReadyForQuery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flight {
    /// A startup packet, a simple query or a function call.
    Simple,
    /// Messages of the extended protocol up to `Sync`.
    Extended,
    /// `Close` and `Sync`: the driver forgets a prepared statement. Changes nothing that matters to the next borrower, who
    /// never waits for it.
    Housekeeping,
}

/// What was sent of a flight that `Sync` has not ended yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Unfinished {
    #[default]
    Nothing,
    Closes,
    Work,
}

/// The transaction status that `ReadyForQuery` reports.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// No answer yet, or one that is none of the protocol's.
    #[default]
    Unknown,
    /// Outside of a transaction.
    Idle,
    /// In a transaction.
    Open,
    /// In a transaction that a failed statement has doomed.
    Failed,
}

/// A failed attempt that the service's concurrency control ended: SQLSTATE 40001.
///
/// See [concurrency control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The server's message.
    pub(crate) message: String,
}

/// An error that the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its SQLSTATE.
    pub(crate) code: String,
    /// Its message.
    pub(crate) message: String,
}

impl Ledger {
    pub(super) fn sent(&mut self, tag: u8, body: &[u8]) {
        match tag {
            b'Q' => {
                let is_whole = body.ends_with(&[0]);
                self.may_have_committed |=
                    !is_whole || body.split(|&byte| byte == b';').any(may_commit);
            }
            b'P' => {
                let name = body.iter().position(|&byte| byte == 0);
                let commits = name.is_none_or(|end| may_commit(&body[end + 1..]));
                // Without a name it is forgotten at the next one.
                self.commit_prepared |= commits && name != Some(0);
                self.may_have_committed |= commits;
            }
            _ => {}
        }
        let flight = match tag {
            STARTUP | b'Q' | b'F' => Flight::Simple,
            b'S' => match self.unfinished {
                Unfinished::Closes => Flight::Housekeeping,
                Unfinished::Nothing | Unfinished::Work => Flight::Extended,
            },
            b'C' if self.unfinished != Unfinished::Work => {
                self.unfinished = Unfinished::Closes;
                return;
            }
            // A password and a farewell belong to no flight.
            b'p' | b'X' => return,
            // A COPY given up. How many answers are due for it depends on how far it came.
            b'f' => return self.derail(),
            _ => {
                self.unfinished = Unfinished::Work;
                return;
            }
        };
        self.unfinished = Unfinished::Nothing;
        self.flights.push_back(flight);
    }

    pub(super) fn received(&mut self, tag: u8, body: &[u8]) {
        match tag {
            b'Z' => self.ready(body),
            b'C' => {
                let end = body.iter().position(|&byte| byte == 0);
                let tag = &body[..end.unwrap_or(body.len())];
                // The next one may have begun in the same flight, whose status does not tell.
                self.has_ended |= matches!(tag, b"COMMIT" | b"ROLLBACK");
                self.tag = Some(tag.to_vec());
                self.copying_in = false;
            }
            b'E' => self.refused(body),
            // The driver ends the statement that starts a COPY by a Sync, which the server passes over, and the rows by
            // another, which it answers: one of the two is owed nothing. A COPY by simple query never gets its rows from
            // this driver, and would wait for them for ever.
            b'G' => match self.flights.pop_front() {
                Some(Flight::Extended) => self.copying_in = true,
                _ => self.derail(),
            },
            b'W' => self.derail(),
            _ => {}
        }
    }

    fn ready(&mut self, body: &[u8]) {
        self.copying_in = false;
        let was_open = matches!(self.status, Status::Open | Status::Failed);
        self.status = match body {
            b"I" => Status::Idle,
            b"T" => Status::Open,
            b"E" => Status::Failed,
            _ => Status::Unknown,
        };
        self.has_ended |= was_open && self.status == Status::Idle;
        self.opening &= self.status == Status::Idle;
        if self.flights.pop_front().is_none() {
            // More answers than questions.
            self.derail();
        }
    }

    fn refused(&mut self, body: &[u8]) {
        let fields = Fields::parse(body);
        if fields.code == SERIALIZATION_FAILURE && self.conflict.is_none() {
            self.conflict = Some(Conflict {
                message: fields.message.clone(),
            });
        }
        if self.failure.is_none() {
            self.failure = Some(Refusal {
                code: fields.code,
                message: fields.message,
            });
        }
        if matches!(&*fields.severity, "FATAL" | "PANIC") {
            self.close();
        } else if self.copying_in {
            // How many Syncs a failed COPY leaves unanswered depends on when it failed.
            self.derail();
        }
    }

    pub(super) fn open(&mut self) {
        self.begin();
        self.opens = true;
        self.opening = true;
    }

    pub(super) fn begin(&mut self) {
        self.tag = None;
        self.conflict = None;
        self.failure = None;
        self.has_ended = false;
        self.may_have_committed = self.commit_prepared;
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    fn derail(&mut self) {
        self.derailed = true;
        self.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// Whether the answer to `BEGIN` is due, and nothing else.
    pub(super) fn is_only_opening(&self) -> bool {
        let is_work = |flight: &&Flight| **flight != Flight::Housekeeping;
        self.opening && self.flights.iter().filter(is_work).count() == 1
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.opening || self.status != Status::Idle
    }

    pub(super) fn is_settled(&self) -> bool {
        self.unfinished != Unfinished::Work
            && !self.copying_in
            && self
                .flights
                .iter()
                .all(|flight| *flight == Flight::Housekeeping)
    }

    pub(super) fn driver_begins(&mut self) {
        self.fence_begun = self.fence_wanted;
        self.flushed = false;
        self.drained = false;
    }

    /// The fence holds only for what was queued before the driver's turn began: it empties its queue first and flushes
    /// last, and something may have been queued in between. A flush in the middle of a full queue is followed by a write.
    pub(super) fn driver_rests(&mut self) {
        if self.flushed && self.drained {
            self.fence_reached = self.fence_begun;
        }
    }
}

/// The fields of an `ErrorResponse` that matter here.
#[derive(Default)]
struct Fields {
    severity: String,
    code: String,
    message: String,
}

impl Fields {
    fn parse(body: &[u8]) -> Self {
        let mut fields = Self::default();
        for field in body.split(|&byte| byte == 0) {
            let Some((kind, value)) = field.split_first() else {
                continue;
            };
            let target = match kind {
                // The severity is translated in `S` and never in `V`, which comes after it.
                b'S' | b'V' => &mut fields.severity,
                b'C' => &mut fields.code,
                b'M' => &mut fields.message,
                _ => continue,
            };
            *target = String::from_utf8_lossy(value).into_owned();
        }
        fields
    }
}

/// Whether a statement may commit a transaction, by its first word. In doubt it may.
fn may_commit(statement: &[u8]) -> bool {
    let statement = uncommented(statement);
    let length = statement
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    match &statement[..length] {
        // Nothing, or a comment in front.
        [] => !matches!(statement, [] | [0, ..]),
        word => COMMITTING
            .iter()
            .any(|commit| word.eq_ignore_ascii_case(commit)),
    }
}

/// Leaves out blanks and comments in front, as tools write them there to be found in logs. A comment that has no end here, or
/// another one inside of it, stays.
fn uncommented(statement: &[u8]) -> &[u8] {
    let mut rest = statement.trim_ascii_start();
    loop {
        let end = match rest {
            [b'-', b'-', ..] => rest.iter().position(|byte| b"\n\r".contains(byte)),
            [b'/', b'*', inside @ ..] => {
                let marks = |pair: &[u8]| matches!(pair, b"*/" | b"/*");
                let mark = inside.windows(2).position(marks);
                mark.filter(|&at| inside[at] == b'*').map(|at| 2 + at + 1)
            }
            _ => return rest,
        };
        let Some(end) = end else {
            return rest;
        };
        rest = rest[end + 1..].trim_ascii_start();
    }
}

/// The first words of statements that commit a transaction. `CALL` may do what it likes.
const COMMITTING: [&[u8]; 6] = [
    b"COMMIT",
    b"END",
    b"PREPARE",
    b"CALL",
    b"ROLLBACK",
    b"ABORT",
];

const SERIALIZATION_FAILURE: &str = "40001";

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger after its startup packet was answered.
    fn ready() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.sent(STARTUP, b"");
        assert!(!ledger.is_settled());
        ledger.sent(b'p', b"");
        ledger.received(b'R', &[0; 4]);
        ledger.received(b'Z', b"I");
        assert!(ledger.is_settled());
        ledger
    }

    fn sent(ledger: &mut Ledger, tags: &[u8]) {
        for &tag in tags {
            ledger.sent(tag, b"\0\0");
        }
    }

    #[test]
    fn a_statement_is_unsettled_until_it_is_answered() {
        let mut ledger = ready();
        sent(&mut ledger, b"PD");
        assert!(!ledger.is_settled(), "without its Sync");
        sent(&mut ledger, b"S");
        assert!(!ledger.is_settled(), "with it");
        ledger.received(b'T', b"");
        ledger.received(b'Z', b"T");
        assert!(ledger.is_settled());
        assert_eq!(ledger.status(), Status::Open);
    }

    #[test]
    fn housekeeping_is_not_waited_for() {
        let mut ledger = ready();
        sent(&mut ledger, b"CS");
        assert!(ledger.is_settled());
        sent(&mut ledger, b"BES");
        assert!(!ledger.is_settled());
        ledger.received(b'Z', b"I");
        assert!(!ledger.is_settled(), "that answered the housekeeping");
        ledger.received(b'Z', b"I");
        assert!(ledger.is_settled());
    }

    #[test]
    fn copy_in_is_answered_once_for_its_two_syncs() {
        let mut ledger = ready();
        sent(&mut ledger, b"BES");
        ledger.received(b'G', b"");
        assert!(!ledger.is_settled(), "rows are awaited");
        sent(&mut ledger, b"ddcS");
        ledger.received(b'C', b"COPY 2\0");
        ledger.received(b'Z', b"I");
        assert!(ledger.is_settled() && !ledger.is_closed());
        assert_eq!(ledger.tag.as_deref(), Some(&b"COPY 2"[..]));
    }

    #[test]
    fn what_does_not_add_up_closes_the_session() {
        let mut failed_copy = ready();
        sent(&mut failed_copy, b"BES");
        failed_copy.received(b'G', b"");
        failed_copy.received(b'E', b"SERROR\0C22P02\0Mbad\0\0");
        assert!(failed_copy.is_closed(), "an error inside a COPY");

        let mut simple_copy = ready();
        simple_copy.sent(b'Q', b"\0");
        simple_copy.received(b'G', b"");
        assert!(simple_copy.is_closed(), "a COPY whose rows never come");

        let mut surplus = ready();
        surplus.received(b'Z', b"I");
        assert!(surplus.is_closed(), "an answer to no question");

        let mut fatal = ready();
        fatal.received(b'E', b"SFATAL\0VFATAL\0C57P01\0Mshutting down\0\0");
        assert!(fatal.is_closed(), "the server's last word");
    }

    #[test]
    fn a_conflict_is_kept_until_the_next_transaction() {
        let mut ledger = ready();
        ledger.received(
            b'E',
            b"SERROR\0VERROR\0C40001\0Mchange conflicts with another transaction (OC000)\0\0",
        );
        ledger.received(b'E', b"SERROR\0VERROR\0C25P02\0Maborted\0\0");
        let message = ledger.conflict.as_ref().map(|conflict| &*conflict.message);
        assert_eq!(
            message,
            Some("change conflicts with another transaction (OC000)")
        );
        let failure = ledger.failure.as_ref();
        assert!(failure.is_some_and(|failure| failure.code == "40001"));
        ledger.begin();
        assert!(ledger.conflict.is_none() && ledger.failure.is_none());
    }

    #[test]
    fn what_may_commit_is_told_from_what_does_not() {
        let may = |tag: u8, body: &[u8]| {
            let mut ledger = ready();
            ledger.sent(tag, body);
            ledger.may_have_committed
        };
        for text in [
            "COMMIT\0",
            " \n commit work\0",
            "-- why\nCOMMIT\0",
            "/* why */ COMMIT\0",
            "CALL finish()\0",
        ] {
            assert!(may(b'Q', text.as_bytes()), "{text:?}");
            assert!(may(b'P', format!("s1\0{text}\0\0").as_bytes()), "{text:?}");
        }
        for text in ["INSERT INTO note VALUES ('commit')\0", "COMMITTED\0", "\0"] {
            assert!(!may(b'Q', text.as_bytes()), "{text:?}");
            assert!(!may(b'P', format!("s1\0{text}\0\0").as_bytes()), "{text:?}");
        }
        assert!(may(b'Q', b"INSERT INTO note VALUES (1); end;\0"));
        // What comes after it is committed by itself.
        assert!(may(
            b'Q',
            b"SELECT 1; ROLLBACK; INSERT INTO note VALUES (1)\0"
        ));
        for text in ["-- why\n/* who */ SELECT 1\0", "/**/SELECT 1\0"] {
            assert!(!may(b'Q', text.as_bytes()), "{text:?}");
        }
        for text in [
            "/* a /* b */ c */ COMMIT\0",
            "-- a\rCOMMIT\nSELECT 1\0",
            "/*/ COMMIT\0",
            "-- a; b\nCOMMIT\0",
        ] {
            assert!(may(b'Q', text.as_bytes()), "{text:?}");
        }
        assert!(may(b'Q', b"SELECT 'longer than is kept"));
        assert!(!may(b'P', b"s1\0SELECT 'longer than is kept"));
        assert!(!may(b'B', b"\0s1\0"));
    }

    #[test]
    fn a_commit_that_was_prepared_may_run_in_any_later_transaction() {
        let mut ledger = ready();
        ledger.sent(b'Q', b"COMMIT\0");
        ledger.begin();
        assert!(!ledger.may_have_committed);
        ledger.sent(b'P', b"s1\0COMMIT\0\0\0");
        ledger.begin();
        assert!(ledger.may_have_committed);
    }

    #[test]
    fn the_fence_holds_for_what_was_queued_before_the_drivers_turn() {
        let mut ledger = ready();
        ledger.driver_begins();
        ledger.fence_wanted += 1;
        (ledger.drained, ledger.flushed) = (true, true);
        ledger.driver_rests();
        assert_eq!(ledger.fence_reached, 0, "wanted in the middle of a turn");
        ledger.driver_begins();
        ledger.drained = true;
        ledger.driver_rests();
        assert_eq!(ledger.fence_reached, 0, "the flush did not go through");
        ledger.driver_begins();
        ledger.flushed = true;
        ledger.driver_rests();
        assert_eq!(ledger.fence_reached, 0, "rows wait to be taken");
        ledger.driver_begins();
        (ledger.drained, ledger.flushed) = (true, true);
        ledger.driver_rests();
        assert_eq!(ledger.fence_reached, 1);
    }
}
