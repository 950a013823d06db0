//! A server that follows the protocol, behind a socket that accepts and returns only as many bytes
//! as the test allows.

use std::collections::VecDeque;

use futures_util::task::noop_waker;
use proptest::prelude::*;

use super::*;
use crate::wire::frames::{Frames, HEADER};

/// A request of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// `Bind`, `Execute`, `Sync`.
    Extended,
    /// `Close`, `Sync`.
    Close,
    Simple,
    Commit,
}

impl Request {
    fn bytes(self) -> Vec<u8> {
        let messages: &[&[u8]] = match self {
            Self::Extended => &[&framed(b'B', b"\0s0\0"), &framed(b'E', b"\0\0\0\0\0"), SYNC],
            Self::Close => &[&framed(b'C', b"Ss0\0"), SYNC],
            Self::Simple => &[&framed(b'Q', b"INSERT\0")],
            Self::Commit => &[&framed(b'Q', b" commit; \0")],
        };
        messages.concat()
    }
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + body.len()).unwrap();
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// `BEGIN` as the driver writes it.
fn begin_messages() -> Vec<u8> {
    let parse = framed(b'P', b"\0BEGIN\0\0\0");
    let bind = framed(b'B', b"\0\0\0\0\0\0\0\0");
    let run = framed(b'E', b"\0\0\0\0\0");
    [&parse, &bind, &framed(b'D', b"S\0"), &run, SYNC].concat()
}

const SYNC: &[u8] = b"S\0\0\0\x04";

/// The server, and the socket before it.
struct Peer {
    refuses: bool,
    /// It skips what comes before the next `Sync`.
    skips: bool,
    status: u8,
    /// The statement that `Execute` runs next is `BEGIN`.
    parsed_begin: bool,
    heard: Vec<u8>,
    said: VecDeque<u8>,
    /// How many statements ran outside of a transaction.
    astray: u32,
    /// How many bytes each read or write passes, in turn. None means that the socket is full or
    /// empty for now.
    writes: VecDeque<usize>,
    reads: VecDeque<usize>,
}

impl Peer {
    fn say(&mut self, tag: u8, body: &[u8]) {
        self.said.extend(framed(tag, body));
    }

    fn run(&mut self, statement: &[u8]) {
        if self.status == b'I' && statement != b"BEGIN" {
            self.astray += 1;
        }
        match statement {
            b"BEGIN" if self.refuses => {
                self.skips = true;
                self.say(b'E', b"SERROR\0C40001\0\0");
            }
            b"BEGIN" => {
                self.status = b'T';
                self.say(b'C', b"BEGIN\0");
            }
            b"COMMIT" => {
                self.status = b'I';
                self.say(b'C', b"COMMIT\0");
            }
            _ => self.say(b'C', b"INSERT 0 1\0"),
        }
    }

    fn hear(&mut self) {
        while let Some((tag, body)) = split(&self.heard).unwrap() {
            let (body, length) = (body.to_vec(), HEADER + body.len());
            self.heard.drain(..length);
            if self.skips && tag != b'S' {
                continue;
            }
            match tag {
                b'P' => {
                    self.parsed_begin = true;
                    self.say(b'1', b"");
                }
                b'D' => self.say(b'n', b""),
                b'B' => self.say(b'2', b""),
                b'C' => self.say(b'3', b""),
                b'E' => match mem::take(&mut self.parsed_begin) {
                    true => self.run(b"BEGIN"),
                    false => self.run(b"INSERT"),
                },
                b'Q' if ends_transaction(&body) => self.run(b"COMMIT"),
                b'Q' => self.run(b"INSERT"),
                b'S' => {
                    self.skips = false;
                    self.say(b'Z', &[self.status]);
                }
                _ => unreachable!("the test sends no others"),
            }
            if tag == b'Q' {
                self.say(b'Z', &[self.status]);
            }
        }
    }
}

