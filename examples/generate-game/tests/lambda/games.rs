//! The Lambda's responses.

use std::time::{Duration, SystemTime};

use dsql_conn::Pool;
use dsql_local::{Effect, Fault, Refusal, Stage};
use lambda_http::http::{StatusCode, header};
use serde_json::json;

use crate::account::{API_KEY, Account, Games, REQUEST_ID, body, config, is_replayed, keyed};

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
        let content_type = &answer.headers()[header::CONTENT_TYPE];
        assert_eq!(content_type, "application/problem+json");
        let body = body(answer);
        assert_eq!(body["request_id"], REQUEST_ID, "{body}");
        assert_eq!(body["status"], status.as_u16(), "{body}");
        assert!(body["detail"].is_string(), "{body}");
    }
    assert_eq!(account.cluster.counts().accepted, 0);
}

#[tokio::test]
async fn unknown_game_is_404() {
    let account = Account::bootstrapped().await;
    let unknown = format!("/games/{}", uuid::Uuid::nil());
    let answer = account.games().call("GET", &unknown, "").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(body(answer)["detail"], "there is no game of this id");
}

#[tokio::test]
async fn missing_permission_is_503_and_says_so() {
    let account = Account::bootstrapped().await;
    let unauthorized = account.cluster.identity("unauthorized", &[]);
    let config = config(&account.cluster, &unauthorized).user("game");
    let games = Games(Pool::lambda(config).build());

    let answer = games.call("POST", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    let expected = json!({
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "database unavailable",
        "reason": "not_authorized",
        "request_id": REQUEST_ID,
    });
    assert_eq!(body(answer), expected);
}

#[tokio::test]
async fn throttled_connect_is_429() {
    let account = Account::bootstrapped().await;
    account
        .cluster
        .inject(Fault::refuse(Refusal::RateExceeded).always());
    let games = account.games();

    let soon = SystemTime::now() + Duration::from_millis(600);
    let answer = games.call_by(soon, "POST", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "rate_exceeded");
}

#[tokio::test]
async fn deadline_before_the_request_is_none() {
    let account = Account::bootstrapped().await;
    let ten_past_1970 = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
    let answer = account
        .games()
        .call_by(ten_past_1970, "POST", "/games", "")
        .await;
    assert_eq!(answer.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn failed_statement_is_500_without_internals() {
    let account = Account::bootstrapped().await;
    let admin = account.admin().await;
    admin.batch_execute("DROP TABLE games.games").await.unwrap();

    let answer = account.games().call("GET", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.headers().contains_key(header::RETRY_AFTER));
    let expected = json!({
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "internal error",
        "request_id": REQUEST_ID,
    });
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
async fn conflict_is_retried_and_reported_if_it_persists() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let conflict = Fault::refuse(Refusal::SchemaChanged);

    account.cluster.inject(conflict.clone());
    let answer = games.call("POST", "/games", "").await;
    assert_eq!(answer.status(), StatusCode::CREATED);

    account.cluster.inject(conflict.always());
    let answer = games.call("POST", "/games", "").await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "conflict");
    account.cluster.clear_faults();

    let listed = body(games.call("GET", "/games", "").await);
    assert_eq!(listed["games"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn connection_lost_while_saving_is_replaced() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    games.call("POST", "/games", "").await;

    account
        .cluster
        .inject(Fault::at(Stage::Statement, Effect::Cut));
    let answer = games.call("POST", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(account.saved().await.len(), 2);
}

#[tokio::test]
async fn lost_commit_without_a_key_is_settled() {
    for lost in [
        Fault::lose_commit_reply(),
        Fault::at(Stage::Commit, Effect::Cut),
    ] {
        let account = Account::bootstrapped().await;
        account.cluster.inject(lost);

        let answer = account.games().call("POST", "/games", "").await;

        assert_eq!(answer.status(), StatusCode::CREATED);
        assert_eq!(json!(account.saved().await), json!([body(answer)["id"]]));
    }
}

#[tokio::test]
async fn commit_lost_in_an_outage_is_an_unknown_outcome() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    games.call("GET", "/games", "").await;
    account.cluster.inject(Fault::lose_commit_reply());
    let outage = Fault::at(Stage::Accept, Effect::Cut);
    account.cluster.inject(outage.always());

    let answer = games.call("POST", "/games", "").await;

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "outcome_unknown");
    assert_eq!(account.saved().await.len(), 1);
}

#[tokio::test]
async fn lost_reply_under_a_key_is_retried() {
    let account = Account::bootstrapped().await;
    let games = account.games();

    let post = games.post("client", &["7"], "");
    let (answer, ()) = tokio::join!(post, account.lose_answers(1));

    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(is_replayed(&answer));
    assert_eq!(json!(account.saved().await), json!([body(answer)["id"]]));
    // The insert; then, on another connection, the insert that changes nothing and the select.
    assert_eq!(account.flights(), [1, 2]);
}

#[tokio::test]
async fn unknown_outcome_under_a_key_may_be_repeated() {
    let account = Account::bootstrapped().await;
    let games = account.games();

    let post = games.post("client", &["7"], "");
    let (answer, ()) = tokio::join!(post, account.lose_answers(4));

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "outcome_unknown");
    let saved = account.saved().await;
    let again = games.post("client", &["7"], "").await;
    assert_eq!(again.status(), StatusCode::CREATED);
    assert!(is_replayed(&again));
    assert_eq!(json!(saved), json!([body(again)["id"]]));
    assert_eq!(account.saved().await, saved);
}

#[tokio::test]
async fn failed_connect_after_a_lost_reply_is_an_unknown_outcome() {
    let account = Account::bootstrapped().await;
    let games = account.games();

    let post = games.post("client", &["7"], "");
    let (answer, ()) = tokio::join!(post, async {
        account.lose_answers(1).await;
        account.cluster.forget(&account.function);
    });

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "outcome_unknown");
    // The insert, and connections that were refused.
    let flights = account.flights();
    assert!(matches!(flights[..], [1, 0, ..]), "{flights:?}");
    assert_eq!(account.saved().await.len(), 1);
}

#[tokio::test]
async fn unavailable_server_is_asked_again() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let unavailable = Fault::refuse(Refusal::ServerUnavailable);

    account.cluster.inject(unavailable.clone());
    let answer = games.post("client", &["7"], "").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(!is_replayed(&answer));

    account.cluster.inject(unavailable);
    let answer = games.call("POST", "/games", "").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(account.saved().await.len(), 2);
}

