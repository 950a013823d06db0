//! The protocol's frames: cut out of bytes, read as far as the front needs, and written.
//! Nothing here panics, whatever the bytes. `session` and `forward` speak through it.

use bytes::{BufMut, BytesMut};

use crate::refusal::Refusal;

/// One message after startup: a tag, and the bytes with tag and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    bytes: BytesMut,
}

impl Frame {
    /// Cuts a whole frame off the buffer, or leaves it until there is one.
    pub(crate) fn cut(buffer: &mut BytesMut, limit: usize) -> Result<Option<Self>, Malformed> {
        let Some((_, length)) = header(buffer)? else {
            return Ok(None);
        };
        if length > limit {
            return Err(Malformed::TooLong);
        }
        Ok((buffer.len() >= length).then(|| Self {
            bytes: buffer.split_to(length),
        }))
    }

    pub(crate) fn tag(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads the tag and the whole length of the frame at the front of the buffer.
pub(crate) fn header(buffer: &[u8]) -> Result<Option<(u8, usize)>, Malformed> {
    let Some((tag, rest)) = buffer.split_first() else {
        return Ok(None);
    };
    let Some(length) = rest.first_chunk() else {
        return Ok(None);
    };
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) if length >= 4 => Ok(Some((*tag, length + 1))),
        _ => Err(Malformed::Length),
    }
}

/// What arrives before there is a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Startup {
    SslRequest,
    GssEncRequest,
    CancelRequest,
    Session(Parameters),
    /// Another major version than 3.
    Unsupported,
}

/// The startup packet's names and values, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) minor_version: u16,
    pub(crate) pairs: Vec<(String, String)>,
}

impl Parameters {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
    }
}

impl Startup {
    /// Parses what follows the length.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let (code, rest) = body.split_first_chunk().ok_or(Malformed::Startup)?;
        match u32::from_be_bytes(*code) {
            80_877_103 => Ok(Self::SslRequest),
            80_877_104 => Ok(Self::GssEncRequest),
            80_877_102 => Ok(Self::CancelRequest),
            version if version >> 16 == 3 => Ok(Self::Session(Parameters {
                minor_version: (version & 0xffff) as u16,
                pairs: pairs(rest)?,
            })),
            _ => Ok(Self::Unsupported),
        }
    }
}

fn pairs(mut rest: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let mut pairs = Vec::new();
    loop {
        let name = take_string(&mut rest)?;
        if name.is_empty() {
            return if rest.is_empty() {
                Ok(pairs)
            } else {
                Err(Malformed::Startup)
            };
        }
        let value = take_string(&mut rest)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::Startup);
        pairs.push((text(name)?, text(value)?));
    }
}

/// Takes a zero-terminated string off the front.
pub(crate) fn take_string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .ok_or(Malformed::String)?;
    let string = &rest[..end];
    *rest = &rest[end + 1..];
    Ok(string)
}

/// The fields of an error or a notice: one letter each.
pub(crate) fn fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (field, mut value) = rest.split_first()?;
        let text = take_string(&mut value).ok().filter(|_| *field != 0)?;
        rest = value;
        Some((*field, text))
    })
}

/// Returns one field of an error as text.
pub(crate) fn field(body: &[u8], letter: u8) -> String {
    fields(body)
        .find(|(field, _)| *field == letter)
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default()
}

/// Writes a frame whose body the closure appends.
pub(crate) fn put(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    put_counted(out, body);
}

/// Writes a length and then what the closure appends, as startup packets have it.
pub(crate) fn put_counted(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    body(out);
    let length = i32::try_from(out.len() - start).expect("what the front writes is short");
    out[start..].as_mut().put_i32(length);
}

pub(crate) fn put_string(out: &mut BytesMut, text: &[u8]) {
    out.put_slice(text);
    out.put_u8(0);
}

pub(crate) fn put_refusal(out: &mut BytesMut, refusal: &Refusal) {
    let severity = if refusal.is_fatal() { "FATAL" } else { "ERROR" };
    put(out, b'E', |out| {
        let mut field = |letter: u8, text: &str| {
            out.put_u8(letter);
            // A zero inside would end the field early.
            put_string(out, text.replace('\0', "").as_bytes());
        };
        field(b'S', severity);
        field(b'V', severity);
        field(b'C', refusal.sqlstate());
        field(b'M', &refusal.message());
        if let Some(detail) = refusal.detail() {
            field(b'D', &detail);
        }
        if let Some(hint) = refusal.hint() {
            field(b'H', &hint);
        }
        out.put_u8(0);
    });
}

pub(crate) fn put_parameter(out: &mut BytesMut, name: &str, value: &str) {
    put(out, b'S', |out| {
        put_string(out, name.as_bytes());
        put_string(out, value.as_bytes());
    });
}

