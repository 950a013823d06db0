//! The client's frames on their way in: judged, translated, refused, and struck by faults.
//! `forward` sends on what comes out, and `answer` learns what to expect for it.

use std::collections::HashMap;
use std::sync::MutexGuard;

use bytes::{BufMut, BytesMut};

use crate::answer::{Due, MARKER, Reply};
use crate::cluster::Cluster;
use crate::control;
use crate::count::Entry;
use crate::ending::Ending;
use crate::fault::{Effect, Late, Stage};
use crate::frame::{self, Frame};
use crate::line::{Line, SharedLine};
use crate::refusal::Refusal;
use crate::rules::{self, Judged, Kind, Verdict};
use crate::schema::Names;
use crate::socket::Pace;
use crate::statement::{self, Statement};
use crate::transaction::Transaction;

/// The frames of one session.
pub(crate) struct Requests<'a> {
    cluster: &'a Cluster,
    entry: &'a Entry,
    line: &'a SharedLine,
    pace: &'a Pace,
    flight: Flight,
    transaction: Transaction,
    /// What the prepared statements are.
    prepared: HashMap<Vec<u8>, Prepared>,
    /// The portals whose execution is answered otherwise than by the engine.
    portals: HashMap<Vec<u8>, Reply>,
    /// Drops what comes before the next Sync, as an engine does that reported an error.
    skipping: bool,
    rollbacks: u64,
    /// Whether faults and clocks answer to SQL.
    control: bool,
    /// A commit was read whose delivery is late.
    late: Option<Late>,
}

/// How it goes on after some frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// With the bytes that come next.
    More,
    /// Not: the client said goodbye.
    Terminate,
}

/// What the client sent since it last asked for `ReadyForQuery`.
#[derive(Debug, Default)]
struct Flight {
    tags: String,
    pipelined: bool,
    has_statement: bool,
}

#[derive(Debug, Clone)]
struct Prepared {
    kind: Kind,
    /// The tables that it names.
    names: Names,
    /// The tag to answer with, if it was translated.
    tag: Option<&'static str>,
}

