use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use super::extended::put_parse;
use super::*;
use crate::corpus::{cut, mutated, walk};
use crate::faults::Fault;

/// A cluster without faults, and one where all commits conflict.
static CLUSTERS: LazyLock<[Cluster; 2]> = LazyLock::new(|| {
    let clusters = [Cluster::without_engine(), Cluster::without_engine()];
    clusters[1].faults.add(Fault::conflict_commits(usize::MAX));
    clusters
});

/// The result of a client's bytes.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    out: BytesMut,
    unread: BytesMut,
    next: String,
    exchange: String,
}

fn taken(cluster: &Cluster, pieces: &[&[u8]]) -> Taken {
    let recorder = cluster.log.accepted();
    let exchange = SharedExchange::default();
    let catalog = SharedCatalog::default();
    let pace = Pace::default();
    let mut requests = Requests::new(cluster, &recorder, &exchange, &catalog, &pace);
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
        // Bytes after the end may have arrived in the same piece.
        unread.clear();
    }
    Taken {
        out,
        unread,
        next: format!("{next:?}"),
        exchange: format!("{exchange:?}"),
    }
}

/// Processes a client's bytes in one piece with each cluster, and checks the output.
fn check(bytes: &[u8]) {
    for cluster in &*CLUSTERS {
        let taken = taken(cluster, &[bytes]);
        let frames = bytes.len() / frame::HEADER + 1;
        // The translation of a statement about roles repeats names, and quotes them twice.
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
    fn requests_can_be_split_anywhere(
        bytes in mutated("request"),
        at in prop::collection::vec(any::<Index>(), 0..9),
    ) {
        for cluster in &*CLUSTERS {
            prop_assert_eq!(taken(cluster, &cut(&bytes, &at)), taken(cluster, &[&bytes]));
        }
    }

    #[test]
    fn no_bytes_panic(
        bytes in prop_oneof![mutated("request"), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        check(&bytes);
    }
}

#[test]
fn mutations_of_the_corpus_never_panic() {
    walk("request", check);
}

#[test]
fn allowed_statements_are_forwarded_byte_for_byte() {
    let mut client = BytesMut::new();
    frame::put(&mut client, b'Q', |out| {
        frame::put_string(out, b"SELECT 1; SELECT 2")
    });
    frame::put(&mut client, b'S', |_| {});
    let taken = taken(&CLUSTERS[0], &[&client]);
    assert_eq!(taken.out, client);
}

#[test]
fn closed_statements_are_forgotten() {
    let cluster = &CLUSTERS[0];
    let recorder = cluster.log.accepted();
    let exchange = SharedExchange::default();
    let catalog = SharedCatalog::default();
    let pace = Pace::default();
    let mut requests = Requests::new(cluster, &recorder, &exchange, &catalog, &pace);
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

/// The engine ignores these frames, so no reply would ever remove them.
#[test]
fn copy_ends_outside_of_copy_do_not_accumulate() {
    let mut client = BytesMut::new();
    for _ in 0..1_000 {
        frame::put(&mut client, b'c', |_| {});
    }
    let exchange = SharedExchange::default();
    let catalog = SharedCatalog::default();
    let pace = Pace::default();
    let recorder = CLUSTERS[0].log.accepted();
    let mut requests = Requests::new(&CLUSTERS[0], &recorder, &exchange, &catalog, &pace);
    requests.take(&mut client, &mut BytesMut::new()).unwrap();
    let kept = format!("{:?}", exchange.lock().pending)
        .matches("CopyEnd")
        .count();
    assert_eq!(kept, 1);
}
