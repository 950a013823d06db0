//! A run: starts the cluster, the pool, the workers and the hazards, and compares at the end.

use std::sync::Arc;
use std::time::Duration;

use dsql_conn::Pool;
use dsql_local::{LocalCluster, WakeUp};
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::access::{config, regions};
use crate::bank::{Books, Opening};
use crate::chaos::Chaos;
use crate::failure::{Failure, NO_PROGRESS};
use crate::isolation::check;
use crate::journal::Entry;
use crate::lists::Lists;
use crate::outage::Outages;
use crate::progress::Progress;
use crate::reconcile::{Verdict, reconcile};
use crate::report::Report;
use crate::retries::Retries;
use crate::tally::Tally;
use crate::worker::Worker;

/// The settings of a run.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// How long the workers run.
    pub length: Length,
    /// The number of workers.
    pub workers: usize,
    /// The number of connections that they share.
    pub connections: u32,
    /// The accounts at the start.
    pub opening: Opening,
    /// Whether the cluster has two Regions.
    pub has_peer: bool,
    /// The longest pause between two hazards.
    pub pause: Duration,
    /// The seed of all random choices, except the scheduling.
    pub seed: u64,
}

/// How long the workers run: at least this long, and until every hazard was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// For this time.
    Time(Duration),
    /// Until this many transfers are committed.
    Committed(u64),
}

impl Soak {
    /// Runs the soak.
    ///
    /// # Errors
    ///
    /// [`Failure`]. Broken promises are no error; the report has them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the cluster; the workers fail and end.
    pub async fn run(self) -> Result<Report, Failure> {
        let mut builder = LocalCluster::builder()
            .connection_rate(self.connections, self.connections * 4)
            .wake_up(WakeUp::Refusals(2));
        if self.has_peer {
            builder = builder.peer_region(PEER_REGION);
        }
        let cluster = builder.start().await.map_err(Failure::setup)?;
        let cluster = Arc::new(cluster);
        let config = config(&cluster)?;
        let connection = config.connect().await.map_err(Failure::setup)?;
        self.opening
            .write(&connection)
            .await
            .map_err(Failure::setup)?;
        drop(connection);

        let pool = Pool::builder(config.clone())
            .max_size(self.connections)
            .checkout_timeout(Duration::from_secs(10))
            .ping_after(Duration::from_millis(100))
            .ping_timeout(Duration::from_millis(500))
            .settle_timeout(Duration::from_millis(100))
            .build();
        let progress = Arc::new(Progress::new(self.workers));
        let chaos = Chaos {
            cluster: Arc::clone(&cluster),
            other_session: config,
            pause: self.pause,
            progress: Arc::clone(&progress),
            definitions: 0.into(),
            outages: Outages::default(),
        };
        let stuck = async {
            progress.stuck_for(NO_PROGRESS).await;
            let pool = pool.stats();
            let counts = cluster.counts();
            let sessions = cluster.query(ACTIVITY).await;
            Failure::NoProgress(format!("{progress}{pool:?}\n{counts:?}\n{sessions:?}"))
        };
        tokio::select! {
            report = self.work(&cluster, &pool, &chaos, &progress) => report,
            failure = stuck => Err(failure),
        }
    }

    async fn work(
        &self,
        cluster: &LocalCluster,
        pool: &Pool,
        chaos: &Chaos,
        progress: &Arc<Progress>,
    ) -> Result<Report, Failure> {
        let begun = Instant::now();
        let retries = Arc::new(Retries::default());
        let lists = Arc::new(Lists::new(self.opening.accounts));
        let mut workers = JoinSet::new();
        for number in 0..self.workers {
            let worker = Worker {
                number,
                pool: pool.clone(),
                opening: self.opening,
                seed: self.seed,
                progress: Arc::clone(progress),
                retries: Arc::clone(&retries),
                lists: Arc::clone(&lists),
            };
            workers.spawn(worker.work());
        }
        tokio::select! {
            () = chaos.reign(self.seed) => {}
            () = self.is_over(chaos, progress, begun) => {}
        }

        progress.close();
        regions(cluster).for_each(LocalCluster::clear_faults);
        let works = tokio::select! {
            works = workers.join_all() => works,
            // A fault that struck while the faults were cleared may stall after any release.
            never = release(cluster) => match never {},
        };
        let (mut journal, mut attempts) = (Vec::new(), Vec::new());
        let mut tally = Tally::default();
        for work in works {
            journal.extend(work.journal);
            attempts.extend(work.attempts);
            tally.merge(&work.tally);
        }
        let worked = begun.elapsed();

        let lendable = lendable(pool).await;
        let stats = pool.stats();
        pool.close(CLOSING).await;
        let left_open = come_to_rest(cluster).await?;
        let books = Books::read(cluster).await.map_err(Failure::setup)?;
        let verdict = reconcile(&journal, &books, self.opening);
        let last = lists.read_all(cluster, &attempts).await;
        attempts.push(last.map_err(Failure::setup)?);
        Ok(Report {
            seed: self.seed,
            worked,
            broken: broken(&journal, &verdict),
            verdict,
            tally,
            checked: (attempts.len(), check(&attempts)),
            runs: retries.runs(),
            retries: retries.by_cause(),
            seen: chaos.seen(),
            lendable,
            left_open,
            pool: stats,
        })
    }

