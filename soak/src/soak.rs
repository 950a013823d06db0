//! One run: the cluster, the pool, the workers and the chaos, and the reconciliation at the end.

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
use crate::floor::Floor;
use crate::journal::Entry;
use crate::reconcile::{Verdict, reconcile};
use crate::report::Report;
use crate::retries::Retries;
use crate::worker::Worker;

/// What a run is told before it starts.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// How long the workers work.
    pub length: Length,
    /// How many they are.
    pub workers: usize,
    /// How many connections they share.
    pub connections: u32,
    /// How the bank opens.
    pub opening: Opening,
    /// The longest pause between two hazards.
    pub pause: Duration,
    /// What decides all that is left to chance, but for who comes first.
    pub seed: u64,
}

/// How long the workers work: at least so long, and until every hazard was seen to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So much time.
    Time(Duration),
    /// So many transfers committed.
    Committed(u64),
}

/// Why a run came to no report.
#[derive(Debug)]
pub enum Failure {
    /// Nobody got on any more. With where everything stands.
    Wedged(String),
    /// The cluster or the bank could not be set up, or the books not be read.
    Setup(Box<dyn std::error::Error + Send + Sync>),
}

impl Soak {
    /// Runs it.
    ///
    /// # Errors
    ///
    /// [`Failure`]. Broken promises are none, but in the report.
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
        let floor = Arc::new(Floor::new(self.workers));
        let chaos = Chaos {
            cluster: Arc::clone(&cluster),
            next_door: config,
            pause: self.pause,
            floor: Arc::clone(&floor),
            definitions: 0.into(),
        };
        let stuck = async {
            floor.stuck_for(PATIENCE).await;
            let pool = pool.stats();
            Failure::Wedged(format!("{floor}{pool:?}\n{:?}", cluster.counts()))
        };
        tokio::select! {
            report = self.work(&cluster, &pool, &chaos, &floor) => report,
            failure = stuck => Err(failure),
        }
    }

    async fn work(
        &self,
        cluster: &LocalCluster,
        pool: &Pool,
        chaos: &Chaos,
        floor: &Arc<Floor>,
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
                floor: Arc::clone(floor),
                retries: Arc::clone(&retries),
            };
            workers.spawn(worker.work());
        }
        tokio::select! {
            () = chaos.reign(self.seed) => {}
            () = self.is_over(chaos, floor, begun) => {}
        }

        floor.close();
        cluster.clear_faults();
        let journals = tokio::select! {
            journals = workers.join_all() => journals,
            // What struck while the faults were cleared may stall after any one release.
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
    async fn is_over(&self, chaos: &Chaos, floor: &Floor, begun: Instant) {
        let mut is_long_enough = None;
        loop {
            sleep(LOOK).await;
            let enough = match self.length {
                Length::Time(time) => begun.elapsed() >= time,
                Length::Committed(transfers) => floor.committed() >= transfers,
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

/// Returns how to reach the cluster, with short deadlines: what is silent here will not speak
/// again.
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

/// Returns how many connections the pool lends at once, now that nothing goes wrong any more.
async fn lendable(pool: &Pool) -> u32 {
    let places = pool.stats().max_size;
    let deadline = std::time::SystemTime::now() + RECOVERY;
    let lent = join_all((0..places).map(|_| pool.get_until(deadline))).await;
    lent.iter().map(|lent| u32::from(lent.is_ok())).sum()
}

/// Waits until the cluster has closed every socket and the engine has ended every session of a
/// client, and returns how many sockets are open all the same.
async fn come_to_rest(cluster: &LocalCluster) -> Result<u64, Failure> {
    let closed = async {
        while cluster.counts().open > 0 {
            cluster.release();
            sleep(LOOK).await;
        }
    };
    // Reported below.
    let _ = timeout(CLOSING, closed).await;
    let left_open = cluster.counts().open;
    cluster.cut_all();
    // A backend that was left may still be about to commit.
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

/// Names the answers behind broken promises, the first of them.
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
            Self::Wedged(stand) => write!(f, "nobody got on for {} s\n{stand}", PATIENCE.as_secs()),
            Self::Setup(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// How long nobody may get an answer. Far above every deadline of the configuration.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long hazards that were not seen yet are waited for.
const OVERTIME: Duration = Duration::from_secs(120);
/// How long the pool may take to be whole again.
const RECOVERY: Duration = Duration::from_secs(40);
/// How long the pool, and then the sockets, may take to close.
const CLOSING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
const MOST_NAMED: usize = 20;

/// The sessions in the cluster's database, but for the one that asks.
const SESSIONS: &str = "SELECT pid FROM pg_stat_activity \
     WHERE datname = current_database() AND backend_type = 'client backend' \
     AND pid <> pg_backend_pid()";
