//! Follows the protocol between the driver and TLS.
//!
//! tokio-postgres knows whether a transaction is open, what `COMMIT` was answered with and whether
//! replies are due, and does not tell. A [`Wire`] is the stream that it reads and writes; the
//! [`Watch`] tells what passed there.

mod begin;
mod early_password;
mod fence;
mod flights;
mod frames;
mod session_state;
mod sql;
mod write_buffer;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use std::{io, mem};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use self::begin::PipelinedBegin;
use self::early_password::EarlyPassword;
use self::frames::Frames;
use self::session_state::SessionState;
pub(crate) use self::session_state::Status;
use self::write_buffer::WriteBuffer;
use crate::sqlstate::ServerError;

/// A stream that follows every message.
pub(crate) struct Wire<S> {
    stream: S,
    early_password: EarlyPassword,
    begin: PipelinedBegin,
    write_buffer: WriteBuffer,
    shared: Arc<Shared>,
    sent: Frames,
    received: Frames,
}

/// What is known of the session on a [`Wire`].
#[derive(Clone, Default)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<SessionState>,
    /// Wakes the connection task.
    task: AtomicWaker,
    /// Wakes the caller that waits for the state to change. It has one place: who waits has the
    /// connection to itself, or a deadline.
    changed: AtomicWaker,
    first_write: OnceLock<Instant>,
    first_reply: OnceLock<Instant>,
}

impl<S> Wire<S> {
    /// Wraps a stream that nothing was sent on yet, for a new watch. An early password is sent with
    /// the startup packet.
    pub(crate) fn new(stream: S, watch: &Watch, early_password: Option<&str>) -> Self {
        Self {
            stream,
            early_password: EarlyPassword::new(early_password),
            begin: PipelinedBegin::default(),
            write_buffer: WriteBuffer::default(),
            shared: Arc::clone(&watch.shared),
            sent: Frames::starting_untagged(),
            received: Frames::default(),
        }
    }
}

impl Watch {
    /// Waits for one turn of the connection task, which writes what was queued before this call and
    /// reads what has arrived. [`is_settled`](Self::is_settled) counts only after it.
    pub(crate) async fn fence(&self) {
        let request = self.shared.lock().fence.request();
        let mut first_polls = 0..1;
        poll_fn(|cx| {
            self.shared.changed.register(cx.waker());
            // Register first, or a wake-up may be lost.
            if first_polls.next().is_some() {
                self.wake_task();
            }
            let state = self.shared.lock();
            match state.is_closed() || state.fence.is_reached(request) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Waits until every statement was answered and the driver holds back nothing, or the session
    /// ended. Has no deadline of its own.
    pub(crate) async fn settled(&self) {
        self.until(|state| state.is_closed() || state.is_settled())
            .await;
    }

    /// Whether [`settled`](Self::settled) would return at once.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.shared.lock();
        state.is_closed() || state.is_settled()
    }

    /// Waits for the reply to `BEGIN` if no other reply is due. Has no deadline of its own.
    pub(crate) async fn begun(&self) {
        self.until(|state| state.is_closed() || !state.awaits_begin_alone())
            .await;
    }

    /// The transaction status after the last reply.
    pub(crate) fn status(&self) -> Status {
        self.shared.lock().status()
    }

    /// Whether the next statement would be part of a transaction.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.shared.lock().is_in_transaction()
    }

    /// Whether the server did not want the password that was sent with the startup packet.
    pub(crate) fn password_was_unwanted(&self) -> bool {
        self.shared.lock().password_was_unwanted
    }

    /// Whether the session has ended, or can no longer be followed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().is_closed()
    }

    /// Whether replies can no longer be matched with requests, as after a `COPY` that failed.
    pub(crate) fn is_out_of_step(&self) -> bool {
        self.shared.lock().out_of_step
    }

    /// Whether rows of a query wait for their reader, so that later replies cannot arrive.
    pub(crate) fn has_unread_rows(&self) -> bool {
        self.shared.lock().has_unread_rows()
    }

    /// Starts to observe a transaction, and pipelines the `BEGIN` that is queued next.
    pub(crate) fn begin_pipelined(&self) {
        self.shared.lock().begin_pipelined();
    }

    /// Forgets what was seen so far: `COMMIT` is queued next.
    pub(crate) fn observe_commit(&self) {
        self.shared.lock().forget();
    }

    /// The first conflict of the transaction, or of its `COMMIT`.
    pub(crate) fn conflict(&self) -> Option<ServerError> {
        self.shared.lock().transaction.conflict.clone()
    }

    /// The first error of the transaction, or of its `COMMIT`.
    pub(crate) fn failure(&self) -> Option<ServerError> {
        self.shared.lock().transaction.failure.clone()
    }