#[tokio::test]
async fn stalled_insert_under_a_key_may_be_asked_for_again() {
    let account = Account::bootstrapped().await;
    let games = account.games();

    account
        .cluster
        .inject(Fault::at(Stage::Statement, Effect::Stall));
    let deadline = SystemTime::now() + Duration::from_millis(900);
    let answer = games.send(deadline, &keyed("client", &["7"], "")).await;

    assert!(SystemTime::now() < deadline);
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "outcome_unknown");
    let again = games.post("client", &["7"], "").await;
    assert_eq!(again.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn read_that_lost_its_connection_is_run_again() {
    let account = Account::bootstrapped().await;
    let games = account.games();

    let list = games.call("GET", "/games", "");
    let (answer, ()) = tokio::join!(list, account.lose_answers(1));

    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn same_key_answers_the_same_game() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    for (key, request) in [("7", ""), ("8", r#"{"title":"Go"}"#)] {
        let first = games.post("client", &[key], request).await;
        assert_eq!(first.status(), StatusCode::CREATED);
        assert!(!is_replayed(&first));
        let first = body(first);
        for _ in 0..2 {
            let again = games.post("client", &[key], request).await;
            assert_eq!(again.status(), StatusCode::CREATED);
            assert!(is_replayed(&again));
            assert_eq!(body(again), first);
        }
    }
    assert_eq!(account.saved().await.len(), 2);
    // One for a new game, two for an existing one.
    assert_eq!(account.flights(), [2 * (1 + 2 + 2)]);
}

#[tokio::test]
async fn same_key_of_another_client_is_another_game() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let mut ids = Vec::new();
    for caller in ["one", "other", ""] {
        let answer = games.post(caller, &["7"], "").await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        assert!(!is_replayed(&answer));
        ids.push(body(answer)["id"].as_str().unwrap().to_owned());
    }
    let mut saved = account.saved().await;
    ids.sort();
    saved.sort();
    assert_eq!(ids, saved);

    let rows = "SELECT games::text FROM games.games games";
    let rows = account.cluster.query(rows).await.unwrap();
    assert!(!format!("{rows:?}").contains(API_KEY), "{rows:?}");
}

#[tokio::test]
async fn client_without_an_api_key_may_have_a_key() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let mut anonymous = keyed("", &["7"], "");
    anonymous["requestContext"]["identity"] = json!({ "apiKeyId": null });
    let generous = SystemTime::now() + Duration::from_secs(60);
    let first = body(games.send(generous, &anonymous).await);
    let again = games.send(generous, &anonymous).await;
    assert!(is_replayed(&again));
    assert_eq!(body(again), first);
}

