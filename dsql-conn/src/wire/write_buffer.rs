//! Bytes that the driver has handed over and the stream has not accepted yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Written before anything else.
#[derive(Default)]
pub(super) struct WriteBuffer(Vec<u8>);

impl WriteBuffer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Writes all of it.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut from = 0;
        let polled = loop {
            let left = &self.0[from..];
            if left.is_empty() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut *stream).poll_write(cx, left) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => from += written,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.0.drain(..from);
        if self.0.is_empty() {
            // A large statement's buffer must not stay for the life of the connection.
            self.0 = Vec::new();
        }
        polled
    }
}
