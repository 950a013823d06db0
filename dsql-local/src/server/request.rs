//! The client's frames on their way to the engine: checked, translated, refused, or failed by a
//! fault. For each frame, adds the reply that the client must get to the pending replies.

use std::collections::HashMap;
use std::sync::MutexGuard;

use bytes::{BufMut, BytesMut};

use self::extended::Prepared;
use crate::conflict::SharedCatalog;
use crate::faults::Late;
use crate::protocol::ending::Ending;
use crate::protocol::exchange::{Exchange, SharedExchange};
use crate::protocol::frame::{self, Frame};
use crate::protocol::pending::{Pending, Reply};
use crate::refusal::Refusal;
use crate::server::cluster::Cluster;
use crate::server::control;
use crate::server::log::Recorder;
use crate::server::socket::Pace;
use crate::sql::names::Names;
use crate::sql::rules::{self, Checked, Verdict};
use crate::sql::statement::{self, Statement};
use crate::sql::transaction::Transaction;

mod admit;
mod extended;

/// Processes the frames that one session's client sends.
pub(crate) struct Requests<'a> {
    cluster: &'a Cluster,
    recorder: &'a Recorder,
    exchange: &'a SharedExchange,
    catalog: &'a SharedCatalog,
    pace: &'a Pace,
    flight: Flight,
    transaction: Transaction,
    prepared: HashMap<Vec<u8>, Prepared>,
    /// The portals whose reply is not the engine's.
    portals: HashMap<Vec<u8>, Reply>,
    /// Ignores frames up to the next Sync, as the engine does after an error.
    skipping: bool,
    rollbacks: u64,
    /// Whether the session may control the local cluster by SQL.
    control: bool,
    /// How late the commit that was just read is delivered, if it is.
    late: Option<Late>,
}

/// What to do after the frames in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read more bytes.
    More,
    /// End the session: the client sent Terminate.
    Terminate,
}

/// The client's frames up to one that `ReadyForQuery` answers.
#[derive(Debug, Default)]
struct Flight {
    tags: String,
    pipelined: bool,
    has_statement: bool,
}

impl<'a> Requests<'a> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        recorder: &'a Recorder,
        exchange: &'a SharedExchange,
        catalog: &'a SharedCatalog,
        pace: &'a Pace,
    ) -> Self {
        Self {
            cluster,
            recorder,
            exchange,
            catalog,
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

    /// Returns how late the frames that were just taken are delivered, if they are late.
    pub(crate) fn late(&mut self) -> Option<Late> {
        self.late.take()
    }

    /// Lets the session control the local cluster by SQL.
    pub(crate) fn with_control(mut self, control: bool) -> Self {
        self.control = control;
        self
    }

    /// Takes every complete frame, and writes what to send to the engine.
    pub(crate) fn take(
        &mut self,
        unread: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Next, Ending> {
        while let Some(frame) = Frame::cut(unread, LONGEST_MESSAGE)? {
            self.add_to_flight(frame.tag());
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

    fn add_to_flight(&mut self, tag: u8) {
        if matches!(self.flight.tags.as_bytes().last(), Some(b'S' | b'Q' | b'F')) {
            self.flight = Flight::default();
        }
        if self.flight.tags.is_empty() {
            let (pipelined, status) = {
                let exchange = self.exchange();
                (exchange.pending.awaits_ready(), exchange.status)
            };
            self.flight.pipelined = pipelined;
            if !pipelined {
                self.transaction
                    .set_status(status, self.cluster.uptime.now());
            }
        }
        let repeated = tag == b'd' && self.flight.tags.ends_with('d');
        let ends = matches!(tag, b'S' | b'Q' | b'F' | b'X');
        if ends || !repeated && self.flight.tags.len() < LONGEST_FLIGHT {
            self.flight.tags.push(char::from(tag));
        }
        if ends {
            self.recorder
                .flight(&self.flight.tags, self.flight.pipelined);
        }
    }

    fn query(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        self.recorder.count(|counts| counts.statements += 1);
        let sql = frame::take_string(&mut frame.body())?;
        let mut parts = Vec::new();
        if let Some(refusal) = self.statement_fault()? {
            parts.push((REFUSED.to_owned(), Reply::Refuse(refusal)));
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
        if replies.iter().all(keeps_text) {
            out.put_slice(frame.bytes());
        } else {
            frame::put(out, b'Q', |out| {
                frame::put_string(out, texts.join(";").as_bytes())
            });
        }
        self.add(Pending::Query(replies.into()));
        Ok(())
    }

    /// Returns what the engine runs and what the client sees for one statement of a simple query.
    fn part(&mut self, statement: &Statement<'_>) -> Result<(String, Reply), Ending> {
        let Checked { kind, verdict } = self.check(statement);
        let (text, reply) = match verdict {
            Verdict::Refuse(refusal) => {
                return Ok((REFUSED.to_owned(), Reply::Refuse(refusal)));
            }
            Verdict::Translate { sql, tag } => (sql, Reply::Tag(tag)),
            Verdict::Forward => (statement.text.to_owned(), Reply::AsIs),
        };
        Ok(match self.admit(kind, &Names::of(statement))? {
            Reply::AsIs => (text, reply),
            reply @ Reply::Instead(_) => (ROLLBACK.to_owned(), reply),
            reply @ Reply::Refuse(_) => (REFUSED.to_owned(), reply),
            reply @ (Reply::Tag(_) | Reply::Committed(_) | Reply::Swallow) => (text, reply),
        })
    }

    /// Takes a frame that carries no statement.
    fn other(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        let pending = match frame.tag() {
            b'S' => {
                self.skipping = false;
                self.portals.clear();
                self.transaction.end_flight();
                Some(Pending::Sync)
            }
            b'D' => Some(Pending::Describe),
            b'C' => {
                self.close(frame)?;
                Some(Pending::Close)
            }
            b'F' => Some(Pending::Call),
            b'c' | b'f' => Some(Pending::CopyEnd),
            b'H' | b'd' => None,
            _ => return Err(Refusal::Protocol("invalid frontend message type").into()),
        };
        out.put_slice(frame.bytes());
        if let Some(pending) = pending {
            self.add(pending);
        }
        Ok(())
    }

    fn check(&self, statement: &Statement<'_>) -> Checked {
        self.control
            .then(|| control::run(self.cluster, statement))
            .flatten()
            .unwrap_or_else(|| rules::check(statement))
    }

    fn add(&self, pending: Pending) {
        self.exchange().pending.add(pending);
    }

    fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock()
    }
}

/// Returns whether the engine gets the statement's own text.
fn keeps_text(reply: &Reply) -> bool {
    match reply {
        Reply::AsIs | Reply::Committed(_) => true,
        Reply::Tag(_) | Reply::Refuse(_) | Reply::Instead(_) | Reply::Swallow => false,
    }
}

/// Splits a text. The rules do not apply to text in an encoding other than UTF-8.
fn statements(sql: &[u8]) -> Vec<Statement<'_>> {
    str::from_utf8(sql)
        .map(statement::split)
        .unwrap_or_default()
}

/// Replaces a refused statement. It fails in the engine's analysis, so that the engine's
/// transaction fails as well, and a failed transaction still answers 25P02.
const REFUSED: &str = "SELECT dsql_local_refused";
const ROLLBACK: &str = "ROLLBACK";
/// The service's limit for a message.
const LONGEST_MESSAGE: usize = 10 * 1024 * 1024;
const LONGEST_FLIGHT: usize = 256;

#[cfg(test)]
mod tests;
