//! A cluster of two Regions: which one serves, and when.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::{Builder, Config, ConfigError, Error, Outcomes, Peer, Pool, Reason, RetryPolicy};
use dsql_local::{Direction, Effect, Fault, LocalCluster, Refusal, Stage};

use crate::support::{self, Clock};

const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";

/// A cluster of two Regions, and the clock of its clients.
struct Regions {
    home: LocalCluster,
    clock: Clock,
}

impl Regions {
    async fn start() -> Self {
        let builder = LocalCluster::builder().region(EAST).peer_region(WEST);
        Self {
            home: builder.start().await.unwrap(),
            clock: Clock::default(),
        }
    }

    fn peer(&self) -> &LocalCluster {
        self.home.peer().unwrap()
    }

    fn config(&self) -> Config {
        let peer = Peer::new(self.peer().endpoint().parse().unwrap())
            .address(self.peer().address().ip())
            .port(self.peer().address().port());
        support::config(&self.home)
            .peer(peer)
            .unwrap()
            .failover_after(Duration::from_secs(60))
            .time_source(self.clock.clone())
    }

    /// Time passes for both Regions and the client.
    fn pass_time(&self, by: Duration) {
        self.clock.advance(by);
        self.home.clock().advance(by);
        self.home.pass_time(by);
    }

    fn builder(&self) -> Builder {
        support::builder(self.config()).max_size(1)
    }
}

/// The Region that serves the pool's next checkout.
async fn region(pool: &Pool) -> String {
    let connection = pool.get().await.unwrap();
    connection.query_typed("SELECT 1", &[]).await.unwrap();
    connection.endpoint().region().to_owned()
}

/// Checks out until the home Region has taken over again.
async fn returned(pool: &Pool) {
    while pool.stats().returns_home == 0 {
        region(pool).await;
    }
}

#[tokio::test]
async fn the_home_region_serves_alone_while_it_can() {
    let regions = Regions::start().await;
    let pool = regions.builder().build();
    assert_eq!(region(&pool).await, EAST);
    assert_eq!(regions.peer().counts().accepted, 0);
    assert_eq!(pool.stats().failovers, 0);
}

#[tokio::test]
async fn the_peer_serves_when_the_home_region_fails() {
    for fault in [
        Fault::at(Stage::Accept, Effect::Cut),
        Fault::at(Stage::Accept, Effect::Reset),
        Fault::at(Stage::TlsHello, Effect::Cut),
        Fault::at(Stage::Password, Effect::Cut),
        Fault::refuse(Refusal::WakingUp),
    ] {
        let regions = Regions::start().await;
        regions.home.inject(fault.clone().always());
        let pool = regions.builder().build();
        assert_eq!(region(&pool).await, WEST, "{fault:?}");
        let stats = pool.stats();
        assert_eq!((stats.failovers, stats.opened), (1, 1));
        assert_eq!(regions.peer().counts().accepted, 1);
    }
}

#[tokio::test]
async fn the_peer_serves_when_the_home_name_is_gone() {
    let regions = Regions::start().await;
    let gone = |_, _| async { Err(std::io::Error::other("no such name")) };
    let peer = Peer::new(regions.peer().endpoint().parse().unwrap())
        .address(regions.peer().address().ip())
        .port(regions.peer().address().port());
    let config = Config::new(regions.home.endpoint().parse().unwrap())
        .resolver(gone)
        .root_certificates([regions.peer().ca_der().clone()])
        .unwrap()
        .credentials(support::credentials(regions.home.admin()))
        .peer(peer)
        .unwrap();
    let connection = config.connect().await.unwrap();
    assert_eq!(connection.endpoint().region(), WEST);
}

#[tokio::test]
async fn the_peer_is_dialed_beside_an_unresponsive_home_region() {
    let regions = Regions::start().await;
    regions.home.inject(Fault::at(Stage::Accept, Effect::Stall));
    let config = regions.config().failover_after(Duration::from_millis(50));
    let pool = support::builder(config).max_size(1).build();
    assert_eq!(region(&pool).await, WEST);
    regions.home.release();
}

