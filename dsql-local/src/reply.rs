//! The engine's frames on their way out: conflicts in the service's words, and answers to
//! statements that the engine saw in another form. `forward` sends on what comes out.

use bytes::{BufMut, BytesMut};

use crate::answer::{MARKER, Reply};
use crate::cluster::Cluster;
use crate::count::Entry;
use crate::ending::Ending;
use crate::fault::{Effect, Stage};
use crate::frame::{self, Frame};
use crate::line::SharedLine;
use crate::refusal::Refusal;
use crate::socket::Pace;

/// The answers of one session.
pub(crate) struct Replies<'a> {
    cluster: &'a Cluster,
    entry: &'a Entry,
    line: &'a SharedLine,
    pace: &'a Pace,
    /// What is left of a frame that passes as it comes.
    passing: usize,
    /// How many rows of the answer have passed.
    rows: usize,
}

impl<'a> Replies<'a> {
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
            passing: 0,
            rows: 0,
        }
    }

    /// Takes what arrived, and writes what the client is to see of it.
    pub(crate) fn take(&mut self, unread: &mut BytesMut, out: &mut BytesMut) -> Result<(), Ending> {
        loop {
            let passing = self.passing.min(unread.len());
            out.put_slice(&unread.split_to(passing));
            self.passing -= passing;
            let Some((tag, length)) = frame::header(unread)? else {
                return Ok(());
            };
            self.row(tag, length, unread, out)?;
            if matches!(tag, b'C' | b'E' | b'Z' | b'1' | b's' | b'N') {
                let Some(frame) = Frame::cut(unread, usize::MAX)? else {
                    return Ok(());
                };
                self.answer(&frame, out)?;
            } else {
                // Rows may be larger than memory should be: they pass in pieces.
                self.note(tag);
                self.passing = length;
            }
        }
    }

    /// Counts a row, and lets a fault strike in the middle of the second.
    fn row(
        &mut self,
        tag: u8,
        length: usize,
        unread: &BytesMut,
        out: &mut BytesMut,
    ) -> Result<(), Ending> {
        if tag != b'D' {
            self.rows = 0;
            return Ok(());
        }
        self.rows += 1;
        if self.rows != 2 {
            return Ok(());
        }
        let Some(effect) = (self.cluster.faults).at_if(Stage::Rows, |effect| !effect.is_bearable())
        else {
            return Ok(());
        };
        let has_words = effect.has_words();
        let struck = effect.strike(self.pace);
        if struck.is_err() && !has_words {
            out.put_slice(&unread[..unread.len().min(length / 2)]);
        }
        struck
    }

    fn note(&self, tag: u8) {
        let mut line = self.line.lock();
        match tag {
            b'2' | b'3' | b'n' | b'T' => {
                line.answers.answered();
            }
            b'I' => {
                line.answers.completed();
            }
            b'G' => line.answers.copies_in(),
            _ => {}
        }
    }

    fn answer(&self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        let mut line = self.line.lock();
        let schema = &self.cluster.schema;
        let now = self.cluster.uptime.now();
        let reply = match frame.tag() {
            b'C' => {
                let reply = line.answers.completed();
                let tag = match reply {
                    Reply::Tag(tag) => tag.into(),
                    _ => String::from_utf8_lossy(
                        frame.body().split_last().map_or(&[], |(_, tag)| tag),
                    ),
                };
                line.catalog.completed(&tag, schema, now);
                reply
            }
            b'N' => {
                line.catalog.noticed(&frame::field(frame.body(), b'M'));
                Reply::AsIs
            }
            b'1' => line.answers.answered(),
            b's' => line.answers.completed(),
            b'E' => {
                line.catalog.failed();
                line.answers.failed()
            }
            _ => {
                line.answers.ready();
                line.status = frame.body().first().copied().unwrap_or(b'I');
                let status = line.status;
                line.catalog.ready(status, schema, now);
                Reply::AsIs
            }
        };
        match (frame.tag(), reply) {
            (b'1' | b's', Reply::Swallow) => {}
            (b'C', Reply::Tag(tag)) => frame::put_command_complete(out, tag),
            (b'C', Reply::Instead(refusal)) => self.refuse(&refusal, out),
            (b'C', Reply::Committed(effect)) if frame.body() == b"COMMIT\0" => match effect {
                Effect::Refuse(refusal) if !refusal.is_fatal() => self.refuse(&refusal, out),
                effect => {
                    effect.strike(self.pace)?;
                    out.put_slice(frame.bytes());
                }
            },
            (b'E', reply) => self.error(frame, &reply, out),
            _ => out.put_slice(frame.bytes()),
        }
        Ok(())
    }

    fn error(&self, error: &Frame, reply: &Reply, out: &mut BytesMut) {
        let text = |letter| frame::field(error.body(), letter);
        match reply {
            Reply::Refuse(refusal) if text(b'M').contains(MARKER) => self.refuse(refusal, out),
            _ if CONFLICTS.contains(&text(b'C').as_str()) => self.refuse(&Refusal::Conflict, out),
            // The context would tell of the translation, or of the rules: no user has functions of
            // this language.
            _ if *reply != Reply::AsIs || text(b'W').contains("PL/pgSQL") => {
                frame::put(out, b'E', |out| {
                    let told =
                        frame::fields(error.body()).filter(|(letter, _)| !b"Wpq".contains(letter));
                    for (letter, text) in told {
                        out.put_u8(letter);
                        frame::put_string(out, text);
                    }
                    out.put_u8(0);
                });
            }
            _ => out.put_slice(error.bytes()),
        }
    }

    fn refuse(&self, refusal: &Refusal, out: &mut BytesMut) {
        self.entry.refused(refusal);
        frame::put_refusal(out, refusal);
    }
}

