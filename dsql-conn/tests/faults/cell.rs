//! Runs one cell: brings a fault about, calls, and tells what the caller saw.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use dsql_conn::{Config, Error, Pool, PooledConnection, RetryPolicy, Transaction};
use dsql_local::{Fault as Injected, LocalCluster};
use futures_util::future::{join_all, select};
use futures_util::{FutureExt, StreamExt};
use tokio::runtime::{self, Handle};
use tokio::time::{sleep, timeout};

use crate::door::{Bar, Door};
use crate::fault::Fault;
use crate::seen::{Bound, Expected, Seen};
use crate::stage::{Stage, Way};
use crate::whole;

/// A fault at a stage, met in one way.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) stage: Stage,
    pub(crate) fault: Fault,
    pub(crate) way: Way,
    pub(crate) expected: Expected,
}

/// What a cell is run on.
pub(crate) struct Bench {
    pub(crate) cluster: LocalCluster,
    /// The fault, if it is the cluster's to bring about, and how often it had struck in cells
    /// before.
    fault: Option<(Injected, u64)>,
    door: Door,
    pub(crate) config: Config,
    pub(crate) pool: Pool,
}

impl Cell {
    /// Runs the cell on a runtime of its own and returns what was not as expected.
    ///
    /// A cluster that is as it was before is left to the next cell: making one takes longer than
    /// most cells.
    pub(crate) fn run(&self, spare: &mut Option<LocalCluster>) -> Result<(), String> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let run = catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.check(spare))));
        run.unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", words.unwrap_or("without words")))
        })
    }

    async fn check(&self, spare: &mut Option<LocalCluster>) -> Result<(), String> {
        let bench = self.bench(spare.take()).await;
        let told = timeout(GUARD, self.observe(&bench)).await;
        let Ok(told) = told else {
            return Err(format!(
                "no end within {GUARD:?}; pool: {:?}",
                bench.pool.stats()
            ));
        };
        let seen = match &told {
            Some(result) => Seen::of(result),
            None => Seen::GivenUp,
        };
        if seen != self.expected.seen {
            return Err(format!("the caller saw {seen}"));
        }
        if bench.struck() == 0 {
            return Err("the fault did not strike".to_owned());
        }
        bench.cluster.clear_faults();
        bench.door.clear();
        whole::check(&bench, self.fault.is_silent()).await?;
        self.check_notes(&bench, told).await?;
        *spare = Some(bench.cluster);
        Ok(())
    }

    /// Makes a cluster with a table, and a pool whose deadlines are generous but for the one that
    /// is to end the call.
    async fn bench(&self, spare: Option<LocalCluster>) -> Bench {
        let cluster = match spare {
            Some(cluster) => cluster,
            None => LocalCluster::start()
                .await
                .expect("the tests need a PostgreSQL on this machine"),
        };
        cluster.query(TABLE).await.expect("an empty table");

        let admin = cluster.admin();
        let credentials = Credentials::new(
            admin.access_key_id(),
            admin.secret_access_key(),
            admin.session_token().map(str::to_owned),
            None,
            "test",
        );
        let short = |bound| match self.expected.bound == bound {
            true => SHORT,
            false => GENEROUS,
        };
        let (connect, checkout) = match self.expected.bound {
            // What fails by itself needs the time to.
            Bound::Connect if !self.fault.is_silent() => (5 * SHORT, GENEROUS),
            Bound::Connect => (SHORT, GENEROUS),
            Bound::Checkout if !self.fault.is_silent() => (GENEROUS, 5 * SHORT),
            Bound::Checkout => (SHORT, 6 * SHORT),
            // A dial that was given up keeps its place until it has come to its end.
            Bound::Caller if self.way == Way::GetGivenUp => (5 * SHORT, GENEROUS),
            _ => (GENEROUS, GENEROUS),
        };
        let settle = match self.expected.bound {
            // The call leaves a statement behind that the next checkout has to wait for.
            Bound::Caller | Bound::Deadline => SHORT,
            _ => short(Bound::Settle),
        };
        let ping_after = match self.way {
            Way::PingDue => Duration::ZERO,
            _ => GENEROUS,
        };
        let door = Door::to(cluster.address());
        let resolving = door.clone();
        let config = Config::new(cluster.endpoint().parse().expect("the cluster's own"))
            .resolver(move |_, _| resolving.clone().resolve())
            .root_certificates([cluster.ca_der().clone()])
            .unwrap()
            .credentials(credentials)
            .connect_timeout(connect);
        let size = match (self.stage, self.way) {
            // The next borrower is to meet what the last one left.
            (Stage::ReturnToPool, _) => 1,
            // Another one that fell silent unnoticed is lent if it is asked for before this one has
            // told of it.
            (_, Way::UsedLately) => 1,
            _ => 2,
        };
        let pool = Pool::builder(config.clone())
            .max_size(size)
            .idle_timeout(None)
            .checkout_timeout(checkout)
            .ping_after(ping_after)
            .ping_timeout(short(Bound::Ping))
            .hedge_delay(GENEROUS)
            .settle_timeout(settle)
            .build();
        Bench {
            fault: self.bar().is_none().then(|| {
                let fault = self.fault();
                let before = cluster.struck(&fault);
                (fault, before)
            }),
            cluster,
            door,
            config,
            pool,
        }
    }

    /// Brings the fault about and calls. Nothing comes back if the caller gave up.
    async fn observe(&self, bench: &Bench) -> Option<Result<(), Error>> {
        self.prepare(bench).await;
        let mut call = pin!(self.call(bench));
        if self.expected.bound != Bound::Caller {
            return Some(call.await);
        }
        // The caller's patience begins with the fault: before, there is nothing to be patient with.
        let given_up = async {
            bench.until_struck(1).await;
            sleep(SHORT).await;
        };
        tokio::select! {
            result = &mut call => Some(result),
            () = given_up => None,
        }
    }

    /// Brings the pool into the state that the fault strikes, and where it strikes before the call
    /// lets it.
    async fn prepare(&self, bench: &Bench) {
        let pool = &bench.pool;
        match self.way {
            Way::Get | Way::GetGivenUp | Way::Statement | Way::ByHand | Way::Begin => {}
            Way::GetWhileItLasts | Way::ConnectWhileItLasts | Way::TransactionWhileItLasts => {}
            Way::Transaction | Way::TransactionGivenUp | Way::Idempotent => {}
            Way::UsedLately | Way::PingDue => {
                warm(pool).await;
                let connections = u64::from(pool.stats().connections);
                self.inject(bench, Due::Times(connections as usize));
                bench.until_struck(connections).await;
                if !self.fault.leaves_the_connection_open() {
                    // The client has noticed when the drivers have ended.
                    whole::until_alive(1)
                        .await
                        .expect("the connection tasks end");
                }
                return;
            }
            Way::AfterStatement => {
                let connection = borrow(pool).await;
                self.inject(bench, Due::Times(1));
                assert!(
                    connection
                        .batch_execute("SELECT 1")
                        .now_or_never()
                        .is_none()
                );
            }
            Way::AfterRows => {
                let connection = borrow(pool).await;
                self.inject(bench, Due::Times(1));
                let taking = async {
                    if let Ok(rows) = connection.query_raw(ROWS, NO_PARAMETERS).await {
                        let _ = pin!(rows).next().await;
                    }
                };
                // The first row comes along, or is on its way.
                let struck = bench.until_struck(1);
                select(pin!(taking), pin!(struck)).await;
            }
            Way::AfterBegin => {
                let connection = borrow(pool).await;
                connection.batch_execute("BEGIN").await.expect("BEGIN");
                connection.execute(LEFT, &[]).await.expect("an insert");
                self.inject(bench, Due::Times(1));
            }
            Way::AfterRollback => {
                let connection = borrow(pool).await;
                connection.batch_execute("BEGIN").await.expect("BEGIN");
                connection.execute(LEFT, &[]).await.expect("an insert");
                self.inject(bench, Due::Times(1));
                let rollback = connection.batch_execute("ROLLBACK").now_or_never();
                assert!(rollback.is_none());
            }
        }
        match self.stage {
            Stage::ReturnToPool => bench.until_struck(1).await,
            Stage::Idle => {}
            Stage::QuerySent | Stage::RowsHalfRead | Stage::CommitSent | Stage::CommitApplied => {
                warm(pool).await;
            }
            _ => {}
        }
    }

    async fn call(&self, bench: &Bench) -> Result<(), Error> {
        let Bench { config, pool, .. } = bench;
        match self.way {
            Way::Get | Way::GetGivenUp => {
                self.inject(bench, Due::Times(1));
                insert(pool).await
            }
            Way::GetWhileItLasts => {
                self.inject(bench, Due::UntilCleared);
                insert(pool).await
            }
            Way::ConnectWhileItLasts => {
                self.inject(bench, Due::UntilCleared);
                let connection = config.connect().await?;
                connection.execute(INSERT, &[]).await?;
                Ok(())
            }
            Way::UsedLately
            | Way::PingDue
            | Way::AfterStatement
            | Way::AfterRows
            | Way::AfterBegin
            | Way::AfterRollback => insert(pool).await,
            Way::Statement => {
                self.inject(bench, Due::Times(1));
                let connection = pool.get().await?;
                match self.stage {
                    Stage::RowsHalfRead => connection.query(ROWS, &[]).await.map(drop)?,
                    _ => connection.execute(INSERT, &[]).await.map(drop)?,
                }
                Ok(())
            }
            Way::ByHand => {
                self.inject(bench, Due::Times(1));
                let connection = pool.get().await?;
                connection.batch_execute("BEGIN").await?;
                connection.execute(INSERT, &[]).await?;
                connection.batch_execute("COMMIT").await
            }
            Way::Begin => {
                self.inject(bench, Due::Times(1));
                self.transact(bench, |_| false).await
            }
            Way::Transaction | Way::TransactionGivenUp | Way::Idempotent => {
                self.transact(bench, |run| run == 0).await
            }
            Way::TransactionWhileItLasts if self.stage == Stage::QuerySent => {
                self.inject(bench, Due::UntilCleared);
                self.transact(bench, |_| false).await
            }
            Way::TransactionWhileItLasts => self.transact(bench, |_| true).await,
        }
    }

    /// Inserts by `Pool::transaction_with`. The fault is due in those runs of the body that say so.
    async fn transact(&self, bench: &Bench, is_due: impl Fn(u32) -> bool) -> Result<(), Error> {
        let runs = AtomicU32::new(0);
        let is_due = || is_due(runs.fetch_add(1, Ordering::SeqCst));
        bench
            .pool
            .transaction_with(self.policy(), async |tx: Transaction| {
                let is_due = is_due();
                let strike = || {
                    if is_due {
                        self.inject(bench, Due::Times(1));
                    }
                };
                if self.stage == Stage::QuerySent {
                    strike();
                }
                match self.way {
                    Way::Idempotent => tx.execute(INSERT_IF_ABSENT, &[]).await?,
                    _ => tx.execute(INSERT, &[]).await?,
                };
                match self.stage {
                    Stage::QuerySent => {}
                    Stage::RowsHalfRead => {
                        strike();
                        tx.query(ROWS, &[]).await?;
                    }
                    _ => strike(),
                }
                Ok(())
            })
            .await
    }

    fn policy(&self) -> RetryPolicy {
        let pause = Duration::from_millis(1);
        let deadline = match self.expected.bound {
            // The fault has to strike before it passes.
            Bound::Deadline => 5 * SHORT,
            _ => GENEROUS,
        };
        let policy = RetryPolicy::new()
            .backoff(pause, pause)
            .schema_backoff(pause, pause)
            .timeout(deadline);
        match self.way {
            Way::Idempotent => policy.idempotent(),
            _ => policy,
        }
    }

    fn inject(&self, bench: &Bench, due: Due) {
        if let Some(bar) = self.bar() {
            return bench.door.bar(bar, due == Due::UntilCleared);
        }
        bench.cluster.inject(match due {
            Due::Times(times) => self.fault().times(times),
            Due::UntilCleared => self.fault().always(),
        });
    }

    /// What bars the way to the cluster, if the fault strikes before it.
    fn bar(&self) -> Option<Bar> {
        match (self.stage, self.fault) {
            (Stage::Dns, Fault::Refuse) => Some(Bar::NoSuchName),
            (Stage::Dns, Fault::TryAgain) => Some(Bar::TemporaryFailure),
            (Stage::Dns, Fault::Stall) => Some(Bar::NameStall),
            (Stage::Tcp, Fault::Refuse) => Some(Bar::NobodyListens),
            // Elsewhere a full queue may be answered; there it is silence after the connection was
            // accepted.
            (Stage::Tcp, Fault::Stall) if cfg!(target_os = "linux") => Some(Bar::NobodyAnswers),
            _ => None,
        }
    }

    /// What the cluster does.
    fn fault(&self) -> Injected {
        Injected::at(self.stage.local(self.way), self.fault.effect())
    }

    /// The rows that are there are those that the caller was told of.
    async fn check_notes(
        &self,
        bench: &Bench,
        told: Option<Result<(), Error>>,
    ) -> Result<(), String> {
        let rows = bench.cluster.query("SELECT text FROM note ORDER BY text");
        let rows = rows.await.map_err(|error| error.to_string())?;
        let notes: Vec<_> = rows.into_iter().flatten().flatten().collect();
        let is_applied = self.expected.applied == Some(true);
        let expected = match is_applied {
            true => vec!["called", "next"],
            false => vec!["next"],
        };
        if notes != expected {
            return Err(format!("the notes are {notes:?}"));
        }
        match told {
            Some(Err(error)) if is_applied && !error.may_have_applied() => Err(format!(
                "it was applied, and the error denies it: {error:?}"
            )),
            _ => Ok(()),
        }
    }
}

