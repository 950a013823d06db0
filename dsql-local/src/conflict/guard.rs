//! The guard of one session: it knows where the session's transaction runs, and acts when it meets
//! another one. See the parent module for the rules.

use bytes::{BufMut, BytesMut};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc};

use super::flight::{self, Class, Segment, Statements};
pub(crate) use super::internal::Tap;
use super::internal::{self, Answer, Failure, Line};
use super::registry::{Member, Registry, Request, Token};
use super::rename::Copied;
use super::writes::{Change, Lock, Writes};
use crate::ending::Ending;
use crate::frame::{self, Frame};
use crate::line::SharedLine;
use crate::refusal::Refusal;
use crate::role::literal;

/// Stands between a session's frames and its engine.
pub(crate) struct Guard<'a> {
    engine: Line<'a>,
    line: &'a SharedLine,
    /// Wakes up after the client was answered.
    answered: &'a Notify,
    member: Member,
    statements: Statements,
    /// The beginning of a flight.
    pending: Vec<Frame>,
    /// How many answers are due for what was not sent yet.
    unsent: usize,
    /// Copied data on its way.
    passing: BytesMut,
    transaction: Option<Transaction>,
    /// The engine's last word on the transaction.
    status: u8,
    /// Something was passed that may have changed it.
    is_uncertain: bool,
}

/// An explicit transaction.
#[derive(Debug)]
struct Transaction {
    place: Place,
    /// It has its savepoint.
    is_pinned: bool,
    /// It locked rows by SELECT while it was the only session.
    has_unnoted_locks: bool,
}

/// Where a transaction's writes are.
#[derive(Debug)]
pub(crate) enum Place {
    /// In the tables.
    Tables,
    /// Here, since its statements last ran.
    Aside(Writes),
    /// In copies of the tables.
    Copies(Copied),
}

/// What an error of the engine's means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// Another transaction's lock.
    Lock,
    /// What another transaction committed after this one's snapshot, or a violation in this one's
    /// own.
    Change,
}

impl Met {
    fn of(failure: &Failure) -> Option<Self> {
        match failure.sqlstate.as_str() {
            "55P03" | "40P01" => Some(Self::Lock),
            "40001" | "23505" | "23503" => Some(Self::Change),
            _ => None,
        }
    }
}

impl<'a> Guard<'a> {
    /// Makes the two ends of what the guard diverts.
    pub(crate) fn tap() -> (Tap, mpsc::UnboundedReceiver<Frame>) {
        internal::tap()
    }

    pub(crate) fn new(
        engine: OwnedWriteHalf,
        tap: &'a Tap,
        diverted: mpsc::UnboundedReceiver<Frame>,
        answers: mpsc::UnboundedSender<BytesMut>,
        line: &'a SharedLine,
        answered: &'a Notify,
        registry: &Registry,
    ) -> Self {
        Self {
            engine: Line::new(engine, tap, diverted, answers),
            line,
            answered,
            member: registry.join(),
            statements: Statements::default(),
            pending: Vec::new(),
            unsent: 0,
            passing: BytesMut::new(),
            transaction: None,
            status: b'I',
            is_uncertain: false,
        }
    }

    /// Waits until another session needs this one's locks.
    pub(crate) async fn requested(&mut self) -> Request {
        self.member.requested().await
    }

    /// Moves the transaction aside, as another session asked.
    pub(crate) async fn grant(&mut self, request: Request) -> Result<(), Ending> {
        self.quiesce().await;
        self.move_aside(request.for_definition).await
    }