#[tokio::test]
async fn key_of_a_game_of_another_title_is_422() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let made_up = body(games.post("client", &["made-up"], "").await);
    let its_title = json!({ "title": made_up["title"] }).to_string();
    let go = r#"{"title":"Go"}"#;
    let first = body(games.post("client", &["go"], go).await);

    for (key, request) in [
        ("go", r#"{"title":"go"}"#),
        ("go", ""),
        ("made-up", go),
        ("made-up", its_title.as_str()),
    ] {
        let answer = games.post("client", &[key], request).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!answer.headers().contains_key(header::RETRY_AFTER));
        let expected = json!({
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "this Idempotency-Key belongs to a game of another title: choose another key",
            "reason": "idempotency_key_taken",
            "request_id": REQUEST_ID,
        });
        assert_eq!(body(answer), expected, "{key} {request}");
    }

    let same = r#"{ "title": " Go " }"#;
    assert_eq!(body(games.post("client", &["go"], same).await), first);
    assert_eq!(account.saved().await.len(), 2);
}

#[tokio::test]
async fn requests_at_once_with_the_same_key_answer_the_same_game() {
    let account = Account::bootstrapped().await;
    let (one, other) = (account.games(), account.games());
    for key in 0..20 {
        let key = key.to_string();
        let keys = [key.as_str()];
        let post = |games| async move { Games::post(games, "client", &keys, "").await };
        let (first, second) = tokio::join!(post(&one), post(&other));
        assert_eq!(first.status(), StatusCode::CREATED);
        assert_eq!(second.status(), StatusCode::CREATED);
        assert!(is_replayed(&first) != is_replayed(&second));
        assert_eq!(body(first), body(second));
    }
    assert_eq!(account.saved().await.len(), 20);
}

#[tokio::test]
async fn first_commit_decides_the_game_of_a_key() {
    let account = Account::bootstrapped().await;
    let (one, other) = (account.games(), account.games());
    let slow = account.admin().await;
    slow.batch_execute("BEGIN").await.unwrap();
    slow.execute(
        "INSERT INTO games.games (title, genre, players, minutes, caller, idempotency_key)
         VALUES ('Go', 'board', 2, 60, 'client', '7')",
        &[],
    )
    .await
    .unwrap();

    let answer = one.post("client", &["7"], "").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let lost = slow.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(lost.server_error().unwrap().code().code(), "40001");

    let same = other.post("client", &["7"], "").await;
    assert!(is_replayed(&same));
    assert_eq!(body(same), body(answer));
    assert_eq!(account.saved().await.len(), 1);
}

#[tokio::test]
async fn bad_key_is_400_and_says_why() {
    let account = Account::new().await;
    let games = account.games();
    let too_long = "x".repeat(256);
    for (keys, why) in [
        (&["a b"][..], "visible"),
        (&["ключ"], "visible"),
        (&[""], "1 to 255"),
        (&[&too_long], "1 to 255"),
        (&["7", "8"], "more than one"),
        (&["7", "7"], "more than one"),
    ] {
        let answer = games.post("client", keys, "").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{keys:?}");
        let error = body(answer)["detail"].take();
        assert!(error.as_str().unwrap().contains(why), "{error}");
    }
    assert_eq!(account.cluster.counts().accepted, 0);
}

#[tokio::test]
async fn conflict_under_a_key_is_retried_and_reported() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let conflict = Fault::refuse(Refusal::Conflict);

    account.cluster.inject(conflict.clone().always());
    let answer = games.post("client", &["7"], "").await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(body(answer)["reason"], "conflict");
    account.cluster.clear_faults();

    account.cluster.inject(conflict);
    let answer = games.post("client", &["7"], "").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(!is_replayed(&answer));
    assert_eq!(account.saved().await.len(), 1);
}

#[tokio::test]
async fn missing_permission_is_met_once_under_a_key_too() {
    let account = Account::bootstrapped().await;
    let unauthorized = account.cluster.identity("unauthorized", &[]);
    let config = config(&account.cluster, &unauthorized).user("game");
    let games = Games(Pool::lambda(config).build());

    let answer = games.post("client", &["7"], "").await;

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body(answer)["reason"], "not_authorized");
    assert_eq!(account.flights(), [0]);
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
async fn warm_read_is_one_flight_and_a_write_two() {
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
    // Each POST has three requests: BEGIN with the insert, the outcome, and COMMIT with it.
    assert_eq!(account.flights(), [3 + 3 + 1 + 1]);
    let connections = account.cluster.connections();
    assert_eq!(connections.last().unwrap().pipelined, 2);
}
