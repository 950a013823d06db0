//! Injects one hazard after another into the cluster, in an order that the seed determines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dsql_conn::{Config, Error};
use dsql_local::LocalCluster;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::{sleep, timeout};

use crate::access::regions;
use crate::hazard::Hazard;
use crate::outage::Outages;
use crate::progress::Progress;

/// Injects the hazards of a run.
#[derive(Debug)]
pub(crate) struct Chaos {
    pub(crate) cluster: Arc<LocalCluster>,
    /// The configuration of sessions outside the workers' pool.
    pub(crate) other_session: Config,
    /// The longest pause between two hazards.
    pub(crate) pause: Duration,
    pub(crate) progress: Arc<Progress>,
    pub(crate) definitions: AtomicU64,
    pub(crate) outages: Outages,
}

impl Chaos {
    /// Runs until it is dropped. Each hazard occurs once before any occurs again.
    pub(crate) async fn reign(&self, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut deck = self.hazards();
        loop {
            deck.shuffle(&mut rng);
            for hazard in &deck {
                let hazard = *hazard;
                let region = match self.cluster.peer() {
                    Some(peer) if rng.random_ratio(1, 3) => peer,
                    _ => &*self.cluster,
                };
                hazard.befall(region, &mut rng);
                self.outages.pass(hazard, &self.cluster, &mut rng).await;
                if hazard == Hazard::Definition {
                    self.define().await;
                }
                sleep(self.pause.mul_f64(rng.random())).await;
                if hazard.lasts() {
                    // Sometimes longer than a ping's timeout.
                    sleep(self.pause.mul_f64(3.0 * rng.random::<f64>())).await;
                }
                // The stall, and earlier stalls that nothing has released yet.
                regions(&self.cluster).for_each(LocalCluster::release);
                // On a slow machine, the workers get more time between hazards.
                let _ = timeout(RESULTS_TIMEOUT, self.progress.results(RESULTS)).await;
            }
        }
    }

    /// Returns how often each hazard was observed.
    pub(crate) fn seen(&self) -> Vec<(Hazard, u64)> {
        let seen = |hazard: Hazard| match hazard {
            Hazard::Definition => self.definitions.load(Ordering::Relaxed),
            hazard if Hazard::OF_REGIONS.contains(&hazard) => self.outages.seen(hazard),
            _ => regions(&self.cluster)
                .map(|region| hazard.seen(region, &region.counts()))
                .sum(),
        };
        let hazards = self.hazards().into_iter();
        hazards.map(|hazard| (hazard, seen(hazard))).collect()
    }

    /// The hazards of this cluster.
    fn hazards(&self) -> Vec<Hazard> {
        let mut hazards = Hazard::ALL.to_vec();
        if self.cluster.peer().is_some() {
            hazards.extend(Hazard::OF_REGIONS);
        }
        hazards
    }

    /// Runs DDL in its own session. An earlier hazard may still make it fail.
    async fn define(&self) {
        let define = async {
            let connection = self.other_session.connect().await?;
            for statement in [
                "CREATE TABLE IF NOT EXISTS other_session (id bigint)",
                "DROP TABLE other_session",
            ] {
                connection.batch_execute(statement).await?;
                self.definitions.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Error>(())
        };
        // Any error here is the effect of another hazard.
        let _ = timeout(DDL_TIMEOUT, define).await;
    }
}

/// Stalls are released after this time.
const DDL_TIMEOUT: Duration = Duration::from_secs(2);
/// How many results the workers get between two hazards, unless time runs out.
const RESULTS: u64 = 10;
const RESULTS_TIMEOUT: Duration = Duration::from_secs(1);
