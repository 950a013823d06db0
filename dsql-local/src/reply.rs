//! The engine's frames on their way out: conflicts in the service's words, and answers to statements
//! that the engine saw in another form. `forward` sends on what comes out.

use std::sync::{Mutex, PoisonError};

use bytes::{BufMut, BytesMut};

use crate::answer::Reply;
use crate::ending::Ending;
use crate::forward::Line;
use crate::frame::{self, Frame};
use crate::refusal::Refusal;
use crate::request::MARKER;

/// The answers of one session.
pub(crate) struct Replies<'a> {
    line: &'a Mutex<Line>,
    /// What is left of a frame that passes as it comes.
    passing: usize,
}

impl<'a> Replies<'a> {
    pub(crate) fn new(line: &'a Mutex<Line>) -> Self {
        Self { line, passing: 0 }
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
            if matches!(tag, b'C' | b'E' | b'Z' | b'1') {
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

    fn note(&self, tag: u8) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        match tag {
            b'2' | b'3' | b'n' | b'T' => {
                line.answers.answered();
            }
            b'I' | b's' => {
                line.answers.completed();
            }
            b'G' => line.answers.copies_in(),
            _ => {}
        }
    }

    fn answer(&self, frame: &Frame, out: &mut BytesMut) -> Result<(), Ending> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = match frame.tag() {
            b'C' => line.answers.completed(),
            b'1' => line.answers.answered(),
            b'E' => line.answers.failed(),
            _ => {
                line.answers.ready();
                line.status = frame.body().first().copied().unwrap_or(b'I');
                Reply::AsIs
            }
        };
        match (frame.tag(), reply) {
            (b'1', Reply::Swallow) => {}
            (b'C', Reply::Tag(tag)) => frame::put_command_complete(out, tag),
            (b'C', Reply::Instead(refusal)) => frame::put_refusal(out, &refusal),
            (b'C', Reply::LoseCommit) if frame.body() == b"COMMIT\0" => return Err(Ending::Cut),
            (b'C', Reply::Misreport(refusal)) if frame.body() == b"COMMIT\0" => {
                frame::put_refusal(out, &refusal);
            }
            (b'E', reply) => put_error(frame, &reply, out),
            _ => out.put_slice(frame.bytes()),
        }
        Ok(())
    }
}

fn put_error(error: &Frame, reply: &Reply, out: &mut BytesMut) {
    let text = |letter| frame::field(error.body(), letter);
    match reply {
        Reply::Refuse(refusal) if text(b'M').contains(MARKER) => frame::put_refusal(out, refusal),
        _ if CONFLICTS.contains(&text(b'C').as_str()) => {
            frame::put_refusal(out, &Refusal::Conflict);
        }
        // The context would tell of the translation.
        Reply::Tag(_) => frame::put(out, b'E', |out| {
            for (letter, text) in frame::fields(error.body()).filter(|(letter, _)| *letter != b'W')
            {
                out.put_u8(letter);
                frame::put_string(out, text);
            }
            out.put_u8(0);
        }),
        _ => out.put_slice(error.bytes()),
    }
}

/// Serialization failure, deadlock, lock not available.
const CONFLICTS: [&str; 3] = ["40001", "40P01", "55P03"];
