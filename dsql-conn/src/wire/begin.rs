//! Pipelines `BEGIN` with the statement behind it, so that none runs if `BEGIN` is refused.
//!
//! Sending `BEGIN` without waiting for its reply saves a round trip. But the service may refuse
//! `BEGIN`, as it may refuse any statement after a schema change. It would then run the next
//! statement outside of a transaction, and the statement would be applied at once, and again by the
//! next attempt. So this module leaves out the `Sync` between the two: if `BEGIN` fails, the server
//! skips the statement. The driver gets the reply that the `Sync` would have caused. pgjdbc begins
//! its transactions the same way. Later messages wait for the reply to `BEGIN`. If `BEGIN` is
//! refused, this module answers them with the refusal until `ROLLBACK` or `COMMIT`, as the server
//! does in a failed transaction.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{self, split};
use super::sql::ends_transaction;
use super::write_buffer::WriteBuffer;

/// The start of a transaction, between the driver and the stream.
#[derive(Default)]
pub(super) struct PipelinedBegin {
    writing: Writing,
    reply: Reply,
    /// The `Sync` was left out.
    is_joined: bool,
    /// The start of a message whose rest has not arrived.
    partial: Vec<u8>,
    /// Bytes that the driver reads before anything else.
    unread: Vec<u8>,
}

/// What the driver is expected to write.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Nothing of a transaction's start.
    #[default]
    Anything,
    /// `BEGIN`, after whatever was queued before it.
    Begin,
    /// The messages that run `BEGIN`, up to their `Sync`.
    Sync,
    /// The request in the same flight, up to its `Sync`.
    Joined,
    /// Requests that wait for the reply to `BEGIN`.
    Behind,
}

/// The reply to `BEGIN`.
#[derive(Debug, Default, PartialEq, Eq)]
enum Reply {
    #[default]
    Pending,
    Begun,
    /// With the server's `ErrorResponse`, and whether `ReadyForQuery` followed it.
    Refused {
        error: Vec<u8>,
        is_ready: bool,
    },
}

impl PipelinedBegin {
    /// Expects `BEGIN` as the next unnamed statement that the driver writes.
    pub(super) fn expect(&mut self) {
        *self = Self {
            writing: Writing::Begin,
            unread: mem::take(&mut self.unread),
            ..Self::default()
        };
    }

    /// Writes as much of the driver's bytes as may be written now. The first `rest` bytes belong to
    /// a message that began earlier.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        write_buffer: &mut WriteBuffer,
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
                write_buffer.push(message);
            }
            taken += step.length;
        }
        if taken == 0 {
            // In each run the driver reads first, and then writes again.
            return Poll::Pending;
        }
        if !self.unread.is_empty() {
            cx.waker().wake_by_ref();
        }
        match write_buffer.poll_write(stream, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Decides about the driver's next message. `None` if there is no message, or if it must wait.
    fn step(&mut self, buf: &[u8]) -> io::Result<Option<Step>> {
        if buf.is_empty() {
            return Ok(None);
        }
        let (tag, body) = split(buf)?.ok_or(io::ErrorKind::InvalidInput)?;
        let length = frames::HEADER + body.len();
        let is_sent = match (self.writing, &self.reply) {
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
            // Terminate.
            (Writing::Behind, _) if tag == b'X' => true,
            (Writing::Behind, Reply::Pending) => return Ok(None),
            (Writing::Behind, Reply::Begun) => {
                self.writing = Writing::Anything;
                true
            }
            (
                Writing::Behind,
                Reply::Refused {
                    is_ready: false, ..
                },
            ) => return Ok(None),
            (Writing::Behind, Reply::Refused { error, .. }) => {
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

    /// Reads the server's messages, and the replies that it would have sent.
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
                self.unread = mem::take(&mut self.partial);
                self.writing = Writing::Anything;
                continue;
            }
            self.partial.extend_from_slice(heard.filled());
            self.listen()?;
        }
    }

    /// Returns whether the reply to `BEGIN` is pending, or its refusal is not complete.
    fn is_listening(&self) -> bool {
        match (self.writing, &self.reply) {
            (Writing::Anything | Writing::Begin, _) | (_, Reply::Begun) => false,
            (_, Reply::Pending) => true,
            (_, Reply::Refused { is_ready, .. }) => !is_ready,
        }
    }

    /// Passes on whole messages, with the replies that the left-out `Sync` would have brought.
    fn listen(&mut self) -> io::Result<()> {
        let heard = mem::take(&mut self.partial);
        let mut at = 0;
        while self.is_listening() {
            let Some((tag, body)) = split(&heard[at..])? else {
                break;
            };
            let next = at + frames::HEADER + body.len();
            self.hear(tag, &heard[at..next]);
            at = next;
        }
        match self.is_listening() {
            true => self.partial = heard[at..].to_vec(),
            false => self.unread.extend_from_slice(&heard[at..]),
        }
        Ok(())
    }

    /// Passes on one message.
    fn hear(&mut self, tag: u8, message: &[u8]) {
        match (&mut self.reply, tag) {
            (Reply::Pending, b'C') => {
                self.unread.extend_from_slice(message);
                if self.is_joined {
                    self.unread.extend_from_slice(READY_OPEN);
                }
                self.reply = Reply::Begun;
            }
            (Reply::Pending, b'E') => {
                self.unread.extend_from_slice(message);
                if self.is_joined {
                    self.unread.extend_from_slice(READY_FAILED);
                    self.unread.extend_from_slice(message);
                }
                self.reply = Reply::Refused {
                    error: message.to_vec(),
                    is_ready: false,
                };
            }
            (Reply::Refused { is_ready, .. }, b'Z') => {
                *is_ready = true;
                self.unread.extend_from_slice(READY_FAILED);
            }
            _ => self.unread.extend_from_slice(message),
        }
    }
}

/// The decision about one message of the driver.
struct Step {
    length: usize,
    is_sent: bool,
}

/// The start of an unnamed `BEGIN` or `BEGIN READ ONLY`.
const BEGIN: &[u8] = b"\0BEGIN";

/// The messages that a request of the extended protocol begins with.
const EXTENDED: &[u8] = b"PBDEC";

const READY_OPEN: &[u8] = b"Z\0\0\0\x05T";
const READY_FAILED: &[u8] = b"Z\0\0\0\x05E";
const ROLLED_BACK: &[u8] = b"C\0\0\0\x0dROLLBACK\0Z\0\0\0\x05I";

/// How much is read at a time: the replies to a transaction's first statement are mostly smaller.
const SPACE: usize = 4096;

#[cfg(test)]
mod tests;
