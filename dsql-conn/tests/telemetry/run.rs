//! A run that emits every span, event and metric.

use std::fmt::Debug;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use dsql_conn::{Config, Error, Outcomes, Peer, Pool, Reason, RetryPolicy, StatementSpans, Stats};
use dsql_local::{Action, Effect, Fault, LocalCluster, Refusal, Stage};

use crate::support::{Clock, builder, config, credentials, select};

const OUTCOMES: Outcomes = Outcomes::table("outcomes");

/// A value of a statement's text, and one of its parameters.
pub(crate) const LITERAL: &str = "literal-of-a-text";
pub(crate) const PARAMETER: &str = "value-of-a-parameter";
pub(crate) const PASSWORD: &str = "password-in-a-url";
pub(crate) const WRONG_KEY: &str = "WrongKeyWrongKeyWrongKeyWrongKeyWrongKey";

/// What a run returns besides its spans, events and metrics.
pub(crate) struct Ran {
    pub(crate) cluster: LocalCluster,
    /// Errors and values of public types, as text.
    pub(crate) texts: Vec<String>,
    pub(crate) stats: Stats,
}

impl Ran {
    fn write(&mut self, value: &impl Debug) {
        self.texts.push(format!("{value:?} {value:#?}"));
    }

    fn error(&mut self, error: &(dyn std::error::Error + 'static)) {
        let chain = std::iter::successors(Some(error), |error| error.source());
        self.texts
            .extend(chain.map(|error| format!("{error} {error:?} {error:#?}")));
    }
}

/// A provider that fails.
#[derive(Debug)]
struct Failing;

impl ProvideCredentials for Failing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("no keys here")))
    }
}

/// Causes every span, event and metric.
pub(crate) async fn run() -> Ran {
    let cluster = LocalCluster::builder().peer_region("us-west-2").start();
    let cluster = cluster.await.unwrap();
    let clock = Clock::default();
    let peer = cluster.peer().unwrap();
    let address = peer.address();
    let peer = Peer::new(peer.endpoint().parse().unwrap());
    let peer = peer.address(address.ip()).port(address.port());
    let config = config(&cluster)
        .search_path("public, other")
        .statement_spans(StatementSpans::WithText)
        .time_source(clock.clone())
        .peer(peer)
        .unwrap();
    let pool = builder(config.clone()).max_size(1).name("games").build();
    let mut ran = Ran {
        stats: pool.stats(),
        cluster,
        texts: Vec::new(),
    };
    refused_settings(&mut ran);
    statements(&pool, &mut ran).await;
    transactions(&pool, &mut ran).await;
    lost_commits(&pool, &mut ran).await;
    checkouts(&pool, &clock, &mut ran).await;
    regions(&pool, &clock, &ran.cluster).await;
    let identity = ran.cluster.identity("stranger", &[]);
    refusals(&config, &credentials(&identity), &mut ran).await;
    many_pools(&config);
    pool.get().await.unwrap();
    ran.stats = pool.stats();
    pool.close(Duration::from_secs(60)).await;
    ran.error(&pool.get().await.unwrap_err());
    ran.write(&config);
    ran.write(&pool);
    ran.write(&pool.stats());
    ran.write(&builder(config));
    ran
}

/// URLs with parts that do not belong there.
fn refused_settings(ran: &mut Ran) {
    let host = ran.cluster.endpoint();
    for url in [
        format!("postgres://admin:{PASSWORD}@{host}/postgres"),
        format!("postgres://{host}/postgres?password={PASSWORD}"),
        format!("admin:{PASSWORD}@{host}"),
    ] {
        match url.parse::<Config>() {
            Ok(config) => ran.write(&config),
            Err(error) => ran.error(&error),
        }
        ran.error(&url.parse::<dsql_conn::Endpoint>().unwrap_err());
    }
}

async fn statements(pool: &Pool, ran: &mut Ran) {
    let connection = pool.get().await.unwrap();
    for sql in [
        "CREATE TABLE note (text text PRIMARY KEY)",
        &OUTCOMES.create_table(),
    ] {
        connection.batch_execute(sql).await.unwrap();
    }
    let insert = "INSERT INTO note VALUES ($1)";
    connection.execute(insert, &[&PARAMETER]).await.unwrap();
    let select = format!("SELECT text /* {LITERAL} */ FROM note WHERE text = '{LITERAL}'");
    connection.query(&select, &[]).await.unwrap();
    connection.simple_query(&select).await.unwrap();
    let prepared = connection.prepare_cached("SELECT 1").await.unwrap();
    connection.query(&prepared, &[]).await.unwrap();
    let error = connection.execute(insert, &[&PARAMETER]).await.unwrap_err();
    ran.error(&error);
    ran.write(&connection);
    let cut = Fault::at(Stage::Statement, Effect::Cut);
    ran.cluster.inject(cut);
    let lost = connection.query("SELECT 2", &[]).await.unwrap_err();
    ran.error(&lost);
}