#[tokio::test]
async fn a_refusal_of_the_login_is_returned() {
    let regions = Regions::start().await;
    regions.home.forget(regions.home.admin());
    let error = regions.builder().build().get().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::AccessDenied));
    assert_eq!(regions.peer().counts().accepted, 0);
}

#[tokio::test]
async fn an_error_names_both_regions() {
    let regions = Regions::start().await;
    for cluster in [&regions.home, regions.peer()] {
        cluster.inject(Fault::at(Stage::Accept, Effect::Cut).always());
    }
    let config = regions.config().connect_timeout(Duration::from_millis(500));
    let error = config.connect().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::Interrupted));
    let text = error.to_string();
    for cluster in [&regions.home, regions.peer()] {
        assert!(text.contains(cluster.endpoint()), "{text}");
    }
}

#[tokio::test]
async fn an_error_counts_the_attempts_in_both_regions() {
    let regions = Regions::start().await;
    let cut = || Fault::at(Stage::Accept, Effect::Cut).always();
    regions.home.inject(cut());
    regions.peer().inject(cut());
    let config = regions.config().connect_timeout(Duration::from_secs(2));
    let pool = support::builder(config.clone()).max_size(1).build();
    let accepted = || regions.home.counts().accepted + regions.peer().counts().accepted;
    for by_pool in [false, true] {
        let before = accepted();
        let opened = match by_pool {
            true => pool.get().await.map(drop),
            false => config.connect().await.map(drop),
        };
        let error = opened.unwrap_err();
        let Error::Connect(error) = &error else {
            panic!("{error}");
        };
        let accepted = accepted() - before;
        // The deadline may end the last attempt in each Region before it has failed.
        let counted = u64::from(error.attempts());
        assert!(counted <= accepted && counted + 2 >= accepted, "{error}");
        let tried = format!("tried {counted} times");
        assert!(counted < 2 || error.to_string().contains(&tried), "{error}");
    }
}

#[tokio::test]
async fn the_pool_returns_home_within_a_minute() {
    let regions = Regions::start().await;
    regions
        .home
        .inject(Fault::at(Stage::Accept, Effect::Cut).always());
    let pool = regions.builder().build();
    assert_eq!(region(&pool).await, WEST);
    let tried = regions.home.counts().accepted;

    // The home Region is not probed before its delay has passed, and not by every checkout.
    assert_eq!(region(&pool).await, WEST);
    assert_eq!(regions.home.counts().accepted, tried);

    regions.home.clear_faults();
    regions.clock.advance(Duration::from_secs(6));
    returned(&pool).await;
    regions.clock.advance(Duration::from_secs(61));
    assert_eq!(region(&pool).await, EAST);
    let stats = pool.stats();
    assert_eq!((stats.failovers, stats.returns_home), (1, 1));
    // One connection is the probe, and one is used.
    assert_eq!(regions.home.counts().logins, 2);
    assert_eq!(regions.peer().counts().logins, 1);
}

#[tokio::test]
async fn a_transaction_runs_again_at_the_peer() {
    let regions = Regions::start().await;
    let create = "CREATE TABLE note (text text)";
    regions.home.run_script(create).await.unwrap();
    let pool = regions.builder().build();
    assert_eq!(region(&pool).await, EAST);
    let served = pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        if tx.endpoint().region() == EAST {
            regions
                .home
                .inject(Fault::at(Stage::Accept, Effect::Cut).always());
            regions.home.cut_all();
        }
        tx.execute("INSERT INTO note VALUES ('two')", &[]).await?;
        Ok(tx.endpoint().region().to_owned())
    });
    assert_eq!(served.await.unwrap(), WEST);
    assert_eq!(support::notes(&regions.home).await, 2);
}

