//! The guard of one session: runs the client's statements on the engine, and acts when the
//! session's transaction meets another one. The parent module documents the rules.

use bytes::{BufMut, BytesMut};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc};

use super::class::Class;
use super::flight::{self, Segment, Statements};
use super::internal::{self, Answer, EngineConnection, Failure, Tap};
use super::registry::{Member, MoveToken, Registry, Request};
use crate::protocol::ending::Ending;
use crate::protocol::exchange::SharedExchange;
use crate::protocol::frame::{self, Frame};
use crate::refusal::Refusal;

use self::transaction::{Place, Transaction};

mod aside;
mod commit;
mod statement;
mod transaction;

/// Stands between a session's frames and its engine.
pub(crate) struct Guard<'a> {
    engine: EngineConnection<'a>,
    exchange: &'a SharedExchange,
    /// Notified after replies were sent to the client.
    replied: &'a Notify,
    member: Member,
    statements: Statements,
    /// The frames of a flight that is not complete yet.
    incomplete: Vec<Frame>,
    /// How many pending replies belong to flights that were not sent yet.
    unsent: usize,
    /// Bytes for the engine whose replies go to the client.
    outgoing: BytesMut,
    transaction: Option<Transaction>,
    /// The transaction status in the engine's latest `ReadyForQuery`.
    status: u8,
    /// Bytes were sent that may have changed the status.
    is_uncertain: bool,
}

/// Why the engine failed a statement of a transaction that met another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contention {
    /// Another transaction holds a lock.
    Lock,
    /// Another transaction committed a change after this one's snapshot, or the statement violates
    /// a constraint in this one's own snapshot.
    Change,
}

impl Contention {
    fn of(failure: &Failure) -> Option<Self> {
        match failure.sqlstate.as_str() {
            "55P03" | "40P01" => Some(Self::Lock),
            "40001" | "23505" | "23503" => Some(Self::Change),
            _ => None,
        }
    }
}

impl<'a> Guard<'a> {
    /// Creates both ends of the channel for replies that the guard takes.
    pub(crate) fn tap() -> (Tap, mpsc::UnboundedReceiver<Frame>) {
        internal::tap()
    }

    pub(crate) fn new(
        engine: OwnedWriteHalf,
        tap: &'a Tap,
        diverted: mpsc::UnboundedReceiver<Frame>,
        replies: mpsc::UnboundedSender<BytesMut>,
        exchange: &'a SharedExchange,
        replied: &'a Notify,
        registry: &Registry,
    ) -> Self {
        let member = registry.join();
        let registration = member.registration();
        Self {
            engine: EngineConnection::new(engine, registration, tap, diverted, replies),
            exchange,
            replied,
            member,
            statements: Statements::default(),
            incomplete: Vec::new(),
            unsent: 0,
            outgoing: BytesMut::new(),
            transaction: None,
            status: b'I',
            is_uncertain: false,
        }
    }

    /// Waits until another session needs this one's locks.
    pub(crate) async fn requested(&mut self) -> Request {
        self.member.requested().await
    }

    /// Moves the transaction aside, as another session requested.
    pub(crate) async fn grant(&mut self, request: Request) -> Result<(), Ending> {
        self.quiesce().await;
        self.move_aside(request.for_definition).await
    }

    /// Notes frames that are sent later. Their replies are pending, but nothing of them is in
    /// flight.
    pub(crate) fn withhold(&mut self, out: &BytesMut) -> Result<(), Ending> {
        let mut out = out.clone();
        self.unsent = 0;
        while let Some(frame) = Frame::cut(&mut out, usize::MAX)? {
            self.unsent += usize::from(matches!(frame.tag(), b'Q' | b'S' | b'F'));
        }
        Ok(())
    }

    /// Takes the frames for the engine, and runs every complete flight.
    pub(crate) async fn send(&mut self, out: &mut BytesMut) -> Result<(), Ending> {
        let mut flights = Vec::new();
        while let Some(frame) = Frame::cut(out, usize::MAX)? {
            let ends = matches!(frame.tag(), b'Q' | b'S' | b'F' | b'H' | b'X');
            let is_data = matches!(frame.tag(), b'd' | b'c' | b'f');
            self.incomplete.push(frame);
            if ends || is_data && self.incomplete.len() == 1 {
                flights.push(std::mem::take(&mut self.incomplete));
            }
        }
        self.unsent = flights.iter().filter(|flight| awaits_ready(flight)).count();
        for flight in flights {
            let awaits_ready = awaits_ready(&flight);
            self.run_flight(flight).await?;
            self.unsent -= usize::from(awaits_ready);
        }
        self.flush().await
    }

    async fn run_flight(&mut self, mut flight: Vec<Frame>) -> Result<(), Ending> {
        if let [frame] = &flight[..]
            && matches!(frame.tag(), b'd' | b'c' | b'f' | b'X' | b'S' | b'F' | b'H')
        {
            self.outgoing.extend_from_slice(frame.bytes());
            return Ok(());
        }
        flight::without_lock_options(&mut flight)?;
        let segments = self.statements.cut(flight)?;
        for segment in segments {
            if !self.run(&segment).await? {
                break;
            }
        }
        Ok(())
    }