/// Runs a transaction whose change does not matter.
async fn transaction(pool: &Pool, policy: RetryPolicy) -> Result<u64, Error> {
    let insert = "INSERT INTO note VALUES (gen_random_uuid()::text)";
    pool.transaction_with(policy, async |tx| tx.execute(insert, &[]).await)
        .await
}

async fn transactions(pool: &Pool, ran: &mut Ran) {
    let policy = RetryPolicy::new();
    for fault in [
        Fault::conflict_commits(1),
        Fault::refuse(Refusal::ServerUnavailable),
        Fault::at(Stage::Statement, Effect::Cut),
    ] {
        ran.cluster.inject(fault);
        transaction(pool, policy).await.unwrap();
    }
    ran.cluster.inject(Fault::conflict_commits(9));
    let error = transaction(pool, policy.max_attempts(2)).await.unwrap_err();
    ran.error(&error);
    ran.cluster.clear_faults();
    let failed = pool.transaction(async |tx| tx.execute("SELECT 1 / 0", &[]).await);
    ran.error(&failed.await.unwrap_err());
}

async fn lost_commits(pool: &Pool, ran: &mut Ran) {
    let settled = RetryPolicy::new().outcomes(OUTCOMES);
    for fault in [
        Fault::lose_commit_reply(),
        Fault::at(Stage::Commit, Effect::Cut),
    ] {
        ran.cluster.inject(fault);
        transaction(pool, settled).await.unwrap();
    }
    ran.cluster.inject(Fault::lose_commit_reply());
    let error = transaction(pool, RetryPolicy::new()).await.unwrap_err();
    ran.error(&error);
    // The commit cannot be settled, because no connection can be opened any more.
    ran.cluster.inject(Fault::lose_commit_reply());
    pool.get().await.unwrap();
    ran.cluster.inject(Fault::refuse(Refusal::NoSni).always());
    let error = transaction(pool, settled).await.unwrap_err();
    ran.cluster.clear_faults();
    ran.error(&error);
}

async fn checkouts(pool: &Pool, clock: &Clock, ran: &mut Ran) {
    // One checkout that is served from the queue, one that is not, and one that waits for a ping.
    let held = pool.get().await.unwrap();
    let get = async || pool.get().await;
    let (served, ()) = tokio::join!(get(), async { drop(held) });
    let held = served.unwrap();
    let error = pool.get_until(std::time::SystemTime::UNIX_EPOCH).await;
    ran.error(&error.unwrap_err());
    drop(held);
    clock.advance(Duration::from_secs(40));
    drop(pool.get().await.unwrap());
    clock.advance(Duration::from_secs(3600));
    ran.cluster.clock().advance(Duration::from_secs(3640));
    ran.cluster.inject(Fault::refuse(Refusal::WakingUp));
    // If only one Region were asleep, the other one would serve.
    ran.cluster
        .peer()
        .unwrap()
        .inject(Fault::refuse(Refusal::NoSni));
    drop(pool.get().await);
}

async fn regions(pool: &Pool, clock: &Clock, cluster: &LocalCluster) {
    let cut = Fault::at(Stage::Accept, Effect::Cut).always();
    cluster.peer().unwrap().clear_faults();
    cluster.inject(cut);
    cluster.cut_all();
    while pool.stats().failovers == 0 {
        let read_only = RetryPolicy::new().read_only();
        let read =
            pool.transaction_with(read_only, async |tx| tx.query_typed("SELECT 1", &[]).await);
        read.await.unwrap();
    }
    cluster.clear_faults();
    clock.advance(Duration::from_secs(6));
    while pool.stats().returns_home == 0 {
        select(pool).await;
    }
}

async fn refusals(config: &Config, stranger: &Credentials, ran: &mut Ran) {
    let admin = ran.cluster.admin();
    let (id, token) = (admin.access_key_id(), admin.session_token());
    let wrong = Credentials::new(id, WRONG_KEY, token.map(str::to_owned), None, "test");
    let forgotten = ran.cluster.identity("forgotten", &[Action::DbConnectAdmin]);
    ran.cluster.forget(&forgotten);
    ran.write(&wrong);
    for (config, reason) in [
        (config.clone().credentials(wrong), Reason::AccessDenied),
        (config.clone().credentials(Failing), Reason::Credentials),
        (
            config.clone().credentials(stranger.clone()),
            Reason::NotAuthorized,
        ),
        (
            config.clone().credentials(credentials(&forgotten)),
            Reason::AccessDenied,
        ),
        (config.clone().user("nobody"), Reason::WrongAction),
    ] {
        let error = config.connect().await.unwrap_err();
        let seen = error.reason().unwrap();
        let is_expected = seen == reason || !matches!(reason, Reason::Credentials);
        assert!(is_expected, "{error}");
        ran.error(&error);
    }
}

/// Enough shared pools for the warning.
fn many_pools(config: &Config) {
    for port in 1..=17 {
        Pool::shared(config.clone().port(port));
    }
}
