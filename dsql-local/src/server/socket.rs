//! A client's socket. It is shared: TLS owns the stream that it reads and writes, and a fault must
//! still be able to reset it or slow it down.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

/// A TCP stream with several owners. It closes when the last one is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Arc<TcpStream>,
    pace: Pace,
    /// The pause after the last byte, if the socket is slow.
    pausing: Option<Pin<Box<Sleep>>>,
}

/// How fast a socket is written. Every clone can slow it down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<watch::Sender<Option<Duration>>>);

impl Pace {
    /// Makes the socket write one byte at a time, with this pause after each.
    pub(crate) fn slow_down(&self, pause: Duration) {
        self.0.send_replace(Some(pause));
    }

    /// Waits until the socket is slow.
    pub(crate) async fn slowed_down(&self) {
        let mut pause = self.0.subscribe();
        // Cannot fail: `self` holds the sender.
        let _slow = pause.wait_for(Option::is_some).await;
    }

    fn pause(&self) -> Option<Duration> {
        *self.0.borrow()
    }
}

impl Clone for Socket {
    fn clone(&self) -> Self {
        Self {
            stream: self.stream.clone(),
            pace: self.pace.clone(),
            pausing: None,
        }
    }
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Arc::new(stream),
            pace: Pace::default(),
            pausing: None,
        })
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Turns the next close into a reset.
    pub(crate) fn reset_on_close(&self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Returns the first byte without consuming it, or `None` at the end of the stream.
    pub(crate) async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let read = self.stream.peek(&mut byte).await?;
        Ok((read == 1).then_some(byte[0]))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let pause = this.pace.pause();
        let bytes = match pause {
            Some(_) => &bytes[..bytes.len().min(1)],
            None => bytes,
        };
        if let Some(pausing) = &mut this.pausing {
            ready!(pausing.as_mut().poll(cx));
            this.pausing = None;
        }
        loop {
            ready!(this.stream.poll_write_ready(cx))?;
            match this.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    this.pausing = pause.map(|pause| Box::pin(sleep(pause)));
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: the socket closes when its last owner is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