/// Serialization failure, deadlock, lock not available.
const CONFLICTS: [&str; 3] = ["40001", "40P01", "55P03"];

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::answer::Due;
    use crate::corpus::{cut, mistaken, walk};

    static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::unplugged);

    /// What may be due, by number: everything that changes an answer, and what an answer is needed
    /// for.
    fn due(number: u8) -> Due {
        let reply = || match number / 8 % 6 {
            0 => Reply::Tag("AWS IAM GRANT"),
            1 => Reply::Refuse(Refusal::WakingUp),
            2 => Reply::Instead(Refusal::Conflict),
            3 => Reply::Committed(Effect::Refuse(Refusal::ServerUnavailable)),
            4 => Reply::Committed(Effect::Cut),
            _ => Reply::AsIs,
        };
        match number % 8 {
            0 => Due::Query([reply(), Reply::AsIs, reply()].into()),
            1 => Due::Parse(Reply::Swallow),
            2 => Due::Bind(reply()),
            3 => Due::Describe,
            4 => Due::Execute(reply()),
            5 => Due::CopyEnd,
            6 => Due::Close,
            _ => Due::Sync,
        }
    }

    /// Returns what the client gets, how it went, and what is still due.
    fn taken(due_first: &[u8], pieces: &[&[u8]]) -> (BytesMut, String, String) {
        let entry = CLUSTER.ledger.accepted();
        let line = SharedLine::default();
        let pace = Pace::default();
        for number in due_first {
            line.lock().answers.ask(due(*number));
        }
        let mut replies = Replies::new(&CLUSTER, &entry, &line, &pace);
        let (mut unread, mut out) = (BytesMut::new(), BytesMut::new());
        let mut took = Ok(());
        for piece in pieces {
            unread.extend_from_slice(piece);
            took = replies.take(&mut unread, &mut out);
            if took.is_err() {
                break;
            }
            // Whatever is as large as a row has passed.
            let waits = unread.len() < frame::HEADER || b"CEZ1sN".contains(&unread[0]);
            assert!(waits, "{unread:?} was held back");
        }
        (
            out,
            format!("{took:?}"),
            format!("{:?}", line.lock().answers),
        )
    }

    fn read(due: &[u8], bytes: &[u8]) {
        let (out, ..) = taken(due, &[bytes]);
        // Only these are answered in other words.
        let changed = bytes.iter().filter(|byte| b"CE".contains(byte)).count();
        assert!(out.len() <= bytes.len() + changed * 300);
    }

    proptest! {
        #[test]
        fn replies_may_be_cut_anywhere(
            due in prop::collection::vec(any::<u8>(), 0..12),
            bytes in mistaken("reply"),
            at in prop::collection::vec(any::<Index>(), 0..9),
        ) {
            prop_assert_eq!(taken(&due, &cut(&bytes, &at)), taken(&due, &[&bytes]));
        }

        #[test]
        fn what_nobody_asked_about_passes_as_it_is(bytes in prop::collection::vec(any::<(u8, Vec<u8>)>(), 0..9)) {
            let mut engine = BytesMut::new();
            for (tag, body) in &bytes {
                // Errors are put in the service's words, whoever asked.
                let tag = if *tag == b'E' { b'D' } else { *tag };
                frame::put(&mut engine, tag, |out| out.put_slice(body));
            }
            let (out, took, _) = taken(&[], &[&engine]);
            prop_assert_eq!(out, engine);
            prop_assert_eq!(took, "Ok(())");
        }

        #[test]
        fn no_bytes_make_it_panic(
            due in prop::collection::vec(any::<u8>(), 0..12),
            bytes in prop_oneof![mistaken("reply"), prop::collection::vec(any::<u8>(), 0..200)],
        ) {
            read(&due, &bytes);
        }
    }

    #[test]
    fn what_is_kept_is_read_with_any_mistake() {
        walk("reply", |bytes| read(&[], bytes));
        walk("reply", |bytes| {
            read(&[32, 1, 10, 12, 7, 0, 8, 16, 24], bytes)
        });
    }
}
