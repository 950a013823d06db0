//! The cost of a warm one-statement transaction with its checkout, compared with the peers'.

#[expect(dead_code, reason = "every measurement uses a part of it")]
mod support;

use std::io;

use support::peers::{Ours, Peer, TABLE, checked_out};
use support::warm::{Operation, measure};
use support::{Target, runtime};

fn main() -> io::Result<()> {
    let cluster = support::cluster();
    let target = Target::of(&cluster);
    runtime().block_on(async {
        let connection = checked_out(&Ours::new(&target, 1)).await;
        for statement in TABLE {
            let created = connection.batch_execute(statement).await;
            created.expect("a table that is not there yet");
        }
    });
    measure::<Transaction>(&target)
}

struct Transaction;

impl Operation for Transaction {
    const NAME: &str = "transaction";

    async fn run<P: Peer>(peer: &P) {
        peer.transaction().await.expect("nobody else writes");
    }
}
