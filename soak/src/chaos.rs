//! Lets one hazard after the other befall the cluster, in an order that a seed decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dsql_conn::{Config, Error};
use dsql_local::LocalCluster;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::{sleep, timeout};

use crate::floor::Floor;
use crate::hazard::Hazard;

/// The source of all trouble.
#[derive(Debug)]
pub(crate) struct Chaos {
    pub(crate) cluster: Arc<LocalCluster>,
    /// How a session next door connects, which the workers' pool knows nothing of.
    pub(crate) next_door: Config,
    /// The longest pause between two hazards.
    pub(crate) pause: Duration,
    pub(crate) floor: Arc<Floor>,
    pub(crate) definitions: AtomicU64,
}

impl Chaos {
    /// Goes on until it is dropped. Every hazard comes once before one comes again.
    pub(crate) async fn reign(&self, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut deck = Hazard::ALL;
        loop {
            deck.shuffle(&mut rng);
            for hazard in deck {
                hazard.befall(&self.cluster, &mut rng);
                if hazard == Hazard::Definition {
                    self.define().await;
                }
                sleep(self.pause.mul_f64(rng.random())).await;
                if hazard.lasts() {
                    // Longer than a ping may take, now and then.
                    sleep(self.pause.mul_f64(3.0 * rng.random::<f64>())).await;
                }
                // What stalls, and what stalled since an earlier hazard without being seen to.
                self.cluster.release();
                // A machine that is slow has more time for the work in between.
                let _ = timeout(BREATH, self.floor.answers(BREATHS)).await;
            }
        }
    }

    /// Returns how often each hazard was seen to happen.
    pub(crate) fn seen(&self) -> Vec<(Hazard, u64)> {
        let counts = self.cluster.counts();
        let seen = |hazard| match hazard {
            Hazard::Definition => self.definitions.load(Ordering::Relaxed),
            _ => hazard.seen(&self.cluster, &counts),
        };
        Hazard::ALL.map(|hazard| (hazard, seen(hazard))).into()
    }

    /// Defines something in a session of its own. The next hazards may have come too early for it.
    async fn define(&self) {
        let define = async {
            let connection = self.next_door.connect().await?;
            for statement in [
                "CREATE TABLE IF NOT EXISTS next_door (id bigint)",
                "DROP TABLE next_door",
            ] {
                connection.batch_execute(statement).await?;
                self.definitions.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Error>(())
        };
        // Whatever keeps it from that is a hazard of its own.
        let _ = timeout(PATIENCE, define).await;
    }
}

/// Stalls are released by the one who would wait here.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many answers come between two hazards, if they come in time.
const BREATHS: u64 = 10;
const BREATH: Duration = Duration::from_secs(1);
