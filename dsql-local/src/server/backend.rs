//! Opens a backend of the engine for a session.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::protocol::ending::Ending;
use crate::protocol::frame::{self, Frame, Malformed};
use crate::refusal::Refusal;
use crate::server::cluster::Cluster;
use crate::server::login::Session;

/// Opens a backend as the session's user. Also returns the `ParameterStatus` messages whose values
/// differ from those that the login reported.
pub(crate) async fn open(
    cluster: &Cluster,
    session: &Session,
) -> Result<(UnixStream, BytesMut), Ending> {
    let mut stream = UnixStream::connect(&cluster.socket)
        .await
        .map_err(|_| Ending::EngineClosed)?;
    let mut out = BytesMut::new();
    frame::put_counted(&mut out, |out| {
        out.put_i32(3 << 16);
        for (name, value) in &session.parameters {
            frame::put_string(out, name.as_bytes());
            frame::put_string(out, value.as_bytes());
        }
        out.put_u8(0);
    });
    stream.write_all(&out).await?;

    let mut corrections = BytesMut::new();
    let mut unread = BytesMut::new();
    loop {
        while let Some(frame) = Frame::cut(&mut unread, LONGEST_GREETING)? {
            match frame.tag() {
                b'Z' => return Ok((stream, corrections)),
                b'E' => return Err(refused_by_engine(frame.body()).into()),
                b'S' => correct(session, &frame, &mut corrections)?,
                _ => {}
            }
        }
        if stream.read_buf(&mut unread).await? == 0 {
            return Err(Ending::EngineClosed);
        }
    }
}

fn correct(session: &Session, frame: &Frame, out: &mut BytesMut) -> Result<(), Malformed> {
    let mut body = frame.body();
    let name = frame::take_string(&mut body)?;
    let value = frame::take_string(&mut body)?;
    let reported = session
        .reported
        .iter()
        .find(|(reported, _)| reported.as_bytes() == name);
    if reported
        .is_some_and(|(name, reported)| name != "server_version" && reported.as_bytes() != value)
    {
        out.put_slice(frame.bytes());
    }
    Ok(())
}

fn refused_by_engine(body: &[u8]) -> Refusal {
    Refusal::Custom {
        fatal: true,
        sqlstate: frame::field(body, b'C').into(),
        message: frame::field(body, b'M').into(),
        hint: Some(frame::field(body, b'H').into()).filter(|hint: &Cow<'_, str>| !hint.is_empty()),
    }
}

const LONGEST_GREETING: usize = 64 * 1024;
