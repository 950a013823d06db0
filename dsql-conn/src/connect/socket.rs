//! The TCP stream of a connection. The driver owns it, behind TLS; the connection can look at it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream that a [`Peek`] can look at.
pub(super) struct Socket(Arc<Mutex<TcpStream>>);

/// Looks at a [`Socket`], without keeping it open.
pub(crate) struct Peek(Weak<Mutex<TcpStream>>);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    pub(super) fn peek(&self) -> Peek {
        Peek(Arc::downgrade(&self.0))
    }

    /// Only a [`Peek`] also takes this lock, for one system call.
    fn lock(&self) -> MutexGuard<'_, TcpStream> {
        lock(&self.0)
    }
}

impl Peek {
    /// Returns whether the driver has read everything that has arrived: no byte, end or reset is
    /// waiting. Asks the system, which knows of an arrival before the runtime does.
    pub(crate) fn is_silent(&self) -> bool {
        let Some(stream) = self.0.upgrade() else {
            return false;
        };
        let stream = lock(&stream);
        let mut byte = [MaybeUninit::uninit()];
        let peeked = SockRef::from(&*stream).peek(&mut byte);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn lock(stream: &Mutex<TcpStream>) -> MutexGuard<'_, TcpStream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut stream = self.lock();
        match bufs {
            // The usual case: a plain write is cheaper than a vectored one.
            [buf] => Pin::new(&mut *stream).poll_write(cx, buf),
            _ => Pin::new(&mut *stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A socket, and its peer.
    async fn pair() -> (Socket, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (peer, _) = listener.accept().unwrap();
        (Socket::new(stream.unwrap()), peer)
    }

    /// Waits, without the runtime, until the peer's bytes, end or reset have arrived.
    fn arrived(peek: &Peek) {
        while peek.is_silent() {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn bytes_are_noticed_until_they_are_read() {
        let (mut socket, mut peer) = pair().await;
        let peek = socket.peek();
        assert!(peek.is_silent());
        io::Write::write_all(&mut peer, b"x").unwrap();
        arrived(&peek);
        assert_eq!(socket.read_u8().await.unwrap(), b'x');
        assert!(peek.is_silent());
    }

    #[tokio::test]
    async fn the_end_is_noticed_before_the_runtime_runs() {
        let (socket, peer) = pair().await;
        let peek = socket.peek();
        drop(peer);
        arrived(&peek);
    }

    #[tokio::test]
    async fn a_peek_does_not_keep_the_socket_open() {
        let (mut socket, mut peer) = pair().await;
        let peek = socket.peek();
        socket.write_all(b"last").await.unwrap();
        drop(socket);
        assert!(!peek.is_silent());
        let mut heard = String::new();
        io::Read::read_to_string(&mut peer, &mut heard).unwrap();
        assert_eq!(heard, "last");
    }
}
