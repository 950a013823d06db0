//! The Lambda's answers and its bootstrap, against a cluster that behaves like Aurora DSQL.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use dsql_conn::{Config, Connection, Pool};
use dsql_local::{Action, Effect, Fault, Identity, LocalCluster, Refusal, Stage};
use generate_game::bootstrap::{Grantee, Outcome, bootstrap};
use generate_game::http::answer;
use lambda_http::http::{StatusCode, header};
use lambda_http::{Body, Context, RequestExt, Response, request};
use serde_json::{Value, json};

#[tokio::test]
async fn second_bootstrap_changes_nothing() {
    let account = Account::new().await;
    let admin = account.admin().await;
    let first = bootstrap(&admin, &account.grantee()).await.unwrap();
    assert!(
        !first.iter().any(|step| step.outcome == Outcome::Present),
        "{first:?}"
    );
    let second = bootstrap(&admin, &account.grantee()).await.unwrap();
    assert!(
        !second.iter().any(|step| step.outcome == Outcome::Created),
        "{second:?}"
    );
    assert_eq!(first.len(), second.len());
}

#[tokio::test]
async fn bootstraps_that_race_both_succeed() {
    let account = Account::new().await;
    let (one, other) = tokio::join!(account.admin(), account.admin());
    let grantee = account.grantee();
    let (one, other) = tokio::join!(bootstrap(&one, &grantee), bootstrap(&other, &grantee));
    one.unwrap();
    other.unwrap();
    let answer = account.games().call("POST", "/games", "").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn migration_without_its_record_is_applied_again() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let saved = body(games.call("POST", "/games", "").await);
    let admin = account.admin().await;
    admin
        .batch_execute("DELETE FROM games.migrations")
        .await
        .unwrap();

    bootstrap(&admin, &account.grantee()).await.unwrap();

    let row = admin
        .query_one("SELECT count(*) FROM games.migrations", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
    let newest = body(games.call("GET", "/games", "").await);
    assert_eq!(newest["games"], json!([saved]));
}

#[tokio::test]
async fn saved_game_is_found_and_listed_newest_first() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    assert_eq!(
        body(games.call("GET", "/games", "").await),
        json!({ "games": [] })
    );

    let first = games.call("POST", "/games", r#"{"title":"Go"}"#).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    assert_eq!(first.headers()[header::CONTENT_TYPE], "application/json");
    let first = body(first);
    assert_eq!(first["title"], "Go");
    let second = body(games.call("POST", "/games", "").await);

    let found = games
        .call(
            "GET",
            &format!("/games/{}", first["id"].as_str().unwrap()),
            "",
        )
        .await;
    assert_eq!(found.status(), StatusCode::OK);
    assert_eq!(body(found), first);
    let all = body(games.call("GET", "/games", "").await);
    assert_eq!(all["games"], json!([second, first]));
    let newest = body(games.call("GET", "/games?limit=1", "").await);
    assert_eq!(newest["games"], json!([second]));
}

#[tokio::test]
async fn refusals_carry_the_request_id_and_open_no_connection() {
    let account = Account::new().await;
    let games = account.games();
    for (method, target, body_, status) in [
        ("POST", "/games", "{", StatusCode::BAD_REQUEST),
        ("GET", "/games/7", "", StatusCode::BAD_REQUEST),
        ("GET", "/games?limit=0", "", StatusCode::BAD_REQUEST),
        ("GET", "/players", "", StatusCode::NOT_FOUND),
        ("DELETE", "/games", "", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let answer = games.call(method, target, body_).await;
        assert_eq!(answer.status(), status, "{method} {target}");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            assert_eq!(answer.headers()[header::ALLOW], "GET, POST");
        }
        let body = body(answer);
        assert_eq!(body["request_id"], REQUEST_ID, "{body}");
        assert!(body["error"].is_string(), "{body}");
    }
    assert_eq!(account.cluster.counts().accepted, 0);
}

#[tokio::test]
async fn unknown_game_is_404() {
    let account = Account::bootstrapped().await;
    let unknown = format!("/games/{}", uuid::Uuid::nil());
    let answer = account.games().call("GET", &unknown, "").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(body(answer)["error"], "there is no game of this id");
}

#[tokio::test]
async fn missing_permission_is_503_and_says_so() {
    let account = Account::bootstrapped().await;
    let stranger = account.cluster.identity("stranger", &[]);
    let games = Games(Pool::lambda(
        config(&account.cluster, &stranger).user("game"),
    ));

    let answer = games.call("POST", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    let expected = json!({
        "error": "database unavailable",
        "reason": "not_authorized",
        "request_id": REQUEST_ID,
    });
    assert_eq!(body(answer), expected);
}

#[tokio::test]
async fn failed_statement_is_500_without_internals() {
    let account = Account::bootstrapped().await;
    let admin = account.admin().await;
    admin.batch_execute("DROP TABLE games.games").await.unwrap();

    let answer = account.games().call("GET", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.headers().contains_key(header::RETRY_AFTER));
    let expected = json!({ "error": "internal error", "request_id": REQUEST_ID });
    assert_eq!(body(answer), expected);
}

#[tokio::test]
async fn migration_behind_an_open_connection_is_not_noticed() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    games.call("POST", "/games", "").await;
    let admin = account.admin().await;
    admin
        .batch_execute("CREATE TABLE games.players (id uuid PRIMARY KEY)")
        .await
        .unwrap();

    let answer = games.call("POST", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::CREATED);
    let listed = body(games.call("GET", "/games", "").await);
    assert_eq!(listed["games"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn conflict_is_repeated_and_told_when_it_stays() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let conflict = Fault::refuse(Refusal::SchemaChanged);

    account.cluster.inject(conflict.clone());
    let answer = games.call("POST", "/games", "").await;
    assert_eq!(answer.status(), StatusCode::CREATED);

    account.cluster.inject(conflict.always());
    let answer = games.call("POST", "/games", "").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "conflict");
    account.cluster.clear_faults();

    let listed = body(games.call("GET", "/games", "").await);
    assert_eq!(listed["games"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn connection_lost_while_saving_is_an_unknown_outcome() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    games.call("POST", "/games", "").await;

    account
        .cluster
        .inject(Fault::at(Stage::Statement, Effect::Cut));
    let answer = games.call("POST", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "outcome_unknown");
    let next = games.call("POST", "/games", "").await;
    assert_eq!(next.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn stalled_statement_is_answered_before_the_deadline() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    games.call("POST", "/games", "").await;

    account
        .cluster
        .inject(Fault::at(Stage::Statement, Effect::Stall));
    let deadline = SystemTime::now() + Duration::from_millis(600);
    let answer = games.call_by(deadline, "GET", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "no_answer");
    let next = games.call("GET", "/games", "").await;
    assert_eq!(next.status(), StatusCode::OK);
}

#[tokio::test]
async fn warm_invocation_is_one_flight() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let saved = body(games.call("POST", "/games", "").await);
    let found = format!("/games/{}", saved["id"].as_str().unwrap());
    for (method, target) in [
        ("POST", "/games"),
        ("GET", &found),
        ("GET", "/games?limit=2"),
    ] {
        games.call(method, target, "").await;
    }
    let flights: Vec<_> = account
        .cluster
        .connections()
        .into_iter()
        .filter(|connection| connection.user.as_deref() == Some("game"))
        .map(|connection| connection.flights.len())
        .collect();
    assert_eq!(flights, [4]);
}

/// An AWS account with a cluster, its admin and the role of the Lambda.
struct Account {
    cluster: LocalCluster,
    function: Identity,
}

impl Account {
    async fn new() -> Self {
        let cluster = LocalCluster::start().await.unwrap();
        let function = cluster.identity("generate-game", &[Action::DbConnect]);
        Self { cluster, function }
    }

    async fn bootstrapped() -> Self {
        let account = Self::new().await;
        let admin = account.admin().await;
        bootstrap(&admin, &account.grantee()).await.unwrap();
        account
    }

    async fn admin(&self) -> Connection {
        config(&self.cluster, self.cluster.admin())
            .connect()
            .await
            .unwrap()
    }

    fn grantee(&self) -> Grantee {
        Grantee {
            role: "game".parse().unwrap(),
            arn: self.function.arn().parse().unwrap(),
        }
    }

    fn games(&self) -> Games {
        let config = config(&self.cluster, &self.function);
        Games(Pool::lambda(config.user("game").search_path("games")))
    }
}

/// The Lambda, less its runtime.
struct Games(Pool);

impl Games {
    async fn call(&self, method: &str, target: &str, body: &str) -> Response<Body> {
        let generous = SystemTime::now() + Duration::from_secs(60);
        self.call_by(generous, method, target, body).await
    }

    async fn call_by(
        &self,
        deadline: SystemTime,
        method: &str,
        target: &str,
        body: &str,
    ) -> Response<Body> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Value = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let event = json!({
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": method,
            "headers": {},
            "multiValueHeaders": {},
            "queryStringParameters": query,
            "requestContext": { "stage": "prod", "httpMethod": method },
            "body": body,
            "isBase64Encoded": false,
        });
        let mut context = Context::default();
        context.request_id = REQUEST_ID.to_owned();
        context.deadline = deadline
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_millis()
            .try_into()
            .unwrap();
        let request = request::from_str(&event.to_string()).unwrap();
        answer(&request.with_lambda_context(context), &self.0).await
    }
}

fn config(cluster: &LocalCluster, identity: &Identity) -> Config {
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

fn body(response: Response<Body>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
