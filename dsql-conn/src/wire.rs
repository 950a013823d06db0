//! Follows the protocol between the driver and TLS, and tells what the driver keeps to itself.
//!
//! Whether a transaction is open, what a `COMMIT` was answered with, whether answers are still due: tokio-postgres knows and
//! does not say. A [`Wire`] is the stream it reads and writes; the [`Watch`] beside it answers.

mod early_password;
mod frames;
mod ledger;
mod opening;
mod unsent;

use std::{
    future::poll_fn,
    io, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

pub(crate) use self::ledger::{Conflict, Refusal, Status};
use self::{
    early_password::EarlyPassword, frames::Frames, ledger::Ledger, opening::Opening, unsent::Unsent,
};

/// A stream that notes every message on its way through.
pub(crate) struct Wire<S> {
    stream: S,
    early_password: EarlyPassword,
    opening: Opening,
    unsent: Unsent,
    shared: Arc<Shared>,
    sent: Frames,
    received: Frames,
}

/// What is known of the messages on a [`Wire`].
#[derive(Clone)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    /// Wakes the task that drives the connection.
    driver: AtomicWaker,
    /// Wakes whoever waits for the ledger to change. One at a time: waiting takes the connection by `&mut`.
    changed: AtomicWaker,
}

impl<S> Wire<S> {
    /// Wraps a stream that nothing was sent on yet. A password is sent with the startup packet.
    pub(crate) fn new(stream: S, early_password: Option<&str>) -> (Self, Watch) {
        let shared = Arc::<Shared>::default();
        let watch = Watch {
            shared: Arc::clone(&shared),
        };
        let wire = Self {
            stream,
            early_password: EarlyPassword::new(early_password),
            opening: Opening::default(),
            unsent: Unsent::default(),
            shared,
            sent: Frames::starting_untagged(),
            received: Frames::default(),
        };
        (wire, watch)
    }
}

