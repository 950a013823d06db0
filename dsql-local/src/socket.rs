//! A client's socket, shared between the session that reads and writes it and whoever may end it:
//! a fault can reset a connection that TLS has swallowed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

/// A TCP stream with more than one owner. It closes when the last one lets go.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Arc<TcpStream>,
    pace: Pace,
    /// The pause after the last byte that was written slowly.
    rest: Option<Pin<Box<Sleep>>>,
}

/// How fast a socket is written to, in the hands of whoever may slow it down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<watch::Sender<Option<Duration>>>);

impl Pace {
    /// Lets bytes go one at a time, with this pause after each.
    pub(crate) fn slow_down(&self, pause: Duration) {
        self.0.send_replace(Some(pause));
    }

    /// Waits until the socket was slowed down.
    pub(crate) async fn slowed_down(&self) {
        let mut pause = self.0.subscribe();
        // Cannot fail: the sender is here.
        let _ = pause.wait_for(Option::is_some).await;
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
            rest: None,
        }
    }
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Arc::new(stream),
            pace: Pace::default(),
            rest: None,
        })
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Makes the close that follows a reset.
    pub(crate) fn reset_on_close(&self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Returns the first byte without taking it, or nothing at the end of the stream.
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
        if let Some(rest) = &mut this.rest {
            ready!(rest.as_mut().poll(cx));
            this.rest = None;
        }
        loop {
            ready!(this.stream.poll_write_ready(cx))?;
            match this.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    this.rest = pause.map(|pause| Box::pin(sleep(pause)));
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: the socket closes with its last owner.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