async fn insert(pool: &Pool) -> Result<(), Error> {
    pool.get().await?.execute(INSERT, &[]).await?;
    Ok(())
}

async fn borrow(pool: &Pool) -> PooledConnection {
    let connection = pool.get().await.expect("a connection");
    connection
        .batch_execute("SELECT 1")
        .await
        .expect("an answer");
    connection
}

/// Opens every connection that the pool may have, and uses it.
async fn warm(pool: &Pool) {
    let size = pool.stats().max_size;
    join_all((0..size).map(|_| borrow(pool))).await;
    assert_eq!(pool.stats().idle, size, "as many as were borrowed at once");
    let alive = Handle::current().metrics().num_alive_tasks();
    assert_eq!(alive, size as usize + 1, "one for each, and the pool's own");
}

/// How often a fault is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Times(usize),
    UntilCleared,
}

impl Bench {
    fn struck(&self) -> u64 {
        match &self.fault {
            Some((fault, before)) => self.cluster.struck(fault) - before,
            None => self.door.struck(),
        }
    }

    async fn until_struck(&self, times: u64) {
        while self.struck() < times {
            sleep(TICK).await;
        }
    }
}

/// How long what is to end a call lasts.
const SHORT: Duration = Duration::from_millis(400);

/// How long what is not to end it lasts: longer than the test waits.
const GENEROUS: Duration = Duration::from_secs(120);

/// How long a call may take, and the pool to be whole. Longer than anything takes that is as it
/// should be.
pub(crate) const GUARD: Duration = Duration::from_secs(30);

/// How often the test looks. Hundreds of cells that looked all the time would leave no time to run
/// them.
pub(crate) const TICK: Duration = Duration::from_millis(2);

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS public.note (text text PRIMARY KEY);
    GRANT ALL ON public.note TO admin;
    TRUNCATE public.note";
const INSERT: &str = "INSERT INTO note VALUES ('called')";
const INSERT_IF_ABSENT: &str = "INSERT INTO note VALUES ('called') ON CONFLICT (text) DO NOTHING";
const LEFT: &str = "INSERT INTO note VALUES ('left')";
const ROWS: &str = "SELECT repeat('x', 100) FROM generate_series(1, 10)";
const NO_PARAMETERS: [i32; 0] = [];