pub(crate) fn put_command_complete(out: &mut BytesMut, tag: &str) {
    put(out, b'C', |out| put_string(out, tag.as_bytes()));
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("invalid message length")]
    Length,
    #[error("message too long")]
    TooLong,
    #[error("invalid startup packet")]
    Startup,
    #[error("invalid string in message")]
    String,
}

/// A tag and a length.
pub(crate) const HEADER: usize = 5;

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{mistaken, walk};

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(frame)) = Frame::cut(&mut buffer, 100) {
                prop_assert!(frame.bytes().len() <= 100);
                prop_assert_eq!(frame.body().len() + HEADER, frame.bytes().len());
                for letter in b"SCMHW" {
                    let _text = field(frame.body(), *letter);
                }
            }
            prop_assert!(fields(&bytes).count() <= bytes.len());
            if let Ok(Startup::Session(parameters)) = Startup::parse(&bytes) {
                prop_assert!(parameters.pairs.len() <= bytes.len());
            }
        }

        #[test]
        fn frames_survive_any_cut(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..6),
            step in 1usize..9,
        ) {
            let mut wire = BytesMut::new();
            for body in &bodies {
                put(&mut wire, b'Q', |out| out.put_slice(body));
            }
            let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
            for chunk in wire.chunks(step) {
                buffer.extend_from_slice(chunk);
                while let Some(frame) = Frame::cut(&mut buffer, 100).unwrap() {
                    read.push(frame.body().to_vec());
                }
            }
            prop_assert_eq!(read, bodies);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn a_startup_packet_is_read_as_it_was_written(
            minor_version in any::<u16>(),
            pairs in prop::collection::vec(("[^\0]{1,9}", "[^\0]{0,9}"), 0..5),
        ) {
            let mut packet = BytesMut::new();
            packet.put_u16(3);
            packet.put_u16(minor_version);
            for (name, value) in &pairs {
                put_string(&mut packet, name.as_bytes());
                put_string(&mut packet, value.as_bytes());
            }
            packet.put_u8(0);
            let first = |(name, _): &(String, String)| pairs.iter().find(|pair| pair.0 == *name).unwrap().1.clone();
            let expected: Vec<_> = pairs.iter().map(first).collect();
            let Ok(Startup::Session(parameters)) = Startup::parse(&packet) else {
                panic!("{packet:?}");
            };
            let got: Vec<_> = pairs.iter().map(|(name, _)| parameters.get(name).unwrap().to_owned()).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(parameters, Parameters { minor_version, pairs });
        }

        #[test]
        fn fields_are_read_as_they_were_written(fields in prop::collection::vec((1u8.., "[^\0]{0,9}"), 0..5)) {
            let mut body = BytesMut::new();
            for (letter, text) in &fields {
                body.put_u8(*letter);
                put_string(&mut body, text.as_bytes());
            }
            body.put_u8(0);
            let read: Vec<_> = super::fields(&body).map(|(letter, text)| (letter, str::from_utf8(text).unwrap().to_owned())).collect();
            prop_assert_eq!(read, fields);
        }

        #[test]
        fn a_refusal_is_one_frame_whatever_it_repeats(name in ".{0,20}", hint in ".{0,20}") {
            let refusal = Refusal::Custom {
                fatal: false,
                sqlstate: "22000".into(),
                message: name.clone().into(),
                hint: Some(hint.clone().into()),
            };
            let mut out = BytesMut::new();
            put_refusal(&mut out, &refusal);
            let frame = Frame::cut(&mut out, usize::MAX).unwrap().unwrap();
            prop_assert!(out.is_empty());
            prop_assert_eq!(field(frame.body(), b'M'), name.replace('\0', ""));
            prop_assert_eq!(field(frame.body(), b'H'), hint.replace('\0', ""));
        }

        #[test]
        fn no_mistakes_make_it_panic(packet in mistaken("startup")) {
            read_startup(&packet);
        }
    }

    #[test]
    fn what_is_kept_is_read_with_any_mistake() {
        walk("startup", read_startup);
    }

    /// Checks that no more is made of a packet than there is of it.
    fn read_startup(packet: &[u8]) {
        if let Ok(Startup::Session(parameters)) = Startup::parse(packet) {
            let length = |(name, value): &(String, String)| name.len() + value.len() + 2;
            let pairs = parameters.pairs.iter().map(length).sum::<usize>();
            assert_eq!(4 + pairs + 1, packet.len());
        }
    }

    #[test]
    fn a_refusal_carries_its_hint_in_the_hint_field() {
        let mut out = BytesMut::new();
        let refusal = Refusal::NotGranted {
            arn: "arn:x".into(),
        };
        put_refusal(&mut out, &refusal);
        let frame = Frame::cut(&mut out, 1_000).unwrap().unwrap();
        assert!(!out.has_remaining());
        assert_eq!(field(frame.body(), b'S'), "FATAL");
        assert_eq!(field(frame.body(), b'C'), "08006");
        assert_eq!(
            field(frame.body(), b'H'),
            "User: arn:x is not authorized to access this resource"
        );
    }
}