    /// Takes frames that were admitted, and has the engine run them.
    pub(crate) async fn send(&mut self, out: &mut BytesMut) -> Result<(), Ending> {
        let mut flights = Vec::new();
        while let Some(frame) = Frame::cut(out, usize::MAX)? {
            let ends = matches!(frame.tag(), b'Q' | b'S' | b'F' | b'H' | b'X');
            let is_data = matches!(frame.tag(), b'd' | b'c' | b'f');
            self.pending.push(frame);
            if ends || is_data && self.pending.len() == 1 {
                flights.push(std::mem::take(&mut self.pending));
            }
        }
        self.unsent = flights.iter().filter(|flight| awaits_ready(flight)).count();
        for flight in flights {
            let awaits_ready = awaits_ready(&flight);
            self.fly(flight).await?;
            self.unsent -= usize::from(awaits_ready);
        }
        self.pass_on().await
    }

    async fn fly(&mut self, mut flight: Vec<Frame>) -> Result<(), Ending> {
        if let [frame] = &flight[..]
            && matches!(frame.tag(), b'd' | b'c' | b'f' | b'X' | b'S' | b'F' | b'H')
        {
            self.passing.extend_from_slice(frame.bytes());
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
        self.statements_in_place(segment).await?;
        let has_company = self.member.has_company();
        let Some(transaction) = &mut self.transaction else {
            return match segment.class {
                Class::Begin => self.begin(segment).await,
                Class::Write | Class::Definition if has_company => self.autocommit(segment).await,
                Class::Lock | Class::LockShared if has_company => self.autocommit(segment).await,
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
                if has_company
                    && (self.member.is_beside_others() || !self.member.met().is_empty()) =>
            {
                self.commit(segment).await
            }
            (Place::Tables, Class::Write | Class::Definition | Class::Lock | Class::LockShared)
                if has_company =>
            {
                self.write(segment).await
            }
            (Place::Tables, class) => {
                if matches!(class, Class::Lock | Class::LockShared) {
                    transaction.has_unnoted_locks = true;
                }
                self.pass(segment).await
            }
            (Place::Aside(_) | Place::Copies(_), Class::Commit) => self.settle(segment).await,
            (Place::Aside(_) | Place::Copies(_), _) => self.run_on_copies(segment).await,
        }
    }

    /// Sends a segment whose answer needs no attention.
    async fn pass(&mut self, segment: &Segment) -> Result<bool, Ending> {
        if !segment.is_last {
            // The client must not see where the flight was cut.
            let mut out = BytesMut::new();
            segment.put(&mut out);
            let answer = self.exchange(&out).await?;
            return Ok(self.accept(answer, 0, segment));
        }
        segment.put(&mut self.passing);
        self.is_uncertain = true;
        if matches!(segment.class, Class::Commit | Class::Rollback) {
            self.ended();
        }
        self.pass_on().await?;
        Ok(true)
    }

    async fn pass_on(&mut self) -> Result<(), Ending> {
        if !self.passing.is_empty() {
            let bytes = self.passing.split();
            self.engine.pass(&bytes).await?;
        }
        Ok(())
    }

    fn ended(&mut self) {
        self.transaction = None;
        self.member.end();
    }

    /// Waits until everything that was sent is answered.
    async fn quiesce(&mut self) {
        loop {
            let answered = self.answered.notified();
            {
                let line = self.line.lock();
                if line.answers.ready_due() <= self.unsent {
                    if std::mem::take(&mut self.is_uncertain) {
                        self.status = line.status;
                    }
                    break;
                }
            }
            answered.await;
        }
        match (&self.transaction, self.status) {
            (Some(_), b'I') => self.ended(),
            // It was begun by a text that the guard did not see through.
            (None, b'T' | b'E') => self.began(false),
            _ => {}
        }
    }

    fn began(&mut self, is_pinned: bool) {
        self.member.begin();
        self.transaction = Some(Transaction {
            place: Place::Tables,
            is_pinned,
            has_unnoted_locks: false,
        });
    }

    /// Sends bytes when nothing is in flight, and returns what the engine answered.
    async fn exchange(&mut self, bytes: &[u8]) -> Result<Answer, Ending> {
        self.pass_on().await?;
        self.quiesce().await;
        self.engine.send(bytes).await?;
        self.engine.answer().await
    }

    /// Shows an answer to the client. Returns whether the next segment may run.
    fn accept(&mut self, answer: Answer, skipped: usize, segment: &Segment) -> bool {
        let has_failed = answer.error.is_some();
        if answer.copies_in {
            self.is_uncertain = true;
        } else {
            self.status = answer.status;
            match (&self.transaction, self.status) {
                (Some(_), b'I') => self.ended(),
                (None, b'T' | b'E') => self.began(false),
                _ => {}
            }
        }
        self.engine
            .accept(answer, skipped, segment.is_last || has_failed);
        !has_failed
    }

    async fn begin(&mut self, segment: &Segment) -> Result<bool, Ending> {
        let mut out = BytesMut::new();
        segment.put(&mut out);
        flight::put_query(&mut out, PIN);
        // Before the snapshot: what is committed later is noticed.
        self.member.begin();
        let answer = self.exchange(&out).await?;
        let pinned = self.engine.answer().await?;
        if answer.status == b'T' {
            self.began(pinned.error.is_none());
        } else {
            self.member.end();
        }
        Ok(self.accept(answer, 0, segment))
    }

    /// Runs a statement that is a transaction of its own, and moves others aside if they lock its
    /// rows.
    async fn autocommit(&mut self, segment: &Segment) -> Result<bool, Ending> {
        let mut attempt = 0;
        loop {
            // What it writes matters to transactions that began before.
            let is_noted = segment.class != Class::Definition
                && !segment
                    .text
                    .trim_start()
                    .to_ascii_lowercase()
                    .starts_with("call")
                && self.member.is_beside_others();
            if is_noted {
                self.quiesce().await;
                self.must("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
            }
            let mut out = BytesMut::new();
            let closed = match attempt {
                0 => 0,
                _ => segment.put_closes(&mut out)?,
            };
            segment.put(&mut out);
            let mut answer = self.exchange(&out).await?;
            if is_noted {
                if answer.error.is_none() {
                    self.note_locks(segment.class).await?;
                }
                self.end_noted(&mut answer).await?;
            }
            attempt += 1;
            let met = answer.error.as_ref().and_then(Met::of);
            match met {
                Some(Met::Lock) if attempt < ATTEMPTS => {
                    let token = self.token().await?;
                    self.member
                        .clear_the_way(&token, segment.class == Class::Definition)
                        .await;
                }
                Some(Met::Change)
                    if attempt < ATTEMPTS
                        && answer
                            .error
                            .as_ref()
                            .is_some_and(|error| error.sqlstate == "40001") => {}
                _ => return Ok(self.accept(answer, closed, segment)),
            }
        }
    }

    /// Ends the transaction that was begun for a single statement, and notes what it wrote.
    async fn end_noted(&mut self, answer: &mut Answer) -> Result<(), Ending> {
        if answer.error.is_some() {
            self.must("ROLLBACK").await?;
        } else {
            let writes = self.writes().await?;
            let at = self.member.commit_time();
            let mut out = BytesMut::new();
            flight::put_query(&mut out, "COMMIT");
            let committed = self.exchange(&out).await?;
            match committed.error {
                Some(_) => answer.fail_with(committed),
                None => self.member.committed(at, writes),
            }
        }
        answer.is_over();
        Ok(())
    }

    /// Runs a statement of a transaction in the tables, and undoes it if it meets another
    /// transaction.
    async fn write(&mut self, segment: &Segment) -> Result<bool, Ending> {
        let mut attempt = 0;
        loop {
            let mut out = BytesMut::new();
            flight::put_query(&mut out, savepoint(segment.class));
            let closed = match attempt {
                0 => 0,
                _ => segment.put_closes(&mut out)?,
            };
            segment.put(&mut out);
            let _savepoint = self.exchange(&out).await?;
            let answer = self.engine.answer().await?;
            attempt += 1;
            let mut met = answer.error.as_ref().and_then(Met::of);
            if answer.error.is_none()
                && segment.class == Class::Write
                && self.member.met().iter().any(|met| met.may_free_keys())
            {
                let violation = self.must("SELECT pg_toast.dsql_sees_violation()").await?;
                if violation
                    .into_iter()
                    .flatten()
                    .flatten()
                    .any(|cell| cell == "t")
                {
                    met = Some(Met::Change);
                }
            }
            match met {
                Some(met) if attempt < ATTEMPTS && self.is_pinned() => {
                    self.must("ROLLBACK TO SAVEPOINT dsql_local_statement")
                        .await?;
                    if met == Met::Lock {
                        let token = self.token().await?;
                        self.member
                            .clear_the_way(&token, segment.class == Class::Definition)
                            .await;
                    } else {
                        self.move_aside(true).await?;
                        if let Some(transaction) = &mut self.transaction
                            && matches!(transaction.place, Place::Tables)
                        {
                            transaction.place = Place::Aside(Writes::default());
                        }
                    }
                    if !self.is_in_tables() {
                        return self.run_on_copies(segment).await;
                    }
                }
                _ => {
                    if answer.error.is_none() {
                        self.note_locks(segment.class).await?;
                    }
                    return Ok(self.accept(answer, closed, segment));
                }
            }
        }
    }

    /// Adds the rows that a statement just locked to the transaction's log.
    async fn note_locks(&mut self, class: Class) -> Result<(), Ending> {
        let lock = match class {
            Class::Lock => Lock::Update,
            Class::LockShared => Lock::KeyShare,
            _ => return Ok(()),
        };
        let note = format!("SELECT pg_toast.dsql_note_locks('{}', true)", lock.mark());
        self.must(&note).await.map(drop)
    }

    /// Waits for the right to move others aside. This session's own transaction may be moved
    /// meanwhile.
    async fn token(&mut self) -> Result<Token, Ending> {
        let token = self.member.token();
        tokio::pin!(token);
        loop {
            tokio::select! {
                biased;
                token = &mut token => return Ok(token),
                request = self.member.requested() => self.move_aside(request.for_definition).await?,
            }
        }
    }

    fn is_pinned(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|transaction| transaction.is_pinned)
    }

    fn is_in_tables(&self) -> bool {
        let place = self
            .transaction
            .as_ref()
            .map(|transaction| &transaction.place);
        matches!(place, Some(Place::Tables))
    }

    /// Runs SQL that only fails if something is wrong here.
    async fn must(&mut self, sql: &str) -> Result<internal::Rows, Ending> {
        match self.engine.ask(sql).await? {
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

    /// Reads back what the transaction wrote and frees its locks. Nothing may be in flight.
    async fn move_aside(&mut self, with_copies: bool) -> Result<(), Ending> {
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        let is_there = match transaction.place {
            Place::Tables => true,
            Place::Aside(_) => false,
            Place::Copies(_) => with_copies,
        };
        if !transaction.is_pinned || !is_there {
            return Ok(());
        }
        if self.status == b'E' {
            // It stays failed, but without locks.
            transaction.place = Place::Aside(Writes::default());
            self.must(UNPIN).await?;
            let _fails = self.engine.ask("SELECT dsql_local_refused").await?;
            return Ok(());
        }
        let has_copies = matches!(transaction.place, Place::Copies(_));
        let writes = self.writes().await?;
        self.must(UNPIN).await?;
        if let Some(transaction) = &mut self.transaction
            && (has_copies || !writes.is_empty())
        {
            transaction.place = Place::Aside(writes);
        }
        Ok(())
    }

    /// Reads back what the transaction wrote and locked.
    async fn writes(&mut self) -> Result<Writes, Ending> {
        if let Some(transaction) = &mut self.transaction
            && std::mem::take(&mut transaction.has_unnoted_locks)
        {
            let note = format!(
                "SELECT pg_toast.dsql_note_locks('{}', false)",
                Lock::Update.mark()
            );
            self.must(&note).await?;
        }
        let rows = self.must("SELECT * FROM pg_toast.dsql_writes()").await?;
        Ok(Writes::from_rows(rows))
    }

    /// Runs a segment on copies of its tables.
    async fn run_on_copies(&mut self, segment: &Segment) -> Result<bool, Ending> {
        match self.copy(&segment.text).await? {
            Ok(()) => {}
            Err(failure) => {
                tracing::warn!(failure.sqlstate, failure.message, "tables were not copied");
                self.status = b'E';
                self.refuse();
                return Ok(false);
            }
        }
        self.statements_in_place(segment).await?;
        let Some(Transaction {
            place: Place::Copies(copied),
            ..
        }) = &self.transaction
        else {
            return self.pass(segment).await;
        };
        let mut out = BytesMut::new();
        flight::put_query(&mut out, savepoint(segment.class));
        out.unsplit(self.statements.renamed(segment, copied)?);
        self.exchange(&out).await?;
        let answer = self.engine.answer().await?;
        if answer.error.is_none() {
            self.note_locks(segment.class).await?;
        }
        Ok(self.accept(answer, 0, segment))
    }

    /// Copies the tables that a text names, if the transaction has no copies of them yet.
    async fn copy(&mut self, text: &str) -> Result<Result<(), Failure>, Ending> {
        let Some(transaction) = &mut self.transaction else {
            return Ok(Ok(()));
        };
        let writes = match &mut transaction.place {
            Place::Tables => return Ok(Ok(())),
            Place::Aside(writes) => Some(std::mem::take(writes)),
            Place::Copies(_) => None,
        };
        let tables = writes
            .as_ref()
            .map_or_else(|| "{}".to_owned(), Writes::tables);
        let copy = format!(
            "SELECT * FROM pg_toast.dsql_copy_tables({}, '{tables}')",
            literal(text)
        );
        let rows = match self.engine.ask(&copy).await? {
            Ok(rows) => rows,
            Err(failure) => return Ok(Err(failure)),
        };
        let has_new = !rows.is_empty();
        let mut copied = match &self.transaction {
            Some(Transaction {
                place: Place::Copies(copied),
                ..
            }) => copied.clone(),
            _ => Copied::default(),
        };
        for row in rows {
            if let [Some(schema), Some(name), Some(copy)] = &row[..] {
                copied.add(schema.clone(), name.clone(), copy.clone());
            }
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.place = Place::Copies(copied);
        }
        if let Some(writes) = writes.filter(|writes| !writes.is_empty()) {
            let images = literal(&writes.images());
            let apply = format!("SELECT pg_toast.dsql_apply_to_copies({images})");
            if let Err(failure) = self.engine.ask(&apply).await? {
                return Ok(Err(failure));
            }
        }
        if has_new {
            // Statements that were prepared look their tables up again.
            self.must("DISCARD PLANS").await?;
        }
        Ok(Ok(()))
    }

    /// Prepares statements again that the engine knows with the names of other tables.
    async fn statements_in_place(&mut self, segment: &Segment) -> Result<(), Ending> {
        let copied = match &self.transaction {
            Some(Transaction {
                place: Place::Copies(copied),
                ..
            }) => Some(copied),
            _ => None,
        };
        let mut out = BytesMut::new();
        self.statements.put_renamed(segment, copied, &mut out)?;
        if !out.is_empty() {
            self.exchange(&out).await?;
        }
        Ok(())
    }

    /// Commits a transaction in the tables, beside others.
    async fn commit(&mut self, segment: &Segment) -> Result<bool, Ending> {
        self.quiesce().await;
        let writes = self.writes().await?;
        if self.has_lost(&writes).await? {
            self.must("SELECT pg_toast.dsql_fail_commit()").await?;
        }
        let at = self.member.commit_time();
        let mut out = BytesMut::new();
        segment.put(&mut out);
        let answer = self.exchange(&out).await?;
        if answer.error.is_none() {
            self.member.committed(at, writes);
        }
        Ok(self.accept(answer, 0, segment))
    }

    /// Returns whether the transaction conflicts with one that committed after its snapshot.
    async fn has_lost(&mut self, writes: &Writes) -> Result<bool, Ending> {
        for met in self.member.met() {
            if met.share_keys(writes) {
                return Ok(true);
            }
            for (one, other) in met.same_rows(writes) {
                let excludes = match one.excludes(&other) {
                    Some(excludes) => excludes,
                    None => self.changes_key(&one, &other).await?,
                };
                if excludes {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Returns whether the row has another key in these two versions.
    async fn changes_key(&mut self, one: &Change, other: &Change) -> Result<bool, Ending> {
        let image = |change: &Change| literal(change.image.as_deref().unwrap_or_default());
        let changes = format!(
            "SELECT pg_toast.dsql_changes_key({}, {}, {})",
            one.table,
            image(one),
            image(other)
        );
        let rows = self.must(&changes).await?;
        Ok(rows.into_iter().flatten().flatten().any(|cell| cell == "t"))
    }

    /// Commits a transaction that was moved aside: its writes become a new transaction's.
    async fn settle(&mut self, segment: &Segment) -> Result<bool, Ending> {
        self.quiesce().await;
        let place = self.transaction.as_mut().map(|transaction| {
            std::mem::replace(&mut transaction.place, Place::Aside(Writes::default()))
        });
        let writes = match place {
            Some(Place::Aside(writes)) => writes,
            Some(Place::Copies(_)) => self.writes().await?,
            Some(Place::Tables) | None => Writes::default(),
        };
        let has_lost = self.has_lost(&writes).await?;
        self.must("ROLLBACK").await?;
        let apply = format!(
            "SELECT pg_toast.dsql_apply_writes({})",
            literal(&writes.images())
        );
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.must("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
            let applied = match has_lost {
                true => Err(None),
                false => self.engine.ask(&apply).await?.map_err(Some),
            };
            let Err(failure) = applied else { break };
            self.must("ROLLBACK").await?;
            match failure.as_ref().map(|failure| failure.sqlstate.as_str()) {
                Some("55P03" | "40P01") if attempt < ATTEMPTS => {
                    let token = self.token().await?;
                    self.member.clear_the_way(&token, false).await;
                }
                Some("40001") if attempt < ATTEMPTS => {}
                _ => {
                    self.must("BEGIN").await?;
                    self.must("SELECT pg_toast.dsql_fail_commit()").await?;
                    break;
                }
            }
        }
        let at = self.member.commit_time();
        let mut out = BytesMut::new();
        segment.put(&mut out);
        let answer = self.exchange(&out).await?;
        if answer.error.is_none() {
            self.member.committed(at, writes);
        }
        Ok(self.accept(answer, 0, segment))
    }

    /// Answers a statement with a conflict.
    fn refuse(&self) {
        let mut out = BytesMut::new();
        frame::put_refusal(&mut out, &Refusal::Conflict);
        frame::put(&mut out, b'Z', |out| out.put_u8(self.status));
        self.engine.give(out);
    }
}

fn awaits_ready(flight: &[Frame]) -> bool {
    flight
        .last()
        .is_some_and(|frame| matches!(frame.tag(), b'Q' | b'S' | b'F'))
}

/// Returns what comes before a statement that may have to be undone.
fn savepoint(class: Class) -> &'static str {
    match class {
        Class::Lock | Class::LockShared => {
            "SAVEPOINT dsql_local_statement;SELECT pg_toast.dsql_before_locks()"
        }
        _ => "SAVEPOINT dsql_local_statement",
    }
}

/// Takes the snapshot, and makes it outlast what is undone.
const PIN: &str = "SELECT;SAVEPOINT dsql_local_begin";
const UNPIN: &str = "ROLLBACK TO SAVEPOINT dsql_local_begin";
/// How often a statement meets a lock before that is told: with the engine's `lock_timeout`,
/// seconds.
const ATTEMPTS: u32 = 200;
