//! A client's stream inside TLS, with the bytes that were read and not yet parsed.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::protocol::ending::Ending;
use crate::protocol::frame::{Frame, Malformed};
use crate::protocol::startup::Startup;
use crate::server::socket::Pace;

/// A client's stream and its unparsed bytes.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    pub(crate) unread: BytesMut,
    /// How fast bytes are written.
    pub(crate) pace: Pace,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, pace: Pace) -> Self {
        Self {
            stream,
            unread: BytesMut::new(),
            pace,
        }
    }

    /// Reads the startup packet, which has a length but no tag.
    pub(crate) async fn startup(&mut self) -> Result<Startup, Ending> {
        loop {
            if let Some(prefix) = self.unread.first_chunk() {
                let length = usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0);
                if !(8..=LONGEST_STARTUP).contains(&length) {
                    return Err(Malformed::Startup.into());
                }
                if self.unread.len() >= length {
                    let packet = self.unread.split_to(length);
                    return Ok(Startup::parse(&packet[4..])?);
                }
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn frame(&mut self, limit: usize) -> Result<Frame, Ending> {
        loop {
            if let Some(frame) = Frame::cut(&mut self.unread, limit)? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn fill(&mut self) -> Result<(), Ending> {
        self.unread.reserve(READ_AHEAD);
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(Ending::Closed),
            _ => Ok(()),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }
}

/// Without reserved space a read takes only the few bytes that are left in the buffer.
pub(crate) const READ_AHEAD: usize = 16 * 1024;
/// As PostgreSQL's MAX_STARTUP_PACKET_LENGTH.
const LONGEST_STARTUP: usize = 10_000;