/// Both Regions have the same outcome table.
#[tokio::test]
async fn a_commit_lost_with_its_region_is_settled_by_the_peer() {
    const OUTCOMES: Outcomes = Outcomes::table("outcomes");

    for (fault, runs) in [
        (Fault::lose_commit_reply(), 1),
        (Fault::at(Stage::Commit, Effect::Cut), 2),
    ] {
        let regions = Regions::start().await;
        let create = format!("CREATE TABLE note (text text); {}", OUTCOMES.create_table());
        regions.home.run_script(&create).await.unwrap();
        let pool = regions.builder().build();
        assert_eq!(region(&pool).await, EAST);
        regions.home.inject(fault);
        let gone = Fault::at(Stage::Accept, Effect::Cut);
        regions.home.inject(gone.always());
        let ran = AtomicU32::new(0);
        let policy = RetryPolicy::new().outcomes(OUTCOMES);
        pool.transaction_with(policy, async |tx| {
            ran.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await
        })
        .await
        .unwrap();
        assert_eq!(ran.into_inner(), runs);
        assert_eq!(support::notes(&regions.home).await, 1);
        assert_eq!(pool.stats().failovers, 1);
    }
}

#[test]
fn a_peer_in_the_same_region_is_refused() {
    let endpoint = |id: &str| format!("{id}.dsql.us-east-1.on.aws").parse().unwrap();
    let home = Config::new(endpoint("abcdefghijklmnopqrstuvwx23"));
    for id in ["abcdefghijklmnopqrstuvwx23", "zyxwvutsrqponmlkjihgfedc32"] {
        let refused = home.clone().peer(Peer::new(endpoint(id)));
        assert!(matches!(refused, Err(ConfigError::Value { .. })));
    }
}

/// What happens to the cluster between two calls.
#[derive(Debug, Clone, Copy)]
enum Event {
    HomeRefuses,
    HomeIsSilent,
    HomeIsSlow,
    HomeIsBack,
    /// The sandbox is frozen, for so many seconds.
    Freeze(u64),
}

impl Event {
    fn random() -> Self {
        match rand::random_range(0..5) {
            0 => Self::HomeRefuses,
            1 => Self::HomeIsSilent,
            2 => Self::HomeIsSlow,
            3 => Self::HomeIsBack,
            _ => Self::Freeze(rand::random_range(1..4_000)),
        }
    }

    fn happen(self, regions: &Regions) {
        let home = &regions.home;
        if !matches!(self, Self::Freeze(_)) {
            home.clear_faults();
            home.release();
        }
        match self {
            Self::HomeRefuses => {
                home.inject(Fault::at(Stage::Accept, Effect::Cut).always());
                home.cut_all();
            }
            Self::HomeIsSilent => {
                home.inject(Fault::at(Stage::Accept, Effect::Stall).always());
                home.black_hole_all();
                // A connection that was used just now is not pinged.
                regions.pass_time(Duration::from_secs(60));
            }
            Self::HomeIsSlow => {
                let delay = Fault::delay(Direction::ToClient, Duration::from_millis(30));
                home.inject(delay.always());
            }
            Self::HomeIsBack => {}
            Self::Freeze(seconds) => regions.pass_time(Duration::from_secs(seconds)),
        }
    }

    /// Returns whether the event makes another connection necessary.
    fn is_change(self) -> bool {
        !matches!(self, Self::HomeIsSlow)
    }
}

/// `DSQL_FAILOVER_SCHEDULES` sets their number.
#[tokio::test]
async fn no_call_fails_while_one_region_answers() {
    let schedules = std::env::var("DSQL_FAILOVER_SCHEDULES").ok();
    let schedules = schedules
        .and_then(|number| number.parse().ok())
        .unwrap_or(20);
    let regions = Regions::start().await;
    for _ in 0..schedules {
        let config = regions.config().failover_after(Duration::from_millis(50));
        let pool = Pool::builder(config).max_size(1).build();
        let mut happened = Vec::new();
        for _ in 0..5 {
            let event = Event::random();
            happened.push(event);
            event.happen(&regions);
            // A transaction: it may begin on a connection that was lost a moment ago.
            let served = pool.transaction_with(RetryPolicy::new().read_only(), async |tx| {
                tx.query_typed("SELECT 1", &[]).await
            });
            if let Err(error) = served.await {
                panic!("{error} after {happened:?}");
            }
        }
        let changes = happened.iter().filter(|event| event.is_change()).count();
        let most = u64::try_from(2 * changes + 2).unwrap();
        assert!(pool.stats().opened <= most, "{:?}", pool.stats());
        Event::HomeIsBack.happen(&regions);
    }
}