fn next(portions: &mut VecDeque<usize>) -> usize {
    portions.rotate_left(1);
    portions.front().copied().unwrap_or(1)
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = next(&mut this.writes).min(buf.len());
        if written == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.heard.extend_from_slice(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let length = next(&mut this.reads)
            .min(this.said.len())
            .min(buf.remaining());
        if length == 0 {
            return Poll::Pending;
        }
        let bytes: Vec<u8> = this.said.drain(..length).collect();
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

/// The tags that the driver reads for one request, and the status that it ends with.
type Answer = (Vec<u8>, u8);

/// Lets a driver write `queued` in these groups, each behind the last, and returns the answers that
/// it reads.
fn converse(peer: &mut Peer, queued: Vec<Vec<u8>>) -> Vec<Answer> {
    let waker = noop_waker();
    let cx = &mut Context::from_waker(&waker);
    let mut begin = PipelinedBegin::default();
    begin.expect();
    let mut write_buffer = WriteBuffer::default();
    let mut sent = Frames::default();
    let mut queued = VecDeque::from(queued);
    let mut buffer = Vec::new();
    let mut answers = Vec::new();
    let mut tags = Vec::new();
    let mut read = Vec::new();
    for _ in 0..20_000 {
        let mut space = [0; 64];
        let mut heard = ReadBuf::new(&mut space);
        if begin.poll_read(peer, cx, &mut heard).is_ready() {
            read.extend_from_slice(heard.filled());
        }
        while let Some((tag, body)) = split(&read).unwrap() {
            match tag {
                b'Z' => answers.push((mem::take(&mut tags), body[0])),
                tag => tags.push(tag),
            }
            let length = HEADER + body.len();
            read.drain(..length);
        }
        if let Some(more) = queued.pop_front() {
            buffer.extend(more);
        }
        if !buffer.is_empty() && write_buffer.poll_write(peer, cx).is_ready() {
            let rest = sent.rest_in(&buffer);
            if let Poll::Ready(written) =
                begin.poll_write(peer, &mut write_buffer, cx, &buffer, rest)
            {
                let written: Vec<u8> = buffer.drain(..written.unwrap()).collect();
                sent.follow(&written, |_, _| {});
            }
        }
        let _ = write_buffer.poll_write(peer, cx);
        peer.hear();
    }
    assert!(buffer.is_empty() && tags.is_empty() && read.is_empty());
    answers
}

fn peer(refuses: bool, portions: Vec<usize>) -> Peer {
    Peer {
        refuses,
        skips: false,
        status: b'I',
        parsed_begin: false,
        heard: Vec::new(),
        said: VecDeque::new(),
        astray: 0,
        writes: portions.clone().into(),
        reads: portions.into(),
    }
}

fn requests() -> impl Strategy<Value = Vec<(Request, bool)>> {
    let request = prop_oneof![
        Just(Request::Extended),
        Just(Request::Close),
        Just(Request::Simple)
    ];
    prop::collection::vec((request, any::<bool>()), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Holds for any requests behind `BEGIN`, queued at once or later, and cut anywhere by the
    /// socket.
    #[test]
    fn nothing_runs_unless_begin_was_granted(
        refuses: bool,
        requests in requests(),
        portions in prop::collection::vec(0..30_usize, 1..8),
    ) {
        let mut portions = portions;
        portions.push(7);
        let mut peer = peer(refuses, portions);
        let mut queued = vec![begin_messages()];
        for (request, is_at_once) in &requests {
            match is_at_once {
                true => queued.last_mut().unwrap().extend(request.bytes()),
                false => queued.push(request.bytes()),
            }
        }
        queued.push(Request::Commit.bytes());
        queued.push(Request::Simple.bytes());
        let answers = converse(&mut peer, queued);

        // A statement after the end runs outside of a transaction; Close runs nothing.
        prop_assert_eq!(peer.astray, 1);
        prop_assert_eq!(answers.len(), requests.len() + 3);
        let (begun, rest) = answers.split_first().unwrap();
        let (ended, after) = (&rest[requests.len()], &rest[requests.len() + 1]);
        let status = if refuses { b'E' } else { b'T' };
        prop_assert_eq!(begun.1, status);
        prop_assert_eq!(begun.0.contains(&b'E'), refuses);
        for answer in &rest[..requests.len()] {
            prop_assert_eq!(answer.1, status);
            prop_assert_eq!(answer.0.contains(&b'E'), refuses, "{:?}", answers);
        }
        prop_assert_eq!(ended, &(vec![b'C'], b'I'));
        prop_assert_eq!(after, &(vec![b'C'], b'I'));
    }
}

#[test]
fn the_statement_behind_begin_is_in_its_flight() {
    let mut peer = peer(false, vec![10_000]);
    let waker = noop_waker();
    let cx = &mut Context::from_waker(&waker);
    let mut begin = PipelinedBegin::default();
    begin.expect();
    let both = [begin_messages(), Request::Extended.bytes()].concat();
    assert!(
        begin
            .poll_write(&mut peer, &mut WriteBuffer::default(), cx, &both, 0)
            .is_ready()
    );
    let written = [
        &begin_messages()[..begin_messages().len() - SYNC.len()],
        &Request::Extended.bytes(),
    ]
    .concat();
    assert_eq!(peer.heard, written);
}

#[test]
fn terminate_is_written_without_waiting() {
    let mut peer = peer(false, vec![10_000]);
    let waker = noop_waker();
    let cx = &mut Context::from_waker(&waker);
    let mut begin = PipelinedBegin::default();
    begin.expect();
    let both = [begin_messages(), framed(b'X', b"")].concat();
    assert!(
        begin
            .poll_write(&mut peer, &mut WriteBuffer::default(), cx, &both, 0)
            .is_ready()
    );
    assert_eq!(peer.heard, both);
}

#[test]
fn no_bytes_panic() {
    let waker = noop_waker();
    let cx = &mut Context::from_waker(&waker);
    for bytes in [&b"Z\0\0\0\x03"[..], b"E\0\0\0\0", b"C\xff\xff\xff\xff", b""] {
        let mut peer = peer(false, vec![10_000]);
        let mut begin = PipelinedBegin::default();
        begin.expect();
        let _ = begin.poll_write(
            &mut peer,
            &mut WriteBuffer::default(),
            cx,
            &begin_messages(),
            0,
        );
        peer.said.extend(bytes);
        let mut space = [0; 64];
        let _ = begin.poll_read(&mut peer, cx, &mut ReadBuf::new(&mut space));
    }
}
