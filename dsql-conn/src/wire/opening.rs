//! Lets `BEGIN` travel with the statement behind it, and lets no statement run if it was refused.
//!
//! A `BEGIN` that is sent ahead and not awaited saves a round trip, but the service may refuse it, for a changed schema as any other
//! statement, and would then run what comes behind it outside of a transaction: applied at once, and again when the body runs again.
//! So the `Sync` between the two is left out, which makes the server skip the statement if `BEGIN` fails; the driver is given the
//! answer that the `Sync` would have brought. pgjdbc opens its transactions in this way, too. What comes later is held back until
//! `BEGIN` has been answered, and after a refusal it is answered here as the server does in a failed transaction: with the
//! refusal, until `ROLLBACK` or `COMMIT`.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::unsent::Unsent;

/// What becomes of the opening of a transaction, between the driver and the stream.
#[derive(Default)]
pub(super) struct Opening {
    writing: Writing,
    fate: Fate,
    /// The `Sync` was left out.
    is_joined: bool,
    /// The start of a message that the server has not said all of yet.
    unheard: Vec<u8>,
    /// What the driver is to read before anything else.
    unread: Vec<u8>,
}

/// What is expected of the driver.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Nothing that concerns this.
    #[default]
    Anything,
    /// `BEGIN`, after whatever was queued before it.
    Begin,
    /// The messages that run it, up to their `Sync`.
    Sync,
    /// The request that was joined to it, up to its `Sync`.
    Joined,
    /// What must not run unless it was answered.
    Behind,
}

/// What has become of `BEGIN`.
#[derive(Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Open,
    Granted,
    /// With the server's `ErrorResponse`, and whether it has said since that it is ready.
    Refused {
        error: Vec<u8>,
        is_ready: bool,
    },
}

impl Opening {
    /// Expects `BEGIN` as the next unnamed statement that the driver writes.
    pub(super) fn expect(&mut self) {
        *self = Self {
            writing: Writing::Begin,
            unread: mem::take(&mut self.unread),
            ..Self::default()
        };
    }

