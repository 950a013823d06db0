//! The cost of a warm query with its checkout, compared with the peers'.

#[expect(dead_code, reason = "every measurement uses a part of it")]
mod support;

use std::io;

use support::Target;
use support::peers::{Peer, checked_out};
use support::warm::{Operation, measure};

fn main() -> io::Result<()> {
    let cluster = support::cluster();
    measure::<Query>(&Target::of(&cluster))
}

struct Query;

impl Operation for Query {
    const NAME: &str = "query";

    async fn run<P: Peer>(peer: &P) {
        let mut loan = checked_out(peer).await;
        P::query(&mut loan).await.expect("an answer");
    }
}
