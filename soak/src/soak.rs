//! A run: starts the cluster, the pool, the workers and the hazards, and compares at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use dsql_conn::{Config, Pool};
use dsql_local::{LocalCluster, WakeUp};
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::bank::{Books, Opening};
use crate::chaos::Chaos;
use crate::journal::Entry;
use crate::progress::Progress;
use crate::reconcile::{Verdict, reconcile};
use crate::report::Report;
use crate::retries::Retries;
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

/// Why a run has no report.
#[derive(Debug)]
pub enum Failure {
    /// The workers made no progress. Has the state of each.
    NoProgress(String),
    /// The cluster or the bank could not be set up, or the final state not be read.
    Setup(Box<dyn std::error::Error + Send + Sync>),
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
        let cluster = LocalCluster::builder()
            .connection_rate(self.connections, self.connections * 4)
            .wake_up(WakeUp::Refusals(2))
            .start()
            .await
            .map_err(Failure::setup)?;
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
        };
        let stuck = async {
            progress.stuck_for(NO_PROGRESS).await;
            let pool = pool.stats();
            Failure::NoProgress(format!("{progress}{pool:?}\n{:?}", cluster.counts()))
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
        let mut workers = JoinSet::new();
        for number in 0..self.workers {
            let worker = Worker {
                number,
                pool: pool.clone(),
                opening: self.opening,
                seed: self.seed,
                progress: Arc::clone(progress),
                retries: Arc::clone(&retries),
            };
            workers.spawn(worker.work());
        }
        tokio::select! {
            () = chaos.reign(self.seed) => {}
            () = self.is_over(chaos, progress, begun) => {}
        }

        progress.close();
        cluster.clear_faults();
        let journals = tokio::select! {
            journals = workers.join_all() => journals,
            // A fault that struck while the faults were cleared may stall after any release.
            never = release(cluster) => match never {},
        };
        let journal: Vec<Entry> = journals.into_iter().flatten().collect();
        let worked = begun.elapsed();

        let lendable = lendable(pool).await;
        let stats = pool.stats();
        pool.close(CLOSING).await;
        let left_open = come_to_rest(cluster).await?;
        let books = Books::read(cluster).await.map_err(Failure::setup)?;
        let verdict = reconcile(&journal, &books, self.opening);
        let mut answers = BTreeMap::new();
        for entry in &journal {
            *answers.entry(entry.answer.kind.to_string()).or_default() += 1;
        }
        Ok(Report {
            seed: self.seed,
            worked,
            broken: broken(&journal, &verdict),
            verdict,
            answers,
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

/// The configuration, with short timeouts: a silent connection never recovers here.
fn config(cluster: &LocalCluster) -> Result<Config, Failure> {
    let endpoint = cluster.endpoint().parse().map_err(Failure::setup)?;
    let admin = cluster.admin();
    let credentials = Credentials::new(
        admin.access_key_id(),
        admin.secret_access_key(),
        admin.session_token().map(str::to_owned),
        None,
        "soak",
    );
    Ok(Config::new(endpoint)
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .root_certificates([cluster.ca_der().clone()])
        .map_err(Failure::setup)?
        .credentials(credentials)
        .connect_timeout(Duration::from_secs(5))
        .max_lifetime(Duration::from_secs(30)))
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
        while cluster.counts().open > 0 {
            cluster.release();
            sleep(LOOK).await;
        }
    };
    // The report shows it.
    let _ = timeout(CLOSING, closed).await;
    let left_open = cluster.counts().open;
    cluster.cut_all();
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

async fn release(cluster: &LocalCluster) -> std::convert::Infallible {
    loop {
        cluster.release();
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

impl Failure {
    fn setup(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Setup(Box::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgress(worker_progress) => write!(
                f,
                "no progress for {} s\n{worker_progress}",
                NO_PROGRESS.as_secs()
            ),
            Self::Setup(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// How long the workers may make no progress. Far above every timeout of the configuration.
const NO_PROGRESS: Duration = Duration::from_secs(60);
/// How long a run waits for hazards that were not observed yet.
const OVERTIME: Duration = Duration::from_secs(120);
/// How long the pool may take to recover.
const RECOVERY: Duration = Duration::from_secs(40);
/// How long the pool, and then the sockets, may take to close.
const CLOSING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
const MOST_NAMED: usize = 20;

/// The sessions in the cluster's database, except the one that asks.
const SESSIONS: &str = "SELECT pid FROM pg_stat_activity \
     WHERE datname = current_database() AND backend_type = 'client backend' \
     AND pid <> pg_backend_pid()";
