use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::corpus::{cut, mistaken, walk};
use crate::fault::Fault;

/// One without faults, and one where commits fail.
static CLUSTERS: LazyLock<[Cluster; 2]> = LazyLock::new(|| {
    let clusters = [Cluster::unplugged(), Cluster::unplugged()];
    clusters[1].faults.add(Fault::conflict_commits(usize::MAX));
    clusters
});

/// What became of a client's bytes.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    out: BytesMut,
    unread: BytesMut,
    next: String,
    line: String,
}

fn taken(cluster: &Cluster, pieces: &[&[u8]]) -> Taken {
    let entry = cluster.ledger.accepted();
    let line = SharedLine::default();
    let pace = Pace::default();
    let mut requests = Requests::new(cluster, &entry, &line, &pace);
    let (mut unread, mut out) = (BytesMut::new(), BytesMut::new());
    let mut next = Ok(Next::More);
    for piece in pieces {
        if !matches!(next, Ok(Next::More)) {
            break;
        }
        unread.extend_from_slice(piece);
        next = requests.take(&mut unread, &mut out);
    }
    if !matches!(next, Ok(Next::More)) {
        // What came behind the end came with it, or not.
        unread.clear();
    }
    Taken {
        out,
        unread,
        next: format!("{next:?}"),
        line: format!("{line:?}"),
    }
}

/// Checks what a client's bytes are made to, in one piece and with each cluster.
fn read(bytes: &[u8]) {
    for cluster in &*CLUSTERS {
        let taken = taken(cluster, &[bytes]);
        let frames = bytes.len() / frame::HEADER + 1;
        // Names are repeated in what is made of a statement about roles, and quoted twice.
        let most = frames * 2_000 + bytes.len() * 40;
        assert!(taken.out.len() <= most, "{} bytes", taken.out.len());
        assert!(taken.unread.len() <= bytes.len());
        let mut out = taken.out;
        while Frame::cut(&mut out, usize::MAX).unwrap().is_some() {}
        assert!(out.is_empty(), "the engine would wait for the rest");
    }
}

proptest! {
    #[test]
    fn requests_may_be_cut_anywhere(bytes in mistaken("request"), at in prop::collection::vec(any::<Index>(), 0..9)) {
        for cluster in &*CLUSTERS {
            prop_assert_eq!(taken(cluster, &cut(&bytes, &at)), taken(cluster, &[&bytes]));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop_oneof![mistaken("request"), prop::collection::vec(any::<u8>(), 0..200)]) {
        read(&bytes);
    }
}

#[test]
fn what_is_kept_is_read_with_any_mistake() {
    walk("request", read);
}

#[test]
fn what_passes_unchanged_is_the_clients_own_bytes() {
    let mut client = BytesMut::new();
    frame::put(&mut client, b'Q', |out| {
        frame::put_string(out, b"SELECT 1; SELECT 2")
    });
    frame::put(&mut client, b'S', |_| {});
    let taken = taken(&CLUSTERS[0], &[&client]);
    assert_eq!(taken.out, client);
}

/// A session that prepares and closes all its life would keep them all.
#[test]
fn a_closed_statement_is_forgotten() {
    let cluster = &CLUSTERS[0];
    let entry = cluster.ledger.accepted();
    let line = SharedLine::default();
    let pace = Pace::default();
    let mut requests = Requests::new(cluster, &entry, &line, &pace);
    for number in 0..100 {
        let name = format!("s{number}");
        let mut client = BytesMut::new();
        put_parse(&mut client, name.as_bytes(), "SELECT 1");
        frame::put(&mut client, b'S', |_| {});
        frame::put(&mut client, b'C', |out| {
            out.put_u8(b'S');
            frame::put_string(out, name.as_bytes());
        });
        frame::put(&mut client, b'S', |_| {});
        requests.take(&mut client, &mut BytesMut::new()).unwrap();
    }
    assert!(requests.prepared.is_empty(), "{}", requests.prepared.len());
}

/// The engine takes no notice of them, and no answer would ever strike them off.
#[test]
fn ends_of_copies_that_nobody_makes_are_not_kept() {
    let mut client = BytesMut::new();
    for _ in 0..1_000 {
        frame::put(&mut client, b'c', |_| {});
    }
    let line = SharedLine::default();
    let pace = Pace::default();
    let entry = CLUSTERS[0].ledger.accepted();
    let mut requests = Requests::new(&CLUSTERS[0], &entry, &line, &pace);
    requests.take(&mut client, &mut BytesMut::new()).unwrap();
    let kept = format!("{:?}", line.lock().answers)
        .matches("CopyEnd")
        .count();
    assert_eq!(kept, 1);
}
