//! The engine's frames on their way to the client: conflicts with the service's messages, and
//! replies to statements that the engine ran in another form.

use bytes::{BufMut, BytesMut};

use crate::conflict::SharedCatalog;
use crate::faults::{Effect, Stage};
use crate::protocol::ending::Ending;
use crate::protocol::exchange::SharedExchange;
use crate::protocol::frame::{self, Frame};
use crate::protocol::pending::{MARKER, Reply};
use crate::refusal::Refusal;
use crate::server::cluster::Cluster;
use crate::server::effect;
use crate::server::log::Recorder;
use crate::server::socket::Pace;

/// Processes the frames that the engine sends to one session.
pub(crate) struct Replies<'a> {
    cluster: &'a Cluster,
    recorder: &'a Recorder,
    exchange: &'a SharedExchange,
    catalog: &'a SharedCatalog,
    pace: &'a Pace,
    /// The bytes of the current frame that are still to be forwarded unread.
    passing: usize,
    /// The rows of the current result so far.
    rows: usize,
}

impl<'a> Replies<'a> {
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
            passing: 0,
            rows: 0,
        }
    }

    /// Takes the bytes that arrived, and writes the bytes to send to the client.
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
                self.reply(&frame, out)?;
            } else {
                // A row may be large: it is forwarded in pieces.
                self.unchanged(tag);
                self.passing = length;
            }
        }
    }

    /// Counts a row, and applies a fault in the middle of the second.
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
        let Some(effect) =
            (self.cluster.faults).at_if(Stage::Rows, |effect| !effect.keeps_session())
        else {
            return Ok(());
        };
        let sends_bytes = effect.sends_bytes();
        let applied = effect::apply(effect, self.pace);
        if applied.is_err() && !sends_bytes {
            out.put_slice(&unread[..unread.len().min(length / 2)]);
        }
        applied
    }

    /// Takes a reply that is forwarded unchanged.
    fn unchanged(&self, tag: u8) {
        let mut exchange = self.exchange.lock();
        match tag {
            b'2' | b'3' | b'n' | b'T' => {
                exchange.pending.replied();
            }
            b'I' => {
                exchange.pending.completed();
            }
            b'G' => exchange.pending.copies_in(),
            _ => {}
        }
    }

    /// Takes a reply that may have to change.
    fn reply(&self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        let mut exchange = self.exchange.lock();
        let mut catalog = self.catalog.lock();
        let schema = &self.cluster.schema;
        let now = self.cluster.uptime.now();
        let reply = match frame.tag() {
            b'C' => {
                let reply = exchange.pending.completed();
                let tag = match reply {
                    Reply::Tag(tag) => tag.into(),
                    Reply::AsIs
                    | Reply::Refuse(_)
                    | Reply::Instead(_)
                    | Reply::Committed(_)
                    | Reply::Swallow => String::from_utf8_lossy(
                        frame.body().split_last().map_or(&[], |(_, tag)| tag),
                    ),
                };
                catalog.completed(&tag, schema, now);
                reply
            }
            b'N' => {
                catalog.noticed(&frame::field(frame.body(), b'M'));
                Reply::AsIs
            }
            b'1' => exchange.pending.replied(),
            b's' => exchange.pending.completed(),
            b'E' => {
                catalog.failed();
                exchange.pending.failed()
            }
            _ => {
                exchange.pending.ready();
                exchange.status = frame.body().first().copied().unwrap_or(b'I');
                catalog.ready(exchange.status, schema, now);
                Reply::AsIs
            }
        };
        match (frame.tag(), reply) {
            (b'1' | b's', Reply::Swallow) => {}
            (b'C', reply) => self.completed(frame, reply, out)?,
            (b'E', reply) => self.error(frame, &reply, out),
            (_, _) => out.put_slice(frame.bytes()),
        }
        Ok(())
    }

    fn completed(&self, frame: &Frame, reply: Reply, out: &mut BytesMut) -> Result<(), Ending> {
        match reply {
            Reply::Tag(tag) => frame::put_command_complete(out, tag),
            Reply::Instead(refusal) => self.refuse(&refusal, out),
            Reply::Committed(effect) if frame.body() == b"COMMIT\0" => match effect {
                Effect::Refuse(refusal) if !refusal.is_fatal() => self.refuse(&refusal, out),
                Effect::Refuse(_)
                | Effect::Cut
                | Effect::Reset
                | Effect::Stall
                | Effect::Garbage
                | Effect::Trickle(_) => {
                    effect::apply(effect, self.pace)?;
                    out.put_slice(frame.bytes());
                }
            },
            Reply::AsIs | Reply::Refuse(_) | Reply::Committed(_) | Reply::Swallow => {
                out.put_slice(frame.bytes());
            }
        }
        Ok(())
    }

    fn error(&self, error: &Frame, reply: &Reply, out: &mut BytesMut) {
        let text = |letter| frame::field(error.body(), letter);
        let refusal = match reply {
            Reply::Refuse(refusal) => Some(refusal).filter(|_| text(b'M').contains(MARKER)),
            Reply::AsIs
            | Reply::Tag(_)
            | Reply::Instead(_)
            | Reply::Committed(_)
            | Reply::Swallow => None,
        };
        let has_context = *reply != Reply::AsIs || text(b'W').contains("PL/pgSQL");
        if let Some(refusal) = refusal {
            self.refuse(refusal, out);
        } else if CONFLICTS.contains(&text(b'C').as_str()) {
            self.refuse(&Refusal::Conflict, out);
        } else if text(b'M').starts_with("tuple concurrently ") {
            // Two sessions changed the same row of the catalog, by GRANT for example.
            self.refuse(&Refusal::SchemaChanged, out);
        } else if has_context {
            // The context shows the translation, or a function that enforces the rules. Users have
            // no functions in this language.
            frame::put(out, b'E', |out| {
                let shown =
                    frame::fields(error.body()).filter(|(letter, _)| !b"Wpq".contains(letter));
                for (letter, text) in shown {
                    out.put_u8(letter);
                    frame::put_string(out, text);
                }
                out.put_u8(0);
            });
        } else {
            out.put_slice(error.bytes());
        }
    }

    fn refuse(&self, refusal: &Refusal, out: &mut BytesMut) {
        self.recorder.refused(refusal);
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
    use crate::corpus::{cut, mutated, walk};
    use crate::protocol::pending::Pending;

    static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::without_engine);

    /// Returns a pending frame by number: every kind of frame, with every kind of reply.
    fn pending(number: u8) -> Pending {
        let reply = || match number / 8 % 6 {
            0 => Reply::Tag("AWS IAM GRANT"),
            1 => Reply::Refuse(Refusal::WakingUp),
            2 => Reply::Instead(Refusal::Conflict),
            3 => Reply::Committed(Effect::Refuse(Refusal::ServerUnavailable)),
            4 => Reply::Committed(Effect::Cut),
            _ => Reply::AsIs,
        };
        match number % 8 {
            0 => Pending::Query([reply(), Reply::AsIs, reply()].into()),
            1 => Pending::Parse(Reply::Swallow),
            2 => Pending::Bind(reply()),
            3 => Pending::Describe,
            4 => Pending::Execute(reply()),
            5 => Pending::CopyEnd,
            6 => Pending::Close,
            _ => Pending::Sync,
        }
    }

    /// Returns the output, the result, and the frames that are still pending.
    fn taken(numbers: &[u8], pieces: &[&[u8]]) -> (BytesMut, String, String) {
        let recorder = CLUSTER.log.accepted();
        let exchange = SharedExchange::default();
        let catalog = SharedCatalog::default();
        let pace = Pace::default();
        for number in numbers {
            exchange.lock().pending.add(pending(*number));
        }
        let mut replies = Replies::new(&CLUSTER, &recorder, &exchange, &catalog, &pace);
        let (mut unread, mut out) = (BytesMut::new(), BytesMut::new());
        let mut took = Ok(());
        for piece in pieces {
            unread.extend_from_slice(piece);
            took = replies.take(&mut unread, &mut out);
            if took.is_err() {
                break;
            }
            // Frames that may be as large as a row are forwarded in pieces.
            let waits = unread.len() < frame::HEADER || b"CEZ1sN".contains(&unread[0]);
            assert!(waits, "{unread:?} is held back");
        }
        (
            out,
            format!("{took:?}"),
            format!("{:?}", exchange.lock().pending),
        )
    }

    fn check(numbers: &[u8], bytes: &[u8]) {
        let (out, ..) = taken(numbers, &[bytes]);
        // Only these replies can become longer.
        let changed = bytes.iter().filter(|byte| b"CE".contains(byte)).count();
        assert!(out.len() <= bytes.len() + changed * 300);
    }

    proptest! {
        #[test]
        fn replies_can_be_split_anywhere(
            numbers in prop::collection::vec(any::<u8>(), 0..12),
            bytes in mutated("reply"),
            at in prop::collection::vec(any::<Index>(), 0..9),
        ) {
            prop_assert_eq!(taken(&numbers, &cut(&bytes, &at)), taken(&numbers, &[&bytes]));
        }

        #[test]
        fn unexpected_replies_are_forwarded_unchanged(
            bytes in prop::collection::vec(any::<(u8, Vec<u8>)>(), 0..9),
        ) {
            let mut engine = BytesMut::new();
            for (tag, body) in &bytes {
                // Errors may get the service's message.
                let tag = if *tag == b'E' { b'D' } else { *tag };
                frame::put(&mut engine, tag, |out| out.put_slice(body));
            }
            let (out, took, _) = taken(&[], &[&engine]);
            prop_assert_eq!(out, engine);
            prop_assert_eq!(took, "Ok(())");
        }

        #[test]
        fn no_bytes_panic(
            numbers in prop::collection::vec(any::<u8>(), 0..12),
            bytes in prop_oneof![mutated("reply"), prop::collection::vec(any::<u8>(), 0..200)],
        ) {
            check(&numbers, &bytes);
        }
    }

    #[test]
    fn mutations_of_the_corpus_never_panic() {
        walk("reply", |bytes| check(&[], bytes));
        walk("reply", |bytes| {
            check(&[32, 1, 10, 12, 7, 0, 8, 16, 24], bytes)
        });
    }
}
