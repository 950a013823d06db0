//! The extended protocol: parse, bind, execute and close.

use bytes::{BufMut, BytesMut};

use super::{REFUSED, ROLLBACK, Requests, statements};
use crate::faults::{Effect, Stage};
use crate::protocol::ending::Ending;
use crate::protocol::frame::{self, Frame};
use crate::protocol::pending::{MARKER, Pending, Reply};
use crate::refusal::Refusal;
use crate::sql::names::Names;
use crate::sql::rules::{Checked, Kind, Verdict};

/// A prepared statement.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    kind: Kind,
    /// The tables in its text.
    names: Names,
    /// The command tag to reply with, if the statement was translated.
    tag: Option<&'static str>,
}

impl Requests<'_> {
    pub(super) fn parse(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        let mut body = frame.body();
        let name = frame::take_string(&mut body)?;
        let sql = frame::take_string(&mut body)?;
        let statements = statements(sql);
        let names = statements.first().map(Names::of).unwrap_or_default();
        let checked = match (self.statement_fault()?, &statements[..]) {
            (Some(refusal), _) => Checked {
                kind: Kind::Other,
                verdict: Verdict::Refuse(refusal),
            },
            (None, [statement]) => {
                let checked = self.check(statement);
                let is_stale =
                    reads_catalog_at_parse(checked.kind) && self.is_stale(checked.kind, &names);
                match is_stale {
                    true => Checked {
                        verdict: Verdict::Refuse(Refusal::SchemaChanged),
                        ..checked
                    },
                    false => checked,
                }
            }
            // PostgreSQL itself refuses several statements.
            (None, _) => Checked {
                kind: Kind::Other,
                verdict: Verdict::Forward,
            },
        };
        let kind = checked.kind;
        let mut tag = None;
        let reply = match checked.verdict {
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
                put_parse(out, name, REFUSED);
                Reply::Refuse(refusal)
            }
        };
        self.prepared
            .insert(name.to_owned(), Prepared { kind, names, tag });
        self.add(Pending::Parse(reply));
        Ok(())
    }

    pub(super) fn bind(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        let mut body = frame.body();
        let portal = frame::take_string(&mut body)?;
        let name = frame::take_string(&mut body)?;
        if let Some(refusal) = self.statement_fault()? {
            self.refuse_bind(portal, refusal, out);
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
                self.refuse_bind(portal, refusal, out);
                return Ok(());
            }
            Reply::AsIs => prepared
                .and_then(|prepared| prepared.tag)
                .map_or(Reply::AsIs, Reply::Tag),
            reply @ (Reply::Tag(_) | Reply::Instead(_) | Reply::Committed(_) | Reply::Swallow) => {
                reply
            }
        };
        if matches!(reply, Reply::Instead(_)) {
            // The server's own statement, with a name that no client uses.
            self.rollbacks += 1;
            let rollback = format!("{MARKER}_{}", self.rollbacks);
            put_parse(out, rollback.as_bytes(), ROLLBACK);
            put_bind(out, portal, rollback.as_bytes());
            self.add(Pending::Parse(Reply::Swallow));
        } else {
            out.put_slice(frame.bytes());
        }
        if reply != Reply::AsIs {
            self.portals.insert(portal.to_owned(), reply);
        }
        self.add(Pending::Bind(Reply::AsIs));
        Ok(())
    }

    /// Sends a bind that the engine refuses, since no statement has this name.
    fn refuse_bind(&self, portal: &[u8], refusal: Refusal, out: &mut BytesMut) {
        put_bind(out, portal, MARKER.as_bytes());
        self.add(Pending::Bind(Reply::Refuse(refusal)));
    }

    pub(super) fn execute(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        self.recorder.count(|counts| counts.statements += 1);
        let portal = frame::take_string(&mut frame.body())?;
        let reply = self.portals.get(portal).cloned().unwrap_or_default();
        self.skipping = matches!(reply, Reply::Instead(_));
        let fault = self
            .cluster
            .faults
            .at_if(Stage::Rows, Effect::keeps_session);
        if let Some(Effect::Refuse(refusal)) = fault {
            // One row, and then a statement that fails: the engine's transaction fails with it.
            frame::put(out, b'E', |out| {
                frame::put_string(out, portal);
                out.put_i32(1);
            });
            self.add(Pending::Execute(Reply::Swallow));
            put_parse(out, b"", REFUSED);
            self.add(Pending::Parse(Reply::Refuse(refusal)));
            return Ok(());
        }
        out.put_slice(frame.bytes());
        self.add(Pending::Execute(reply));
        Ok(())
    }

    /// Forgets a closed statement. Keeps it if the flight contains other frames: if one of them
    /// fails, the engine skips the close and keeps the statement.
    pub(super) fn close(&mut self, frame: &Frame) -> Result<(), Ending> {
        let only_closes = self.flight.tags.bytes().all(|tag| tag == b'C');
        if let Some((b'S', mut name)) = frame.body().split_first()
            && only_closes
        {
            self.prepared.remove(frame::take_string(&mut name)?);
        }
        Ok(())
    }
}

/// Returns whether a statement of this kind reads the catalog when it is prepared. The others read
/// it when they are executed.
fn reads_catalog_at_parse(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Definition
    )
}

pub(super) fn put_parse(out: &mut BytesMut, name: &[u8], sql: &str) {
    frame::put(out, b'P', |out| {
        frame::put_string(out, name);
        frame::put_string(out, sql.as_bytes());
        out.put_i16(0);
    });
}

/// Binds no parameters and requests no formats.
fn put_bind(out: &mut BytesMut, portal: &[u8], name: &[u8]) {
    frame::put(out, b'B', |out| {
        frame::put_string(out, portal);
        frame::put_string(out, name);
        out.put_slice(&[0; 6]);
    });
}