impl<'a> Requests<'a> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        entry: &'a Entry,
        line: &'a SharedLine,
        pace: &'a Pace,
    ) -> Self {
        Self {
            cluster,
            entry,
            line,
            pace,
            flight: Flight::default(),
            transaction: Transaction::default(),
            prepared: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
            rollbacks: 0,
            control: false,
            late: None,
        }
    }

    /// Lets the session control the local cluster by SQL.
    pub(crate) fn with_control(mut self, control: bool) -> Self {
        self.control = control;
        self
    }

    /// How late the frames that were just taken are delivered, if they are.
    pub(crate) fn late(&mut self) -> Option<Late> {
        self.late.take()
    }

    fn judge(&self, statement: &Statement<'_>) -> Judged {
        self.control
            .then(|| control::judge(self.cluster, statement))
            .flatten()
            .unwrap_or_else(|| rules::judge(statement))
    }

    /// Takes every whole frame and writes what the engine is to see of it.
    pub(crate) fn take(
        &mut self,
        unread: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Next, Ending> {
        while let Some(frame) = Frame::cut(unread, LONGEST_MESSAGE)? {
            self.note(frame.tag());
            if self.skipping && !matches!(frame.tag(), b'S' | b'X') {
                continue;
            }
            match frame.tag() {
                b'Q' => self.query(&frame, out)?,
                b'P' => self.parse(&frame, out)?,
                b'B' => self.bind(&frame, out)?,
                b'E' => self.execute(&frame, out)?,
                b'X' => {
                    out.put_slice(frame.bytes());
                    return Ok(Next::Terminate);
                }
                _ => self.other(&frame, out)?,
            }
        }
        Ok(Next::More)
    }

    /// Writes the frame down in the flight that it belongs to.
    fn note(&mut self, tag: u8) {
        if matches!(self.flight.tags.as_bytes().last(), Some(b'S' | b'Q' | b'F')) {
            self.flight = Flight::default();
        }
        if self.flight.tags.is_empty() {
            let (pipelined, status) = {
                let line = self.line();
                (line.answers.awaits_ready(), line.status)
            };
            self.flight.pipelined = pipelined;
            if !pipelined {
                self.transaction.settle(status, self.cluster.uptime.now());
            }
        }
        let repeated = tag == b'd' && self.flight.tags.ends_with('d');
        let ends = matches!(tag, b'S' | b'Q' | b'F' | b'X');
        if ends || !repeated && self.flight.tags.len() < LONGEST_FLIGHT {
            self.flight.tags.push(char::from(tag));
        }
        if ends {
            self.entry.flight(&self.flight.tags, self.flight.pipelined);
        }
    }

    fn query(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        self.entry.count(|counts| counts.statements += 1);
        let sql = frame::take_string(&mut frame.body())?;
        let mut parts = Vec::new();
        if let Some(refusal) = self.strike_statement()? {
            parts.push((MARKED.to_owned(), Reply::Refuse(refusal)));
        } else {
            for statement in statements(sql) {
                let part = self.part(&statement)?;
                let ends = matches!(part.1, Reply::Instead(_) | Reply::Refuse(_));
                parts.push(part);
                if ends {
                    break;
                }
            }
        }
        self.transaction.end_flight();
        let (texts, replies): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        if replies.iter().all(is_answered_later) {
            out.put_slice(frame.bytes());
        } else {
            frame::put(out, b'Q', |out| {
                frame::put_string(out, texts.join(";").as_bytes())
            });
        }
        self.ask(Due::Query(replies.into()));
        Ok(())
    }

    /// Returns what the engine and the client see of one statement of a simple query.
    fn part(&mut self, statement: &Statement<'_>) -> Result<(String, Reply), Ending> {
        let Judged { kind, verdict } = self.judge(statement);
        if let Verdict::Refuse(refusal) = verdict {
            return Ok((MARKED.to_owned(), Reply::Refuse(refusal)));
        }
        let (text, reply) = match verdict {
            Verdict::Translate { sql, tag } => (sql, Reply::Tag(tag)),
            _ => (statement.text.to_owned(), Reply::AsIs),
        };
        Ok(match self.admit(kind, &Names::of(statement))? {
            Reply::AsIs => (text, reply),
            reply @ Reply::Instead(_) => (ROLLBACK.to_owned(), reply),
            reply @ Reply::Refuse(_) => (MARKED.to_owned(), reply),
            reply => (text, reply),
        })
    }

    /// Asks whether a statement may run as part of the transaction, and what becomes of it if it is
    /// a commit.
    fn admit(&mut self, kind: Kind, names: &Names) -> Result<Reply, Ending> {
        let commits = kind == Kind::Commit && self.transaction.commits();
        let limit = self.cluster.transaction_age;
        let admitted = match self.is_stale(kind, names) {
            true => Err(Refusal::SchemaChanged),
            false => self
                .transaction
                .admit(kind, self.cluster.uptime.now(), limit),
        };
        match admitted {
            Err(refusal) if commits => Ok(Reply::Instead(refusal)),
            Err(refusal) => Ok(Reply::Refuse(refusal)),
            Ok(()) if commits => self.commit(),
            Ok(()) => Ok(Reply::AsIs),
        }
    }

    /// Returns whether another session changed the schema since this one looked at it.
    fn is_stale(&self, kind: Kind, names: &Names) -> bool {
        // A failed transaction does not look.
        let looks = !self.transaction.has_failed() || kind == Kind::Rollback;
        let now = self.cluster.uptime.now();
        looks && (self.line().catalog).is_stale(kind, names, &self.cluster.schema, now)
    }

    fn parse(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        let mut body = frame.body();
        let name = frame::take_string(&mut body)?;
        let sql = frame::take_string(&mut body)?;
        let statements = statements(sql);
        let names = statements.first().map(Names::of).unwrap_or_default();
        let judged = match (self.strike_statement()?, &statements[..]) {
            (Some(refusal), _) => Judged {
                kind: Kind::Other,
                verdict: Verdict::Refuse(refusal),
            },
            (None, [statement]) => match self.judge(statement) {
                judged if is_looked_up(judged.kind) && self.is_stale(judged.kind, &names) => {
                    Judged {
                        verdict: Verdict::Refuse(Refusal::SchemaChanged),
                        ..judged
                    }
                }
                judged => judged,
            },
            // PostgreSQL says itself that there must be one.
            (None, _) => Judged {
                kind: Kind::Other,
                verdict: Verdict::Forward,
            },
        };
        let kind = judged.kind;
        let mut tag = None;
        let reply = match judged.verdict {
            Verdict::Forward => {
                out.put_slice(frame.bytes());
                Reply::AsIs
            }
            Verdict::Translate {
                sql,
                tag: translated,
            } => {
                put_parse(out, name, &sql);
                tag = Some(translated);
                Reply::Tag(translated)
            }
            Verdict::Refuse(refusal) => {
                put_parse(out, name, MARKED);
                Reply::Refuse(refusal)
            }
        };
        self.prepared
            .insert(name.to_owned(), Prepared { kind, names, tag });
        self.ask(Due::Parse(reply));
        Ok(())
    }

    fn bind(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        let mut body = frame.body();
        let portal = frame::take_string(&mut body)?;
        let name = frame::take_string(&mut body)?;
        if let Some(refusal) = self.strike_statement()? {
            put_bind(out, portal, MARKER.as_bytes());
            self.ask(Due::Bind(Reply::Refuse(refusal)));
            return Ok(());
        }
        self.portals.remove(portal);
        let prepared = self.prepared.get(name).cloned();
        let kind = prepared
            .as_ref()
            .map_or(Kind::Other, |prepared| prepared.kind);
        let names = prepared.as_ref().map(|prepared| prepared.names.clone());
        let reply = match self.admit(kind, &names.unwrap_or_default())? {
            Reply::Refuse(refusal) => {
                put_bind(out, portal, MARKER.as_bytes());
                self.ask(Due::Bind(Reply::Refuse(refusal)));
                return Ok(());
            }
            Reply::AsIs => prepared
                .and_then(|prepared| prepared.tag)
                .map_or(Reply::AsIs, Reply::Tag),
            reply => reply,
        };
        if matches!(reply, Reply::Instead(_)) {
            // A statement of the front's own, under a name that no client uses.
            self.rollbacks += 1;
            let rollback = format!("{MARKER}_{}", self.rollbacks);
            put_parse(out, rollback.as_bytes(), ROLLBACK);
            put_bind(out, portal, rollback.as_bytes());
            self.ask(Due::Parse(Reply::Swallow));
        } else {
            out.put_slice(frame.bytes());
        }
        if reply != Reply::AsIs {
            self.portals.insert(portal.to_owned(), reply);
        }
        self.ask(Due::Bind(Reply::AsIs));
        Ok(())
    }

    fn execute(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        self.entry.count(|counts| counts.statements += 1);
        let portal = frame::take_string(&mut frame.body())?;
        let reply = self.portals.get(portal).cloned().unwrap_or_default();
        self.skipping = matches!(reply, Reply::Instead(_));
        if let Some(Effect::Refuse(refusal)) =
            self.cluster.faults.at_if(Stage::Rows, Effect::is_bearable)
        {
            // One row, and then what fails: the engine's transaction fails with it.
            frame::put(out, b'E', |out| {
                frame::put_string(out, portal);
                out.put_i32(1);
            });
            self.ask(Due::Execute(Reply::Swallow));
            put_parse(out, b"", MARKED);
            self.ask(Due::Parse(Reply::Refuse(refusal)));
            return Ok(());
        }
        out.put_slice(frame.bytes());
        self.ask(Due::Execute(reply));
        Ok(())
    }

    fn other(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        let due = match frame.tag() {
            b'S' => {
                self.skipping = false;
                self.portals.clear();
                self.transaction.end_flight();
                Some(Due::Sync)
            }
            b'D' => Some(Due::Describe),
            b'C' => {
                self.close(frame)?;
                Some(Due::Close)
            }
            b'F' => Some(Due::Call),
            b'c' | b'f' => Some(Due::CopyEnd),
            b'H' | b'd' => None,
            _ => return Err(Refusal::Protocol("invalid frontend message type").into()),
        };
        out.put_slice(frame.bytes());
        if let Some(due) = due {
            self.ask(due);
        }
        Ok(())
    }

    /// Forgets a prepared statement, unless something before it in the flight may have failed: then
    /// the engine passes over the frame, and keeps the statement.
    fn close(&mut self, frame: &Frame) -> Result<(), Ending> {
        let is_housekeeping = self.flight.tags.bytes().all(|tag| tag == b'C');
        if let Some((b'S', mut name)) = frame.body().split_first()
            && is_housekeeping
        {
            self.prepared.remove(frame::take_string(&mut name)?);
        }
        Ok(())
    }

    /// Asks for a fault at the first frame of a flight that is part of a statement.
    fn strike_statement(&mut self) -> Result<Option<Refusal>, Ending> {
        match std::mem::replace(&mut self.flight.has_statement, true) {
            true => Ok(None),
            false => self.strike(Stage::Statement),
        }
    }

    /// Asks what becomes of a commit that would make something last.
    fn commit(&mut self) -> Result<Reply, Ending> {
        if let Some(refusal) = self.strike(Stage::Commit)? {
            return Ok(Reply::Instead(refusal));
        }
        if self.cluster.faults.conflicts_commit() {
            return Ok(Reply::Instead(Refusal::Conflict));
        }
        self.late = self.cluster.faults.commit_is_late();
        let struck = self.cluster.faults.at(Stage::Committed);
        Ok(struck.map_or(Reply::AsIs, Reply::Committed))
    }

    /// Asks for a fault. A refusal that is not fatal is the statement's to bear.
    fn strike(&self, stage: Stage) -> Result<Option<Refusal>, Ending> {
        match self.cluster.faults.at(stage) {
            Some(Effect::Refuse(refusal)) if !refusal.is_fatal() => Ok(Some(refusal)),
            Some(effect) => effect.strike(self.pace).map(|()| None),
            None => Ok(None),
        }
    }

    fn ask(&self, due: Due) {
        self.line().answers.ask(due);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock()
    }
}

