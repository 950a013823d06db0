//! A short soak keeps every promise, and observes every hazard.

use std::time::Duration;

use soak::{Length, Opening, Soak};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_of_one_region_breaks_no_promise() {
    breaks_no_promise(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_of_two_regions_breaks_no_promise() {
    breaks_no_promise(true).await;
}

async fn breaks_no_promise(has_peer: bool) {
    let soak = Soak {
        length: Length::Committed(400),
        workers: 8,
        connections: 5,
        opening: Opening {
            accounts: 30,
            balance: 1_000,
        },
        has_peer,
        pause: Duration::from_millis(100),
        seed: 1,
    };
    let report = soak.run().await.unwrap();
    println!("{report}");
    assert!(report.is_sound(), "{report}");
    assert!(report.tally.recorded.all > 100, "{report}");
    assert!(report.unseen().is_empty(), "{report}");
}