    /// Writes as much of what the driver wrote as may be written now. It begins with the rest of a message if there is one.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        unsent: &mut Unsent,
        cx: &mut Context<'_>,
        buf: &[u8],
        rest: usize,
    ) -> Poll<io::Result<usize>> {
        if self.writing == Writing::Anything {
            return Pin::new(stream).poll_write(cx, buf);
        }
        if rest > 0 {
            return Pin::new(stream).poll_write(cx, &buf[..rest]);
        }
        let mut taken = 0;
        while let Some(step) = self.step(&buf[taken..])? {
            let message = &buf[taken..taken + step.length];
            if step.is_sent {
                unsent.push(message);
            }
            taken += step.length;
        }
        if taken == 0 {
            // The driver reads before it writes each time that the server has said something.
            return Poll::Pending;
        }
        if !self.unread.is_empty() {
            cx.waker().wake_by_ref();
        }
        match unsent.poll_write(stream, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Decides what becomes of the driver's next message. Nothing if there is none, or it must wait.
    fn step(&mut self, buf: &[u8]) -> io::Result<Option<Step>> {
        if buf.is_empty() {
            return Ok(None);
        }
        let (tag, body) = message(buf)?.ok_or(io::ErrorKind::InvalidInput)?;
        let length = HEADER + body.len();
        let is_sent = match (self.writing, &self.fate) {
            (Writing::Anything, _) => true,
            (Writing::Begin, _) => {
                if tag == b'P' && body.starts_with(BEGIN) {
                    self.writing = Writing::Sync;
                }
                true
            }
            (Writing::Sync, _) if tag != b'S' => true,
            (Writing::Sync, _) => {
                let next = buf.get(length);
                self.is_joined = next.is_some_and(|tag| EXTENDED.contains(tag));
                self.writing = match self.is_joined {
                    true => Writing::Joined,
                    false => Writing::Behind,
                };
                !self.is_joined
            }
            (Writing::Joined, _) => {
                if tag == b'S' {
                    self.writing = Writing::Behind;
                }
                true
            }
            // The farewell.
            (Writing::Behind, _) if tag == b'X' => true,
            (Writing::Behind, Fate::Open) => return Ok(None),
            (Writing::Behind, Fate::Granted) => {
                self.writing = Writing::Anything;
                true
            }
            (
                Writing::Behind,
                Fate::Refused {
                    is_ready: false, ..
                },
            ) => return Ok(None),
            (Writing::Behind, Fate::Refused { error, .. }) => {
                if tag == b'Q' && ends_transaction(body) {
                    self.unread.extend_from_slice(ROLLED_BACK);
                    self.writing = Writing::Anything;
                } else if [b'Q', b'S'].contains(&tag) {
                    self.unread.extend_from_slice(error);
                    self.unread.extend_from_slice(READY_FAILED);
                }
                false
            }
        };
        Ok(Some(Step { length, is_sent }))
    }

    /// Reads what the server has said, and what it would have said.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.unread.is_empty() {
                let length = self.unread.len().min(buf.remaining());
                buf.put_slice(&self.unread[..length]);
                self.unread.drain(..length);
                return Poll::Ready(Ok(()));
            }
            if !self.is_listening() {
                return Pin::new(stream).poll_read(cx, buf);
            }
            let mut space = [0; SPACE];
            let mut heard = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut heard))?;
            if heard.filled().is_empty() {
                self.unread = mem::take(&mut self.unheard);
                self.writing = Writing::Anything;
                continue;
            }
            self.unheard.extend_from_slice(heard.filled());
            self.listen()?;
        }
    }

    /// Whether an answer to `BEGIN` is due, or one that its refusal changes.
    fn is_listening(&self) -> bool {
        match (self.writing, &self.fate) {
            (Writing::Anything | Writing::Begin, _) | (_, Fate::Granted) => false,
            (_, Fate::Open) => true,
            (_, Fate::Refused { is_ready, .. }) => !is_ready,
        }
    }

    /// Hands on what the server has said, with what it would have said in between.
    fn listen(&mut self) -> io::Result<()> {
        let heard = mem::take(&mut self.unheard);
        let mut at = 0;
        while self.is_listening() {
            let Some((tag, body)) = message(&heard[at..])? else {
                break;
            };
            let next = at + HEADER + body.len();
            self.hear(tag, &heard[at..next]);
            at = next;
        }
        match self.is_listening() {
            true => self.unheard = heard[at..].to_vec(),
            false => self.unread.extend_from_slice(&heard[at..]),
        }
        Ok(())
    }

    /// Hands on one message.
    fn hear(&mut self, tag: u8, message: &[u8]) {
        match (&mut self.fate, tag) {
            (Fate::Open, b'C') => {
                self.unread.extend_from_slice(message);
                if self.is_joined {
                    self.unread.extend_from_slice(READY_OPEN);
                }
                self.fate = Fate::Granted;
            }
            (Fate::Open, b'E') => {
                self.unread.extend_from_slice(message);
                if self.is_joined {
                    self.unread.extend_from_slice(READY_FAILED);
                    self.unread.extend_from_slice(message);
                }
                self.fate = Fate::Refused {
                    error: message.to_vec(),
                    is_ready: false,
                };
            }
            (Fate::Refused { is_ready, .. }, b'Z') => {
                *is_ready = true;
                self.unread.extend_from_slice(READY_FAILED);
            }
            _ => self.unread.extend_from_slice(message),
        }
    }
}

/// What becomes of a message of the driver's.
struct Step {
    length: usize,
    is_sent: bool,
}

/// Splits the first message off: its tag and its body, if it is whole.
fn message(bytes: &[u8]) -> io::Result<Option<(u8, &[u8])>> {
    let Some((&[tag, a, b, c, d], rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    // It counts itself.
    let length = length.checked_sub(4).ok_or(io::ErrorKind::InvalidData)?;
    Ok(rest.get(..length).map(|body| (tag, body)))
}

/// Whether a simple query does nothing but end the transaction.
fn ends_transaction(query: &[u8]) -> bool {
    let query = query.strip_suffix(&[0]).unwrap_or(query).trim_ascii();
    let query = query.strip_suffix(b";").unwrap_or(query).trim_ascii();
    let words: [&[u8]; 4] = [b"ROLLBACK", b"COMMIT", b"ABORT", b"END"];
    words.iter().any(|word| query.eq_ignore_ascii_case(word))
}

/// Tag and length.
const HEADER: usize = 5;

/// The start of a `Parse` message: no name, and the statement.
const BEGIN: &[u8] = b"\0BEGIN\0";

/// The messages that a request of the extended protocol begins with.
const EXTENDED: &[u8] = b"PBDEC";

const READY_OPEN: &[u8] = b"Z\0\0\0\x05T";
const READY_FAILED: &[u8] = b"Z\0\0\0\x05E";
const ROLLED_BACK: &[u8] = b"C\0\0\0\x0dROLLBACK\0Z\0\0\0\x05I";

/// How much is read at a time: the answers to a transaction's first statement are mostly smaller.
const SPACE: usize = 4096;

#[cfg(test)]
mod tests;
