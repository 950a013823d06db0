//! Regions that refuse connections for a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dsql_local::{Effect, Fault, LocalCluster, Stage};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::access::regions;
use crate::hazard::Hazard;

/// Makes Regions unavailable, and counts how often a client noticed.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    noticed: [AtomicU64; Hazard::OF_REGIONS.len()],
}

impl Outages {
    /// Lets an outage of Regions begin and end.
    pub(crate) async fn pass(&self, hazard: Hazard, cluster: &LocalCluster, rng: &mut StdRng) {
        let (regions, times, longest): (Vec<_>, _, _) = match hazard {
            Hazard::HomeGone => (vec![cluster], 1, SECONDS),
            Hazard::BothGone => (regions(cluster).collect(), 1, MOMENT),
            Hazard::FlappingHome => (vec![cluster], FLAPS, MOMENT),
            _ => return,
        };
        let refused = || -> Vec<u64> {
            let refused = regions.iter().map(|region| region.struck(&refuse()));
            refused.collect()
        };
        let before = refused();
        for _ in 0..times {
            for region in &regions {
                region.inject(refuse().always());
                match rng.random() {
                    true => region.cut_all(),
                    false => region.black_hole_all(),
                }
            }
            sleep(longest.mul_f64(rng.random_range(0.5..1.0))).await;
            for region in &regions {
                region.clear_faults();
                region.release();
            }
            if times > 1 {
                sleep(longest.mul_f64(rng.random())).await;
            }
        }
        let mut both = before.iter().zip(refused());
        if both.all(|(before, after)| after > *before) {
            let noticed = self.of(hazard);
            noticed.map(|noticed| noticed.fetch_add(1, Ordering::Relaxed));
        }
    }

    /// How often each outage was noticed by a client.
    pub(crate) fn seen(&self, hazard: Hazard) -> u64 {
        let noticed = self.of(hazard);
        noticed.map_or(0, |noticed| noticed.load(Ordering::Relaxed))
    }

    fn of(&self, hazard: Hazard) -> Option<&AtomicU64> {
        let mut all = Hazard::OF_REGIONS.iter().zip(&self.noticed);
        let found = all.find(|(of, _)| **of == hazard);
        found.map(|(_, noticed)| noticed)
    }
}

fn refuse() -> Fault {
    Fault::at(Stage::Accept, Effect::Cut)
}

const SECONDS: Duration = Duration::from_secs(3);
const MOMENT: Duration = Duration::from_millis(400);
const FLAPS: u32 = 5;