    /// Returns once the workers may stop.
    async fn is_over(&self, chaos: &Chaos, progress: &Progress, begun: Instant) {
        let mut is_long_enough = None;
        loop {
            sleep(LOOK).await;
            let enough = match self.length {
                Length::Time(time) => begun.elapsed() >= time,
                Length::Committed(transfers) => progress.committed() >= transfers,
            };
            if enough {
                let since = is_long_enough.get_or_insert_with(Instant::now);
                let all_seen = chaos.seen().iter().all(|(_, times)| *times > 0);
                if all_seen || since.elapsed() > OVERTIME {
                    return;
                }
            }
        }
    }
}

/// Returns how many connections can be checked out at the same time, now that no fault is injected.
async fn lendable(pool: &Pool) -> u32 {
    let slots = pool.stats().max_size;
    let deadline = std::time::SystemTime::now() + RECOVERY;
    let checked_out = join_all((0..slots).map(|_| pool.get_until(deadline))).await;
    checked_out
        .iter()
        .map(|checked_out| u32::from(checked_out.is_ok()))
        .sum()
}

/// Waits until the cluster has closed every socket and the engine has ended every client session.
/// Returns how many sockets stay open.
async fn come_to_rest(cluster: &LocalCluster) -> Result<u64, Failure> {
    let closed = async {
        while open(cluster) > 0 {
            regions(cluster).for_each(LocalCluster::release);
            sleep(LOOK).await;
        }
    };
    // The report shows it.
    let _ = timeout(CLOSING, closed).await;
    let left_open = open(cluster);
    regions(cluster).for_each(LocalCluster::cut_all);
    // An abandoned backend may still be committing.
    while !cluster
        .query(SESSIONS)
        .await
        .map_err(Failure::setup)?
        .is_empty()
    {
        sleep(LOOK).await;
    }
    Ok(left_open)
}

fn open(cluster: &LocalCluster) -> u64 {
    regions(cluster).map(|region| region.counts().open).sum()
}

async fn release(cluster: &LocalCluster) -> std::convert::Infallible {
    loop {
        regions(cluster).for_each(LocalCluster::release);
        sleep(LOOK).await;
    }
}

/// Lists the results behind broken promises, up to a limit.
fn broken(journal: &[Entry], verdict: &Verdict) -> Vec<String> {
    let Verdict {
        lost,
        doubled,
        phantom,
        foreign,
        ..
    } = verdict;
    let is_broken = |id| {
        [lost, doubled, phantom, foreign]
            .iter()
            .any(|ids| ids.contains(id))
    };
    journal
        .iter()
        .filter(|entry| is_broken(&entry.transfer.id))
        .take(MOST_NAMED)
        .map(|entry| format!("{entry:?}"))
        .collect()
}

/// How long a run waits for hazards that were not observed yet.
const OVERTIME: Duration = Duration::from_secs(120);
/// How long the pool may take to recover.
const RECOVERY: Duration = Duration::from_secs(40);
/// How long the pool, and then the sockets, may take to close.
const CLOSING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
const MOST_NAMED: usize = 20;
const PEER_REGION: &str = "us-west-2";

/// The sessions in the cluster's database, except the one that asks.
const SESSIONS: &str = "SELECT pid FROM pg_stat_activity \
     WHERE datname = current_database() AND backend_type = 'client backend' \
     AND pid <> pg_backend_pid()";

/// What each session of the engine does, and for which others it waits.
const ACTIVITY: &str = "SELECT pid, state, wait_event_type, pg_blocking_pids(pid), query \
     FROM pg_stat_activity WHERE datname = current_database()";
