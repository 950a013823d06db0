//! The AWS side of the tests: an account with a cluster and two identities, and the Lambda without
//! its runtime.

use std::fs;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use dsql_conn::{Config, Connection, Pool};
use dsql_local::{Action, Direction, Fault, Identity, LocalCluster};
use generate_game::bootstrap::{Grantee, bootstrap};
use generate_game::http::answer;
use generate_game::route::with_repeated_headers;
use lambda_http::request::LambdaRequest;
use lambda_http::{Body, Context, Request, RequestExt, Response};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// An AWS account with a cluster, its admin and the role of the Lambda.
pub(crate) struct Account {
    pub(crate) cluster: LocalCluster,
    pub(crate) function: Identity,
}

impl Account {
    pub(crate) async fn new() -> Self {
        let cluster = LocalCluster::start().await.unwrap();
        let function = cluster.identity("generate-game", &[Action::DbConnect]);
        Self { cluster, function }
    }

    pub(crate) async fn bootstrapped() -> Self {
        let account = Self::new().await;
        let mut admin = account.admin().await;
        bootstrap(&mut admin, &account.grantee()).await.unwrap();
        account
    }

    pub(crate) async fn admin(&self) -> Connection {
        config(&self.cluster, self.cluster.admin())
            .connect()
            .await
            .unwrap()
    }

    /// Starts the deployed program, with the environment of a deployment.
    pub(crate) fn start_bootstrap(&self) -> Child {
        self.command(env!("CARGO_BIN_EXE_bootstrap"), self.cluster.admin())
            .env("GAME_ROLE_ARN", self.function.arn())
            .spawn()
            .unwrap()
    }

    /// Prepares a program with the environment of a deployment, as an IAM identity.
    pub(crate) fn command(&self, program: &str, identity: &Identity) -> Command {
        let authority = self.cluster.folder().join("authority.pem");
        fs::write(&authority, self.cluster.ca_pem()).unwrap();
        let token = identity.session_token();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("AWS_REGION", self.cluster.region())
            .env("AWS_ACCESS_KEY_ID", identity.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", identity.secret_access_key())
            .envs(token.map(|token| ("AWS_SESSION_TOKEN", token)))
            .env("DSQL_ENDPOINT", self.cluster.endpoint())
            .env("DSQL_HOSTADDR", self.cluster.address().ip().to_string())
            .env("DSQL_PORT", self.cluster.address().port().to_string())
            .env("DSQL_CA_FILE", authority)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run_bootstrap(&self) -> Output {
        self.start_bootstrap().wait_with_output().await.unwrap()
    }

    /// Returns everything that a bootstrap creates.
    pub(crate) async fn made(&self) -> Vec<Vec<Option<String>>> {
        let sql = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'games'),
                          (SELECT count(*) FROM pg_tables WHERE schemaname = 'games'),
                          (SELECT count(*) FROM pg_indexes WHERE indexname = 'games_newest'),
                          (SELECT count(*) FROM games.dsql_migrations),
                          (SELECT count(*) FROM pg_roles WHERE rolname = 'game' AND rolcanlogin),
                          (SELECT string_agg(pg_role_name || ' ' || arn, ', ')
                           FROM sys.iam_pg_role_mappings),
                          (SELECT string_agg(privilege_type, ', ' ORDER BY privilege_type)
                           FROM information_schema.role_table_grants WHERE grantee = 'game'),
                          has_schema_privilege('game', 'games', 'USAGE'),
                          (SELECT bool_and(indisvalid) FROM pg_index)";
        self.cluster.query(sql).await.unwrap()
    }

    /// Returns the state after one undisturbed bootstrap.
    pub(crate) fn one_of_each(&self) -> Vec<Vec<Option<String>>> {
        let trust = format!("game {}", self.function.arn());
        // Of games and of outcomes.
        let privileges = "DELETE, DELETE, INSERT, INSERT, SELECT, SELECT, UPDATE, UPDATE";
        let made = ["1", "3", "1", "4", "1", &trust, privileges, "t", "t"];
        vec![made.map(|text| Some(text.to_owned())).to_vec()]
    }

    pub(crate) fn grantee(&self) -> Grantee {
        Grantee {
            role: "game".parse().unwrap(),
            arn: self.function.arn().parse().unwrap(),
        }
    }

    /// Makes the cluster apply statements and lose the replies, this many times.
    pub(crate) async fn lose_answers(&self, times: u64) {
        let lost = Fault::delay(Direction::ToClient, Duration::from_secs(60));
        for struck in 0..times {
            self.cluster.inject(lost.clone());
            // PostgreSQL sends nothing before it has applied the statement.
            while self.cluster.struck(&lost) == struck {
                sleep(Duration::from_millis(1)).await;
            }
            self.cluster.cut_all();
        }
    }

    /// Returns the IDs of all games.
    pub(crate) async fn saved(&self) -> Vec<String> {
        let sql = "SELECT id::text FROM games.games";
        let rows = self.cluster.query(sql).await.unwrap();
        rows.into_iter().flatten().flatten().collect()
    }

    /// Leaves the index as a run does that was killed right after creating it, with its job in this
    /// state.
    pub(crate) async fn forget_index(&self, job: &str) {
        for statement in [
            "DELETE FROM games.dsql_migrations WHERE name = '0002_games_newest'",
            "UPDATE pg_index SET indisvalid = false
             WHERE indexrelid = 'games.games_newest'::regclass",
            &format!("UPDATE pg_toast.dsql_jobs SET status = '{job}'"),
        ] {
            self.cluster.query(statement).await.unwrap();
        }
    }

    /// Returns which index serves the list of games, and whether it is valid.
    pub(crate) async fn index(&self) -> [Option<String>; 2] {
        let sql = "SELECT indexrelid, indisvalid FROM pg_index
                   WHERE indexrelid = 'games.games_newest'::regclass";
        let rows = self.cluster.query(sql).await.unwrap();
        rows[0].clone().try_into().unwrap()
    }

    /// Returns how many migrations are recorded.
    pub(crate) async fn migrations(&self) -> usize {
        let sql = "SELECT FROM games.dsql_migrations WHERE claim IS NULL";
        self.cluster.query(sql).await.unwrap().len()
    }

    /// Returns how many statements each connection of the Lambda has sent.
    pub(crate) fn flights(&self) -> Vec<usize> {
        let mut connections = self.cluster.connections();
        connections.retain(|connection| connection.user.as_deref() == Some("game"));
        connections
            .iter()
            .map(|connection| connection.flights.len())
            .collect()
    }

    pub(crate) fn games(&self) -> Games {
        let config = config(&self.cluster, &self.function);
        Games(Pool::lambda(config.user("game").search_path("games")).build())
    }
}

/// The Lambda, without its runtime.
pub(crate) struct Games(pub(crate) Pool);

impl Games {
    pub(crate) async fn call(&self, method: &str, target: &str, body: &str) -> Response<Body> {
        let generous = SystemTime::now() + Duration::from_secs(60);
        self.call_by(generous, method, target, body).await
    }

