//! The protocol's frames: split off a buffer, parsed as far as the server needs, and written.
//! No input makes this module panic.

use bytes::{BufMut, BytesMut};

use crate::refusal::Refusal;

/// One message after startup: a tag, and the bytes with tag and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    bytes: BytesMut,
}

impl Frame {
    /// Splits a complete frame off the buffer. Leaves an incomplete one.
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

/// Parses the tag and the total length of the frame at the start of the buffer.
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

/// Splits a zero-terminated string off the front.
pub(crate) fn take_string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .ok_or(Malformed::String)?;
    let string = &rest[..end];
    *rest = &rest[end + 1..];
    Ok(string)
}

/// Returns the fields of an error or a notice: a letter and a text each.
pub(crate) fn fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (field, mut value) = rest.split_first()?;
        let text = take_string(&mut value).ok().filter(|_| *field != 0)?;
        rest = value;
        Some((*field, text))
    })
}

/// Returns one field of an error as text, empty if there is none.
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

/// Writes a length and then what the closure appends, like a startup packet, which has no tag.
pub(crate) fn put_counted(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    body(out);
    let length =
        i32::try_from(out.len() - start).expect("the server writes frames shorter than 2 GiB");
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
            // A zero byte would end the field early.
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

/// Why bytes are not a frame.
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

/// The length of a frame's header: tag and length.
pub(crate) const HEADER: usize = 5;

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(frame)) = Frame::cut(&mut buffer, 100) {
                prop_assert!(frame.bytes().len() <= 100);
                prop_assert_eq!(frame.body().len() + HEADER, frame.bytes().len());
                for letter in b"SCMHW" {
                    let _text = field(frame.body(), *letter);
                }
            }
            prop_assert!(fields(&bytes).count() <= bytes.len());
        }

        #[test]
        fn frames_survive_any_cut(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..6),
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
        fn written_fields_parse_to_the_same_values(
            fields in prop::collection::vec((1u8.., "[^\0]{0,9}"), 0..5),
        ) {
            let mut body = BytesMut::new();
            for (letter, text) in &fields {
                body.put_u8(*letter);
                put_string(&mut body, text.as_bytes());
            }
            body.put_u8(0);
            let text = |bytes| str::from_utf8(bytes).unwrap().to_owned();
            let parsed: Vec<_> = super::fields(&body)
                .map(|(letter, bytes)| (letter, text(bytes)))
                .collect();
            prop_assert_eq!(parsed, fields);
        }

        #[test]
        fn a_refusal_is_one_frame_with_any_text(name in ".{0,20}", hint in ".{0,20}") {
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
