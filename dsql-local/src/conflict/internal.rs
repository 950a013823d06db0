//! The guard's own messages to the engine, whose replies do not go to the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;

use super::backend::Backend;
use super::flight::put_query;
use super::registry::Registration;
use crate::protocol::ending::Ending;
use crate::protocol::frame::{self, Frame, HEADER, Malformed};

/// Decides whether the engine's replies go to the client or to the guard.
#[derive(Debug)]
pub(crate) struct Tap {
    diverts: AtomicBool,
    frames: mpsc::UnboundedSender<Frame>,
}

impl Tap {
    /// Sends complete frames to the guard, if the guard expects them. Returns whether it does.
    pub(crate) fn divert(&self, unread: &mut BytesMut) -> Result<bool, Malformed> {
        if !self.diverts.load(Ordering::SeqCst) {
            return Ok(false);
        }
        while let Some(frame) = Frame::cut(unread, usize::MAX)? {
            // Fails only if the guard was dropped with the session.
            let _dropped = self.frames.send(frame);
        }
        Ok(true)
    }
}

/// The session's backend, and its replies that are diverted to the guard.
#[derive(Debug)]
pub(super) struct EngineConnection<'a> {
    backend: Backend,
    tap: &'a Tap,
    frames: mpsc::UnboundedReceiver<Frame>,
    /// Bytes for the client.
    replies: mpsc::UnboundedSender<BytesMut>,
}

/// The engine's frames up to `ReadyForQuery`.
#[derive(Debug, Default)]
pub(super) struct Answer {
    frames: Vec<Frame>,
    pub(super) status: u8,
    pub(super) error: Option<Failure>,
    /// The engine waits for copied data instead of sending `ReadyForQuery`.
    pub(super) copies_in: bool,
}

/// An error from the engine.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) sqlstate: String,
    pub(super) message: String,
}

/// Creates both ends of the channel.
pub(super) fn tap() -> (Tap, mpsc::UnboundedReceiver<Frame>) {
    let (sender, frames) = mpsc::unbounded_channel();
    let tap = Tap {
        diverts: AtomicBool::new(false),
        frames: sender,
    };
    (tap, frames)
}

impl<'a> EngineConnection<'a> {
    pub(super) fn new(
        engine: OwnedWriteHalf,
        registration: Arc<Registration>,
        tap: &'a Tap,
        frames: mpsc::UnboundedReceiver<Frame>,
        replies: mpsc::UnboundedSender<BytesMut>,
    ) -> Self {
        Self {
            backend: Backend::new(engine, registration),
            tap,
            frames,
            replies,
        }
    }

    /// Sends bytes whose replies go to the client. Nothing may be in flight when this changes.
    pub(super) async fn pass(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.tap.diverts.store(false, Ordering::SeqCst);
        self.backend.write(bytes).await
    }

    /// Sends bytes whose replies go to the guard.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.tap.diverts.store(true, Ordering::SeqCst);
        self.backend.write(bytes).await
    }

    /// Receives the next answer.
    pub(super) async fn answer(&mut self) -> Result<Answer, Ending> {
        let mut answer = Answer::default();
        loop {
            let frame = self.frames.recv().await.ok_or(Ending::EngineClosed)?;
            match frame.tag() {
                b'Z' => answer.status = frame.body().first().copied().unwrap_or(b'I'),
                b'E' => {
                    answer.error = Some(Failure {
                        sqlstate: frame::field(frame.body(), b'C'),
                        message: frame::field(frame.body(), b'M'),
                    });
                }
                b'G' => answer.copies_in = true,
                _ => {}
            }
            let ends = matches!(frame.tag(), b'Z' | b'G');
            answer.frames.push(frame);
            if ends {
                return Ok(answer);
            }
        }
    }

    /// Runs the guard's own SQL, and returns its rows.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Result<Rows, Failure>, Ending> {
        let mut out = BytesMut::new();
        put_query(&mut out, sql);
        self.send(&out).await?;
        let answer = self.answer().await?;
        Ok(match answer.error {
            Some(failure) => Err(failure),
            None => Ok(answer.rows()?),
        })
    }

    /// Sends an answer to the client, except its first `skipped` frames, which reply to the guard's
    /// own messages.
    pub(super) fn accept(&self, answer: Answer, skipped: usize, with_ready: bool) {
        let mut out = BytesMut::new();
        for frame in answer.frames.iter().skip(skipped) {
            if frame.tag() != b'Z' || with_ready {
                out.extend_from_slice(frame.bytes());
            }
        }
        self.send_to_client(out);
    }

    pub(super) fn send_to_client(&self, bytes: BytesMut) {
        // Fails only if the receiver was dropped with the session.
        let _dropped = self.replies.send(bytes);
    }
}

/// Rows in text format.
pub(super) type Rows = Vec<Vec<Option<String>>>;

impl Answer {
    /// Replaces success with another answer's error.
    pub(super) fn fail_with(&mut self, other: Self) {
        self.frames
            .retain(|frame| !matches!(frame.tag(), b'C' | b'Z'));
        let rest = other.frames.into_iter();
        self.frames
            .extend(rest.filter(|frame| matches!(frame.tag(), b'E' | b'Z')));
        self.error = other.error;
    }

    /// Changes the transaction status to idle.
    pub(super) fn set_idle(&mut self) {
        self.status = b'I';
        self.frames.retain(|frame| frame.tag() != b'Z');
        let mut ready = BytesMut::new();
        frame::put(&mut ready, b'Z', |out| out.extend_from_slice(b"I"));
        self.frames
            .extend(Frame::cut(&mut ready, HEADER + 1).ok().flatten());
    }

    fn rows(&self) -> Result<Rows, Malformed> {
        let rows = self.frames.iter().filter(|frame| frame.tag() == b'D');
        rows.map(|frame| row(frame.body())).collect()
    }
}

fn row(mut body: &[u8]) -> Result<Vec<Option<String>>, Malformed> {
    let mut take = |length: usize| {
        let (taken, rest) = body.split_at_checked(length).ok_or(Malformed::Length)?;
        body = rest;
        Ok(taken)
    };
    let columns = take(2)?
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    (0..columns)
        .map(|_| {
            let length = take(4)?
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            match length {
                u32::MAX => Ok(None),
                length => {
                    let text = take(length as usize)?;
                    Ok(Some(String::from_utf8_lossy(text).into_owned()))
                }
            }
        })
        .collect()
}
