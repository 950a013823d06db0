//! A thousand simulated lives of a Lambda function's pool: calls, freezes of a second to 14 hours,
//! cut or unresponsive connections, expiring credentials, a clock that is set back. No call may
//! fail.

use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_async::time::TimeSource;
use dsql_conn::Pool;
use dsql_local::{Action, Identity, LocalCluster};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::runtime::{Builder, Handle};

use crate::support::{Clock, Rotating, cluster, config, until};

/// What happens to the connection during the freeze.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Kept,
    Cut,
    Reset,
    /// No packet passes in either direction any more.
    Silent,
}

/// A function, the cluster that it calls, and the expectations of its connection.
struct Life<'a> {
    cluster: &'a LocalCluster,
    clock: Clock,
    /// How far the function's clock is behind the cluster's.
    behind: Duration,
    credentials: Rotating,
    identity: Identity,
    /// When the credentials expire, by the cluster's clock.
    expiry: SystemTime,
    /// The credentials were replaced since the last call.
    is_replaced: bool,
    pool: Pool,
    /// The age of the connection.
    age: Duration,
    is_alive: bool,
    /// The time, by the function's clock, until which the pool has no reason to replace the
    /// connection.
    young: Range<SystemTime>,
}

impl<'a> Life<'a> {
    fn begin(cluster: &'a LocalCluster, rng: &mut StdRng) -> Self {
        let (identity, expiry, first) = issue(cluster, rng);
        let credentials = Rotating(Arc::new(Mutex::new(first)));
        let clock = Clock::default();
        clock.set(cluster.clock().now());
        let config = config(cluster)
            .time_source(clock.clone())
            .credentials(credentials.clone());
        // In this test an unresponsive server never replies again. If that is wrong, it costs one
        // more connect.
        let pool = Pool::lambda(config)
            .checkout_timeout(Duration::from_secs(60))
            .ping_timeout(Duration::from_millis(100))
            .build();
        Self {
            cluster,
            clock,
            behind: Duration::ZERO,
            credentials,
            identity,
            expiry,
            is_replaced: false,
            pool,
            age: Duration::ZERO,
            is_alive: false,
            young: SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH,
        }
    }

    /// Serves a request, and counts the connects and statements.
    async fn invoke(&mut self) {
        let now = self.clock.now();
        let needed = u64::from(!self.is_alive);
        let justified = u64::from(!self.is_alive || !self.young.contains(&now));
        let before = self.seen();
        let connection = self.pool.get().await.unwrap();
        let one = connection.query_one("SELECT 1", &[]).await.unwrap();
        assert_eq!(one.get::<_, i32>(0), 1);
        drop(connection);
        // A successor that was opened in the background counts as well.
        until(self.cluster, |_| self.pool.stats().idle == 1).await;
        // An unresponsive connection is never used again.
        self.cluster.release();
        let after = self.seen();

        // The call itself is one statement.
        let (connects, pings) = (after.0 - before.0, after.1 - before.1 - 1);
        // One more for a ping that took too long, and one for credentials that were replaced
        // unnoticed.
        let most = justified + 1 + u64::from(mem::take(&mut self.is_replaced));
        assert!(
            (needed..=most).contains(&connects),
            "{connects} connects where {justified} was justified"
        );
        assert!(pings <= 1, "{pings} pings");
        if connects > 0 {
            self.age = Duration::ZERO;
            self.is_alive = true;
            // Lifetimes start at 44 of 55 minutes, and in the last minute a successor is opened.
            self.young = now..now + Duration::from_secs(43 * 60);
        }
    }

    /// The number of accepted connections, and of statements and pings.
    fn seen(&self) -> (u64, u64) {
        let counts = self.cluster.counts();
        (counts.accepted, counts.statements)
    }

    async fn freeze(&mut self, rng: &mut StdRng) {
        let longest = Duration::from_secs(14 * 3_600);
        let asleep = Duration::from_secs(1).mul_f64(longest.as_secs_f64().powf(rng.random()));
        let before = self.behind;
        if rng.random_bool(0.3) {
            self.behind = Duration::from_secs(rng.random_range(0..600));
        }
        // By the function's clock.
        let idle = (asleep + before).saturating_sub(self.behind);
        let fate = match rng.random_range(0..6) {
            0 => Fate::Cut,
            1 => Fate::Reset,
            // Routers and firewalls forget a connection after minutes, never within seconds of its
            // last use.
            2 if idle > Duration::from_secs(60) => Fate::Silent,
            _ => Fate::Kept,
        };
        match fate {
            Fate::Kept => {}
            Fate::Cut => self.cluster.cut_all(),
            Fate::Reset => self.cluster.reset_all(),
            Fate::Silent => self.cluster.black_hole_all(),
        }
        self.is_alive &= fate == Fate::Kept;

        self.cluster.clock().advance(asleep);
        self.cluster.pass_time(asleep);
        self.age += asleep;
        // The service's limit.
        self.is_alive &= self.age < Duration::from_secs(3_600);
        if !self.is_alive && fate != Fate::Silent {
            // The cut has reached the client before the function thaws: its connection's task has
            // ended, and the maintenance task is left.
            let tasks = || Handle::current().metrics().num_alive_tasks();
            until(self.cluster, |counts| counts.open == 0 && tasks() <= 1).await;
        }

        self.clock.set(self.cluster.clock().now() - self.behind);
        if self.cluster.clock().now() > self.expiry {
            self.cluster.forget(&self.identity);
            self.is_replaced = true;
            let (identity, expiry, next) = issue(self.cluster, rng);
            (self.identity, self.expiry) = (identity, expiry);
            *self.credentials.0.lock().unwrap() = next;
        }
    }
}

/// Issues credentials that expire after minutes or hours; some without an expiry time.
fn issue(cluster: &LocalCluster, rng: &mut impl Rng) -> (Identity, SystemTime, Credentials) {
    let name = format!("lambda-{}", rng.random::<u64>());
    let identity = cluster.identity(&name, &[Action::DbConnectAdmin]);
    let lifetime = Duration::from_secs(rng.random_range(900..6 * 3_600));
    let expiry = cluster.clock().now() + lifetime;
    let told = rng.random_bool(0.8).then_some(expiry);
    let issued = Credentials::new(
        identity.access_key_id(),
        identity.secret_access_key(),
        identity.session_token().map(str::to_owned),
        told,
        "test",
    );
    (identity, expiry, issued)
}

/// Runs these lives one after the other, on their own cluster and runtime.
async fn live(seeds: impl Iterator<Item = u64>) {
    let cluster = cluster().await;
    for seed in seeds {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut life = Life::begin(&cluster, &mut rng);
        for step in 0..rng.random_range(2..7) {
            // The captured output names the life that failed.
            println!("seed {seed}, step {step}");
            for _ in 0..rng.random_range(1..4) {
                life.invoke().await;
            }
            life.freeze(&mut rng).await;
        }
        life.invoke().await;
        life.pool.close(Duration::from_secs(60)).await;
        cluster.release();
        until(&cluster, |counts| counts.open == 0).await;
    }
}

#[test]
fn no_call_fails_after_any_freeze() {
    thread::scope(|scope| {
        for world in 0..8 {
            scope.spawn(move || {
                let mut runtime = Builder::new_current_thread();
                let runtime = runtime.enable_all().build().unwrap();
                runtime.block_on(live((world..1_000).step_by(8)));
            });
        }
    });
}