impl Watch {
    /// Waits until the driver has written everything that was queued before this call, and handed on everything it has read.
    ///
    /// The ledger sees what passes here, not what the driver holds. A statement whose future was polled once and dropped sits
    /// in the driver's queue, and rows that nobody takes hold up what comes after them: before the fence the ledger would call
    /// such a connection clean.
    pub(crate) async fn fence(&self) {
        let wanted = {
            let mut ledger = self.shared.lock();
            ledger.fence_wanted += 1;
            ledger.fence_wanted
        };
        let mut wakes = 0..1;
        poll_fn(|cx| {
            self.shared.changed.register(cx.waker());
            // Behind the registration, so that a turn in vain is told, too.
            if wakes.next().is_some() {
                self.wake_driver();
            }
            let ledger = self.shared.lock();
            match ledger.is_closed() || ledger.fence_reached >= wanted {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Waits until every statement has been answered, and the driver holds back nothing of it: rows that nobody takes would hold
    /// up the next one's. Without a deadline of its own.
    pub(crate) async fn settled(&self) {
        self.until(|ledger| ledger.is_closed() || ledger.is_settled() && ledger.drained)
            .await;
    }

    /// Waits for the answer to `BEGIN` if nothing else is due. Without a deadline of its own.
    pub(crate) async fn opened(&self) {
        self.until(|ledger| ledger.is_closed() || !ledger.is_only_opening())
            .await;
    }

    /// The transaction status after the last answer.
    pub(crate) fn status(&self) -> Status {
        self.shared.lock().status()
    }

    /// Whether a statement would be part of a transaction.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.shared.lock().is_in_transaction()
    }

    /// Whether the server asked for something else than the password that it had been sent.
    pub(crate) fn password_was_unwanted(&self) -> bool {
        self.shared.lock().password_was_unwanted
    }

    /// Whether the session has ended, or can no longer be followed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().is_closed()
    }

    /// Whether the session can no longer be followed although it has not ended, as after a `COPY` that failed.
    pub(crate) fn is_derailed(&self) -> bool {
        self.shared.lock().derailed
    }

    /// Forgets conflicts, failures, ends and tags, and lets the `BEGIN` that is queued next travel with the statement behind it.
    pub(crate) fn open(&self) {
        self.shared.lock().open();
    }

    /// Forgets conflicts, failures, ends and tags: a transaction begins.
    pub(crate) fn begin(&self) {
        self.shared.lock().begin();
    }

    /// The conflict that a statement met since [`begin`](Self::begin).
    pub(crate) fn conflict(&self) -> Option<Conflict> {
        self.shared.lock().conflict.clone()
    }

    /// The first failure since [`begin`](Self::begin).
    pub(crate) fn failure(&self) -> Option<Refusal> {
        self.shared.lock().failure.clone()
    }

    /// Whether a transaction has ended since [`begin`](Self::begin).
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.lock().has_ended
    }

    /// Whether anything was sent since [`begin`](Self::begin) that may commit a transaction.
    pub(crate) fn may_have_committed(&self) -> bool {
        self.shared.lock().may_have_committed
    }

    /// Whether the last command that completed since [`begin`](Self::begin) was tagged `tag`.
    pub(crate) fn completed(&self, tag: &str) -> bool {
        self.shared.lock().tag.as_deref() == Some(tag.as_bytes())
    }

    /// Gives the driver a turn, though there is nothing to read or write.
    pub(crate) fn wake_driver(&self) {
        self.shared.driver.wake();
    }

    /// Notes that the driver is about to take what is queued, and will be woken by the next fence.
    pub(crate) fn driver_begins(&self, waker: &Waker) {
        self.shared.driver.register(waker);
        self.shared.lock().driver_begins();
    }

    /// Notes that the driver has come to rest.
    pub(crate) fn driver_rests(&self) {
        self.shared.lock().driver_rests();
        self.shared.changed.wake();
    }

    /// Notes that nothing will be read or written any more.
    pub(crate) fn close(&self) {
        self.shared.lock().close();
        self.shared.changed.wake();
    }

    async fn until(&self, condition: impl Fn(&Ledger) -> bool) {
        poll_fn(|cx| {
            if condition(&self.shared.lock()) {
                return Poll::Ready(());
            }
            self.shared.changed.register(cx.waker());
            match condition(&self.shared.lock()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
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
        let polled = this.opening.poll_read(&mut this.stream, cx, buf);
        if let Poll::Ready(result) = &polled {
            let new = &buf.filled()[before..];
            let mut ledger = this.shared.lock();
            if result.is_err() || new.is_empty() {
                ledger.close();
            }
            let mut is_unwanted = false;
            this.received.follow(new, |tag, body| {
                is_unwanted |= this.early_password.is_refused_by(tag, body);
                ledger.received(tag, body);
            });
            ledger.drained = false;
            ledger.password_was_unwanted |= is_unwanted;
            drop(ledger);
            this.shared.changed.wake();
            if is_unwanted {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        } else {
            this.shared.lock().drained = true;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes some of what the driver wrote, or all of it and more.
    fn poll_write_next(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(password) = self.early_password.take_due() {
            self.unsent.push(buf);
            self.unsent.push(password);
            return match self.unsent.poll_write(&mut self.stream, cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Ready(Ok(buf.len())),
            };
        }
        let sent = self.early_password.sent_of(buf);
        if sent > 0 {
            return Poll::Ready(Ok(sent));
        }
        let rest = self.sent.rest_in(buf);
        self.opening
            .poll_write(&mut self.stream, &mut self.unsent, cx, buf, rest)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if mem::take(&mut this.shared.lock().opens) {
            this.opening.expect();
        }
        ready!(this.unsent.poll_write(&mut this.stream, cx))?;
        let polled = this.poll_write_next(cx, buf);
        let mut ledger = this.shared.lock();
        ledger.flushed = false;
        match &polled {
            Poll::Ready(Ok(written)) => {
                let written = &buf[..*written];
                this.sent
                    .follow(written, |tag, body| ledger.sent(tag, body));
            }
            Poll::Ready(Err(_)) => {
                // Some of it may have been sent.
                this.sent.follow(buf, |tag, body| ledger.sent(tag, body));
                ledger.close();
            }
            Poll::Pending => {}
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = match this.unsent.poll_write(&mut this.stream, cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut this.stream).poll_flush(cx),
            unsent => unsent,
        };
        this.shared.lock().flushed = matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Wire<S> {
    /// None: DSQL asks for a cleartext password, which binds nothing, and to read the certificate for it takes a parser of
    /// its own. Another server's SCRAM goes without. It would guard against a certificate that was not verified, which only a
    /// verifier of the caller's own lets in.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

#[cfg(test)]
mod tests;
