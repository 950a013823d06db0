//! Requests to the server while its cluster fails in many ways.

use std::time::{Duration, SystemTime};

use axum::Router;
use dsql_conn::{Pool, StatementSpans};
use dsql_local::{Direction, Effect, Fault, LocalCluster, Refusal, Stage};
use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use server::{app, notes, telemetry};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

use crate::support::{Answer, config, get, post};

/// What was seen of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) steps: Vec<Step>,
    /// The page of metrics at the end.
    pub(crate) metrics: String,
    /// The spans of the request that met several faults.
    pub(crate) slow: Vec<SpanData>,
}

/// A request, what happened meanwhile, and the response.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) request: &'static str,
    pub(crate) meanwhile: &'static str,
    pub(crate) answer: Answer,
}

/// A run in progress.
struct Run {
    cluster: LocalCluster,
    pool: Pool,
    app: Router,
    /// Another pool, whose callers do not wait for long, and its routes.
    small: Pool,
    small_app: Router,
    spans: InMemorySpanExporter,
    steps: Vec<Step>,
}

/// Runs all steps, one after the other.
pub(crate) async fn run() -> Seen {
    let recorder = telemetry::recorder().unwrap().build_recorder();
    let handle = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let spans = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(spans.clone())
        .build();
    let subscriber = registry().with(telemetry::traces(&provider));
    let _tracing = tracing::subscriber::set_default(subscriber);

    let mut run = Run::start(spans, handle).await;
    run.conflicts().await;
    run.lost_commits().await;
    let slow = run.several_faults().await;
    run.checkouts().await;
    run.regions().await;
    Seen {
        metrics: get(&run.app, "/metrics").await.body,
        steps: run.steps,
        slow,
    }
}

impl Run {
    async fn start(spans: InMemorySpanExporter, handle: PrometheusHandle) -> Self {
        let cluster = LocalCluster::builder().id(HOME).peer_region("us-west-2");
        let cluster = cluster.start().await.unwrap();
        let config = config(&cluster)
            .statement_spans(StatementSpans::WithSummary)
            .connect_timeout(LONG);
        let pool = |name, timeout| {
            let pool = Pool::builder(config.clone()).name(name).max_size(1);
            pool.checkout_timeout(timeout).build()
        };
        let small = pool("small", Duration::from_millis(100));
        let pool = pool("notes", LONG);
        notes::create_tables(&pool).await.unwrap();
        Self {
            app: app(pool.clone(), handle.clone()),
            small_app: app(small.clone(), handle),
            small,
            cluster,
            pool,
            spans,
            steps: Vec::new(),
        }
    }

    async fn post(&mut self, title: &str, meanwhile: &'static str) {
        let answer = post(&self.app, title).await;
        self.seen("POST /notes", meanwhile, answer);
    }

    async fn get(&mut self, meanwhile: &'static str) {
        let answer = get(&self.app, "/notes").await;
        self.seen("GET /notes", meanwhile, answer);
    }

    fn seen(&mut self, request: &'static str, meanwhile: &'static str, answer: Answer) {
        self.cluster.clear_faults();
        self.steps.push(Step {
            request,
            meanwhile,
            answer,
        });
    }

    async fn conflicts(&mut self) {
        self.post("one", "nothing").await;
        self.cluster.inject(Fault::conflict_commits(2));
        self.post("two", "two conflicts with other transactions")
            .await;
        self.cluster.inject(Fault::conflict_commits(99));
        self.post("three", "conflicts until the attempts were used up")
            .await;
        self.cluster
            .inject(Fault::at(Stage::Statement, Effect::Cut));
        self.get("the connection was lost during the statement")
            .await;
    }

    async fn lost_commits(&mut self) {
        self.cluster.inject(Fault::lose_commit_reply());
        self.post("four", "the reply to COMMIT was lost after it was applied")
            .await;
        self.cluster.inject(Fault::at(Stage::Commit, Effect::Cut));
        self.post("five", "COMMIT itself was lost").await;
        // The commit cannot be settled, because no connection can be opened any more.
        self.cluster.inject(Fault::lose_commit_reply());
        self.cluster.inject(Fault::refuse(Refusal::NoSni).always());
        self.post(
            "six",
            "the reply was lost, and no connection could be opened to look",
        )
        .await;
    }

    /// Returns the spans of one request that needs a new connection, is refused, connects slowly,
    /// conflicts, and loses the reply to its COMMIT.
    async fn several_faults(&mut self) -> Vec<SpanData> {
        self.get("nothing").await;
        self.cluster.cut_all();
        while self.pool.stats().connections > 0 {
            tokio::task::yield_now().await;
        }
        self.cluster.inject(Fault::refuse(Refusal::RateExceeded));
        let slow = Fault::delay(Direction::ToClient, SLOW);
        self.cluster.inject(slow.always());
        self.cluster.inject(Fault::conflict_commits(1));
        self.cluster.inject(Fault::lose_commit_reply());
        self.spans.reset();
        self.post("seven", super::page::SLOW).await;
        self.spans.get_finished_spans().unwrap()
    }

    async fn checkouts(&mut self) {
        let held = self.small.get_until(SystemTime::now() + LONG).await;
        let answer = get(&self.small_app, "/notes").await;
        drop(held.unwrap());
        self.seen(
            "GET /notes",
            "the only connection of a pool was in use",
            answer,
        );
    }

    async fn regions(&mut self) {
        self.cluster
            .inject(Fault::at(Stage::Accept, Effect::Cut).always());
        self.cluster.cut_all();
        self.get("the home Region was away").await;
    }
}

/// Fixed, because it is written into the documentation.
const HOME: &str = "abcdefghijklmnopqrstuvwx23";

/// A timeout that is not reached.
const LONG: Duration = Duration::from_secs(60);

/// By how much the network delays each reply in the slow request.
const SLOW: Duration = Duration::from_millis(15);