    /// Whether the transaction has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.lock().transaction.has_ended
    }

    /// Whether anything was sent that may have committed the transaction.
    pub(crate) fn may_have_committed(&self) -> bool {
        self.shared.lock().transaction.may_have_committed
    }

    /// Whether the last command completed with this tag.
    pub(crate) fn completed_with(&self, tag: &str) -> bool {
        self.shared.lock().transaction.tag.as_deref() == Some(tag.as_bytes())
    }

    /// The time from the startup packet to the server's first reply: one round trip, without the
    /// check of the token.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let sent = self.shared.first_write.get()?;
        Some(self.shared.first_reply.get()?.duration_since(*sent))
    }

    fn wake_task(&self) {
        self.shared.task.wake();
    }

    /// The owner drops the connection: the task ends soon.
    pub(crate) fn leave(&self) {
        self.shared.lock().leaving = true;
        self.wake_task();
    }

    /// A turn of the connection task begins. `waker` gives it the next one.
    pub(crate) fn turn_begins(&self, waker: &Waker) {
        self.shared.task.register(waker);
        self.shared.lock().fence.turn_begins();
    }

    /// A turn of the connection task ends. Returns whether the owner has dropped the connection.
    pub(crate) fn turn_ends(&self) -> bool {
        let mut state = self.shared.lock();
        state.fence.turn_ends();
        let leaving = state.leaving;
        drop(state);
        self.shared.changed.wake();
        leaving
    }

    /// This side aborts the connection task.
    pub(crate) fn abort(&self) {
        self.shared.lock().aborted = true;
        self.close();
    }

    /// Whether this side has aborted the connection task.
    pub(crate) fn was_aborted(&self) -> bool {
        self.shared.lock().aborted
    }

    /// Nothing will be read or written any more.
    pub(crate) fn close(&self) {
        self.shared.lock().close();
        self.shared.changed.wake();
    }

    async fn until(&self, condition: impl Fn(&SessionState) -> bool) {
        poll_fn(|cx| {
            if condition(&self.shared.lock()) {
                return Poll::Ready(());
            }
            self.shared.changed.register(cx.waker());
            // Again, or a wake-up between the two may be lost.
            match condition(&self.shared.lock()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = this.begin.poll_read(&mut this.stream, cx, buf);
        let Poll::Ready(result) = &polled else {
            this.shared.lock().fence.drained = true;
            return polled;
        };
        if this.shared.first_reply.get().is_none() {
            let _ = this.shared.first_reply.set(Instant::now());
        }
        let new = &buf.filled()[before..];
        let mut state = this.shared.lock();
        if result.is_err() || new.is_empty() {
            state.close();
        }
        let mut is_unwanted = false;
        this.received.follow(new, |tag, body| {
            is_unwanted |= this.early_password.is_refused_by(tag, body);
            state.received(tag, body);
        });
        state.fence.drained = false;
        state.password_was_unwanted |= is_unwanted;
        drop(state);
        this.shared.changed.wake();
        match is_unwanted {
            true => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            false => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes some of the driver's bytes, and whatever goes with them.
    fn poll_write_next(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(password) = self.early_password.take_due() {
            self.write_buffer.push(buf);
            self.write_buffer.push(password);
            return match self.write_buffer.poll_write(&mut self.stream, cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Ready(Ok(buf.len())),
            };
        }
        let sent = self.early_password.sent_of(buf);
        if sent > 0 {
            return Poll::Ready(Ok(sent));
        }
        let rest = self.sent.rest_in(buf);
        self.begin
            .poll_write(&mut self.stream, &mut self.write_buffer, cx, buf, rest)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.shared.first_write.get().is_none() {
            let _ = this.shared.first_write.set(Instant::now());
        }
        if mem::take(&mut this.shared.lock().pipelines_begin) {
            this.begin.expect();
        }
        ready!(this.write_buffer.poll_write(&mut this.stream, cx))?;
        let polled = this.poll_write_next(cx, buf);
        let mut state = this.shared.lock();
        state.fence.flushed = false;
        match &polled {
            Poll::Ready(Ok(written)) => {
                let written = &buf[..*written];
                this.sent.follow(written, |tag, body| state.sent(tag, body));
            }
            Poll::Ready(Err(_)) => {
                // Some of it may have been sent.
                this.sent.follow(buf, |tag, body| state.sent(tag, body));
                state.close();
            }
            Poll::Pending => {}
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = match this.write_buffer.poll_write(&mut this.stream, cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut this.stream).poll_flush(cx),
            pending => pending,
        };
        this.shared.lock().fence.flushed = matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Wire<S> {
    /// None. The service asks for a cleartext password, which binds nothing, and reading the
    /// certificate for another server's SCRAM needs a parser of its own. Binding would guard
    /// against a certificate that was not verified, which only a caller's own verifier accepts.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

#[cfg(test)]
mod tests;