    pub(crate) async fn call_by(
        &self,
        deadline: SystemTime,
        method: &str,
        target: &str,
        body: &str,
    ) -> Response<Body> {
        self.send(deadline, &event(method, target, body)).await
    }

    /// Calls with an additional header.
    pub(crate) async fn call_with(
        &self,
        (header, value): (&str, &str),
        method: &str,
        target: &str,
        body: &str,
    ) -> Response<Body> {
        let mut event = event(method, target, body);
        event["multiValueHeaders"][header] = json!([value]);
        let generous = SystemTime::now() + Duration::from_secs(60);
        self.send(generous, &event).await
    }

    /// Posts a game under keys of a caller.
    pub(crate) async fn post(&self, caller: &str, keys: &[&str], body: &str) -> Response<Body> {
        let generous = SystemTime::now() + Duration::from_secs(60);
        self.send(generous, &keyed(caller, keys, body)).await
    }

    /// Passes the event as Lambda does.
    pub(crate) async fn send(&self, deadline: SystemTime, event: &Value) -> Response<Body> {
        let mut context = Context::default();
        context.request_id = "lambda-s-own".to_owned();
        context.deadline = deadline
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_millis()
            .try_into()
            .unwrap();
        let event: LambdaRequest = serde_json::from_str(&event.to_string()).unwrap();
        let request = Request::from(with_repeated_headers(event));
        answer(&request.with_lambda_context(context), &self.0).await
    }
}

/// The event of a REST API.
pub(crate) fn event(method: &str, target: &str, body: &str) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: Value = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    json!({
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": { "content-type": "application/json" },
        "multiValueHeaders": { "content-type": ["application/json"] },
        "queryStringParameters": query,
        "requestContext": {
            "stage": "prod",
            "httpMethod": method,
            "path": format!("/prod{path}"),
            "requestId": REQUEST_ID,
        },
        "body": body,
        "isBase64Encoded": false,
    })
}

/// The event of a REST API, from a client with an API key.
pub(crate) fn keyed(caller: &str, keys: &[&str], body: &str) -> Value {
    let mut event = event("POST", "/games", body);
    event["multiValueHeaders"]["x-api-key"] = json!([API_KEY]);
    event["multiValueHeaders"]["idempotency-KEY"] = json!(keys);
    event["requestContext"]["identity"] = json!({ "apiKeyId": caller, "apiKey": API_KEY });
    event
}

pub(crate) fn is_replayed(answer: &Response<Body>) -> bool {
    answer.headers().contains_key("idempotency-replayed")
}

pub(crate) fn config(cluster: &LocalCluster, identity: &Identity) -> Config {
    let credentials = Credentials::builder()
        .provider_name("dsql-local")
        .access_key_id(identity.access_key_id())
        .secret_access_key(identity.secret_access_key());
    let credentials = match identity.session_token() {
        Some(token) => credentials.session_token(token),
        None => credentials,
    };
    Config::new(cluster.endpoint().parse().unwrap())
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .root_certificates_pem(cluster.ca_pem().as_bytes())
        .unwrap()
        .credentials(credentials.build())
}

pub(crate) fn body(response: Response<Body>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

pub(crate) const API_KEY: &str = "the-secret-itself";

pub(crate) const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