    /// Runs one segment. Returns whether the next one may run.
    async fn run(&mut self, segment: &Segment) -> Result<bool, Ending> {
        if !segment.executes() || !segment.ends {
            return self.pass(segment).await;
        }
        if self.is_uncertain {
            self.quiesce().await;
        }
        self.prepare_again(segment).await?;
        let has_others = self.member.has_others();
        let Some(transaction) = &mut self.transaction else {
            return match segment.class {
                Class::Begin => self.begin(segment).await,
                Class::Write | Class::Definition | Class::Lock | Class::LockShared
                    if has_others =>
                {
                    self.autocommit(segment).await
                }
                _ => self.pass(segment).await,
            };
        };
        if self.status == b'E' {
            return self.pass(segment).await;
        }
        self.member.ran();
        match (&transaction.place, segment.class) {
            (_, Class::Rollback) => self.pass(segment).await,
            (Place::Tables, Class::Commit)
                if has_others
                    && (self.member.has_open_others()
                        || !self.member.later_commits().is_empty()) =>
            {
                self.commit(segment).await
            }
            (Place::Tables, Class::Write | Class::Definition | Class::Lock | Class::LockShared)
                if has_others =>
            {
                self.write(segment).await
            }
            (Place::Tables, class) => {
                if matches!(class, Class::Lock | Class::LockShared) {
                    transaction.has_unnoted_locks = true;
                }
                self.pass(segment).await
            }
            (Place::Aside(_) | Place::Copies(_), Class::Commit) => self.commit_aside(segment).await,
            (Place::Aside(_) | Place::Copies(_), _) => self.run_on_copies(segment).await,
        }
    }

    /// Sends a segment whose reply goes to the client as it is.
    async fn pass(&mut self, segment: &Segment) -> Result<bool, Ending> {
        if !segment.is_last {
            // Only the last segment's ReadyForQuery may reach the client.
            let mut out = BytesMut::new();
            segment.put(&mut out);
            let answer = self.round_trip(&out).await?;
            return Ok(self.accept(answer, 0, segment));
        }
        segment.put(&mut self.outgoing);
        self.is_uncertain = true;
        if matches!(segment.class, Class::Commit | Class::Rollback) {
            self.transaction_ended();
        }
        self.flush().await?;
        Ok(true)
    }

    async fn flush(&mut self) -> Result<(), Ending> {
        if !self.outgoing.is_empty() {
            let bytes = self.outgoing.split();
            self.engine.pass(&bytes).await?;
        }
        Ok(())
    }

    /// Sends bytes when nothing is in flight, and returns the engine's answer.
    async fn round_trip(&mut self, bytes: &[u8]) -> Result<Answer, Ending> {
        self.flush().await?;
        self.quiesce().await;
        self.engine.send(bytes).await?;
        self.engine.answer().await
    }

    /// Sends an answer to the client, except its first `skipped` frames. Returns whether the next
    /// segment may run.
    fn accept(&mut self, answer: Answer, skipped: usize, segment: &Segment) -> bool {
        let has_failed = answer.error.is_some();
        if answer.copies_in {
            self.is_uncertain = true;
        } else {
            self.status = answer.status;
            self.follow_status();
        }
        self.engine
            .accept(answer, skipped, segment.is_last || has_failed);
        !has_failed
    }

    /// Fails a statement with a conflict.
    fn refuse(&self) {
        let mut out = BytesMut::new();
        frame::put_refusal(&mut out, &Refusal::Conflict);
        frame::put(&mut out, b'Z', |out| out.put_u8(self.status));
        self.engine.send_to_client(out);
    }

    /// Runs the guard's own SQL, which fails only by a defect of the guard.
    async fn query(&mut self, sql: &str) -> Result<internal::Rows, Ending> {
        match self.engine.query(sql).await? {
            Ok(rows) => Ok(rows),
            Err(failure) => {
                tracing::warn!(
                    sql,
                    failure.sqlstate,
                    failure.message,
                    "the guard's SQL failed"
                );
                Err(Ending::EngineClosed)
            }
        }
    }

    /// Waits for the right to move others aside. Another session may move this one's transaction
    /// while it waits.
    async fn token(&mut self) -> Result<MoveToken, Ending> {
        let token = self.member.token();
        tokio::pin!(token);
        loop {
            tokio::select! {
                biased;
                token = &mut token => return Ok(token),
                request = self.member.requested() => {
                    self.move_aside(request.for_definition).await?;
                }
            }
        }
    }
}

fn awaits_ready(flight: &[Frame]) -> bool {
    flight
        .last()
        .is_some_and(|frame| matches!(frame.tag(), b'Q' | b'S' | b'F'))
}

/// Returns whether a function of the engine returned true.
fn is_true(rows: internal::Rows) -> bool {
    rows.into_iter().flatten().flatten().any(|cell| cell == "t")
}

/// How often a statement is tried while it meets locks. An attempt waits for the engine's
/// `lock_timeout`, so that the last one comes seconds after the first.
const ATTEMPTS: u32 = 200;
