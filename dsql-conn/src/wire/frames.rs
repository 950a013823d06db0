//! Finds the message boundaries in one direction of the protocol.
//!
//! A message is a tag of one byte, a length of four that counts itself, and a body; only the very
//! first message of a client has no tag. Messages cross reads and writes at any byte.

use std::{io, mem};

/// The position of one direction between two messages.
#[derive(Debug)]
pub(super) struct Frames {
    tagged: bool,
    header: [u8; HEADER],
    /// How many bytes of the header have been seen.
    seen: usize,
    /// How many bytes of the body are still to come.
    remaining: usize,
    /// The first bytes of the body.
    body: Vec<u8>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            tagged: true,
            header: [0; HEADER],
            seen: 0,
            remaining: 0,
            body: Vec::new(),
        }
    }
}

impl Frames {
    /// Starts with the startup packet, which is reported with the tag [`STARTUP`].
    pub(super) fn starting_untagged() -> Self {
        Self {
            tagged: false,
            ..Self::default()
        }
    }

    /// Follows the next bytes and reports each message that ends in them: its tag, and its body as
    /// far as it is kept.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut message: impl FnMut(u8, &[u8])) {
        while !bytes.is_empty() {
            if self.seen == 0
                && self.tagged
                && let Ok(Some((tag, body))) = split(bytes)
            {
                // Most messages arrive whole, and need no copy.
                message(tag, &body[..body.len().min(most_kept(tag))]);
                bytes = &bytes[HEADER + body.len()..];
                continue;
            }
            if self.seen < self.header_length() {
                let missing = self.header_length() - self.seen;
                let (head, rest) = bytes.split_at(missing.min(bytes.len()));
                self.header[self.seen..self.seen + head.len()].copy_from_slice(head);
                self.seen += head.len();
                bytes = rest;
                if self.seen < self.header_length() {
                    return;
                }
                self.remaining = self.body_length();
            }

            let (body, rest) = bytes.split_at(self.remaining.min(bytes.len()));
            let kept = body
                .len()
                .min(most_kept(self.tag()).saturating_sub(self.body.len()));
            self.body.extend_from_slice(&body[..kept]);
            self.remaining -= body.len();
            bytes = rest;
            if self.remaining == 0 {
                message(self.tag(), &self.body);
                let body = mem::take(&mut self.body);
                *self = Self::default();
                if body.capacity() <= 2 * KEPT {
                    self.body = body;
                    self.body.clear();
                }
            }
        }
    }

    /// Returns how many of these bytes belong to a message that began before them.
    pub(super) fn rest_in(&self, bytes: &[u8]) -> usize {
        let header = self.header_length();
        if self.seen == 0 {
            return 0;
        }
        if self.seen == header {
            return self.remaining.min(bytes.len());
        }
        let Some((head, body)) = bytes.split_at_checked(header - self.seen) else {
            return bytes.len();
        };
        let mut whole = Self {
            body: Vec::new(),
            ..*self
        };
        whole.header[self.seen..header].copy_from_slice(head);
        head.len() + whole.body_length().min(body.len())
    }

    fn header_length(&self) -> usize {
        match self.tagged {
            true => HEADER,
            false => HEADER - 1,
        }
    }

    fn tag(&self) -> u8 {
        match self.tagged {
            true => self.header[0],
            false => STARTUP,
        }
    }

    /// Returns the length of the body. A length below four is invalid: the driver refuses it, and
    /// here it counts as an empty body.
    fn body_length(&self) -> usize {
        let from = self.header_length() - LENGTH;
        let mut length = [0; LENGTH];
        length.copy_from_slice(&self.header[from..from + LENGTH]);
        (u32::from_be_bytes(length) as usize).saturating_sub(LENGTH)
    }
}

/// Returns how much of a body is kept.
fn most_kept(tag: u8) -> usize {
    match tag {
        b'Q' => KEPT_OF_QUERIES,
        _ => KEPT,
    }
}

/// Splits off the first message, tag and body, if it is whole.
pub(super) fn split(bytes: &[u8]) -> io::Result<Option<(u8, &[u8])>> {
    let Some((&[tag, a, b, c, d], rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    // The length counts itself.
    let length = length
        .checked_sub(LENGTH)
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok(rest.get(..length).map(|body| (tag, body)))
}

/// The tag that stands for the startup packet, which has none.
pub(super) const STARTUP: u8 = 0;

const LENGTH: usize = 4;

/// Tag and length.
pub(super) const HEADER: usize = 1 + LENGTH;

/// Enough for severity, SQLSTATE and message of an error.
const KEPT: usize = 1024;

/// Enough for most batches of statements, any of which may be a `COMMIT`.
const KEPT_OF_QUERIES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(LENGTH + body.len()).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    fn followed(frames: &mut Frames, chunks: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
        let mut messages = Vec::new();
        for chunk in chunks {
            frames.follow(chunk, |tag, body| messages.push((tag, body.to_vec())));
        }
        messages
    }

    #[test]
    fn the_first_message_of_a_client_has_no_tag() {
        let bytes = [&frame(b'?', b"startup")[1..], &frame(b'Q', b"BEGIN\0")].concat();
        assert_eq!(
            followed(&mut Frames::starting_untagged(), &[&bytes]),
            [(STARTUP, b"startup".to_vec()), (b'Q', b"BEGIN\0".to_vec())]
        );
    }

    proptest! {
        #[test]
        fn the_rest_of_a_message_is_known_wherever_it_is_cut(
            body in prop::collection::vec(any::<u8>(), 0..40),
            cut: prop::sample::Index,
            after in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let whole = frame(b'Q', &body);
            let (before, rest) = whole.split_at(cut.index(whole.len()));
            let mut frames = Frames::default();
            frames.follow(before, |_, _| {});
            let expected = if before.is_empty() { 0 } else { rest.len() };
            prop_assert_eq!(frames.rest_in(&[rest, &after].concat()), expected);
        }

        #[test]
        fn messages_may_be_cut_anywhere(
            messages in prop::collection::vec(
                (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)),
                0..8,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let frames = messages.iter().flat_map(|(tag, body)| frame(*tag, body));
            let bytes: Vec<u8> = frames.collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut from = 0;
            let mut chunks = Vec::new();
            for cut in cuts {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            prop_assert_eq!(followed(&mut Frames::default(), &chunks), messages);
        }

        #[test]
        fn no_bytes_panic_and_little_is_kept(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let mut frames = Frames::default();
            frames.follow(&bytes, |tag, body| assert!(tag == b'Q' || body.len() <= KEPT));
            prop_assert!(frames.body.capacity() <= 2 * KEPT_OF_QUERIES);
        }
    }
}
