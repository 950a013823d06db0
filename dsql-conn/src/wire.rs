//! Follows the protocol between the driver and TLS.
//!
//! tokio-postgres does not expose whether a transaction is open, how `COMMIT` was answered, or
//! whether replies are pending. A [`Wire`] is the stream that it reads and writes. The [`Watch`]
//! records the state that the messages show.

mod begin;
mod early_password;
mod fence;
mod flights;
mod frames;
mod session_state;
mod sql;
mod task_waker;
#[cfg(test)]
mod tests;
mod waiters;
mod watch;
mod write_buffer;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use std::{io, mem};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use self::begin::PipelinedBegin;
use self::early_password::EarlyPassword;
use self::frames::Frames;
pub(crate) use self::session_state::Status;
pub(crate) use self::watch::Watch;
use self::watch::{Shared, changed};
use self::write_buffer::WriteBuffer;

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
        changed(state);
        match is_unwanted {
            true => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            false => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes some of the driver's bytes, with the early password behind the first ones.
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
                // Some of the bytes may have been sent.
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
    /// Returns no channel binding. The service asks for a cleartext password, which has none. SCRAM
    /// with another server would need a parser for the certificate. Binding would only protect
    /// against an unverified certificate, which only a caller's own verifier accepts.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