/// Returns whether the tables of such a statement are looked up when it is prepared. What begins,
/// ends or defines something does so when it is executed.
fn is_looked_up(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Definition
    )
}

/// Returns whether the engine sees the text as it is, whatever becomes of its answer.
fn is_answered_later(reply: &Reply) -> bool {
    matches!(reply, Reply::AsIs | Reply::Committed(_))
}

/// Text in another encoding than UTF-8 has no statements that rules know.
fn statements(sql: &[u8]) -> Vec<Statement<'_>> {
    str::from_utf8(sql)
        .map(statement::split)
        .unwrap_or_default()
}

fn put_parse(out: &mut BytesMut, name: &[u8], sql: &str) {
    frame::put(out, b'P', |out| {
        frame::put_string(out, name);
        frame::put_string(out, sql.as_bytes());
        out.put_i16(0);
    });
}

/// Binds no parameters and asks for no formats.
fn put_bind(out: &mut BytesMut, portal: &[u8], name: &[u8]) {
    frame::put(out, b'B', |out| {
        frame::put_string(out, portal);
        frame::put_string(out, name);
        out.put_slice(&[0; 6]);
    });
}

/// Fails when it is analysed, so that a failed transaction still says that it is one.
const MARKED: &str = "SELECT dsql_local_refused";
const ROLLBACK: &str = "ROLLBACK";
/// The service's limit.
const LONGEST_MESSAGE: usize = 10 * 1024 * 1024;
const LONGEST_FLIGHT: usize = 256;

#[cfg(test)]
mod tests;
