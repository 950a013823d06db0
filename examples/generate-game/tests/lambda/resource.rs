//! A game as a resource: versions, conditions, pages, and the lifetime of its key.

use std::time::{Duration, SystemTime};

use dsql_local::{Effect, Fault, Refusal, Stage};
use lambda_http::http::{StatusCode, header};
use lambda_http::{Body, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::account::{Account, Games, body, is_replayed, keyed};

#[tokio::test]
async fn created_game_says_where_and_which_version_it_is() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let created = games.call("POST", "/games", "").await;
    let tag = header_of(&created, "etag");
    assert_eq!(header_of(&created, "cache-control"), "no-store");
    let location = header_of(&created, "location");
    let path = location.strip_prefix("/prod").unwrap().to_owned();

    let found = games.call("GET", &path, "").await;
    assert_eq!(found.status(), StatusCode::OK);
    assert_eq!(header_of(&found, "etag"), tag);
    assert_eq!(header_of(&found, "cache-control"), "private, no-cache");
    assert_eq!(body(found), body(created));
}

#[tokio::test]
async fn unchanged_game_and_list_are_not_sent_again() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let path = created(&games).await;
    for target in [path.as_str(), "/games?limit=1"] {
        let tag = header_of(&games.call("GET", target, "").await, "etag");
        let known = ("if-none-match", tag.as_str());
        let again = games.call_with(known, "GET", target, "").await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{target}");
        assert_eq!(header_of(&again, "etag"), tag);
        assert!(again.body().is_empty());

        let update = UPDATE.replace("Go", target);
        let put = games
            .call_with(("if-match", "*"), "PUT", &path, &update)
            .await;
        assert_eq!(put.status(), StatusCode::OK);
        let changed = games.call_with(known, "GET", target, "").await;
        assert_eq!(changed.status(), StatusCode::OK, "{target}");
    }
}

#[tokio::test]
async fn game_is_replaced_only_if_its_version_matches() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let path = created(&games).await;
    let before = games.call("GET", &path, "").await;
    let tag = header_of(&before, "etag");
    let before = body(before);

    let put = games
        .call_with(("if-match", &tag), "PUT", &path, UPDATE)
        .await;
    assert_eq!(put.status(), StatusCode::OK);
    let new_tag = header_of(&put, "etag");
    assert_ne!(new_tag, tag);
    let mut expected: Value = serde_json::from_str(UPDATE).unwrap();
    expected["id"] = before["id"].clone();
    expected["created_at"] = before["created_at"].clone();
    assert_eq!(body(put), expected);

    let other = UPDATE.replace("Go", "Chess");
    let late = games
        .call_with(("if-match", &tag), "PUT", &path, &other)
        .await;
    assert_eq!(late.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(body(late)["reason"], "version_changed");
    let any = games
        .call_with(("if-match", "*"), "PUT", &path, &other)
        .await;
    assert_eq!(any.status(), StatusCode::OK);
    let weak = format!("W/{}", header_of(&any, "etag"));
    let weak = games
        .call_with(("if-match", &weak), "PUT", &path, UPDATE)
        .await;
    assert_eq!(weak.status(), StatusCode::PRECONDITION_FAILED);
    let now = body(games.call("GET", &path, "").await);
    assert_eq!(now["title"], "Chess");
}

#[tokio::test]
async fn game_is_deleted_only_if_its_version_matches() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let path = created(&games).await;
    let tag = header_of(&games.call("GET", &path, "").await, "etag");

    let unconditional = games.call("DELETE", &path, "").await;
    assert_eq!(unconditional.status(), StatusCode::PRECONDITION_REQUIRED);
    let other = games
        .call_with(("if-match", "\"99\""), "DELETE", &path, "")
        .await;
    assert_eq!(other.status(), StatusCode::PRECONDITION_FAILED);
    let deleted = games
        .call_with(("if-match", &tag), "DELETE", &path, "")
        .await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert!(deleted.body().is_empty());

    for (method, request) in [("GET", ""), ("PUT", UPDATE), ("DELETE", "")] {
        let gone = games
            .call_with(("if-match", "*"), method, &path, request)
            .await;
        assert_eq!(gone.status(), StatusCode::NOT_FOUND, "{method}");
    }
    assert!(account.saved().await.is_empty());
}

#[tokio::test]
async fn replacement_whose_answer_was_lost_is_answered_as_done() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let path = created(&games).await;
    let tag = header_of(&games.call("GET", &path, "").await, "etag");

    let put = games.call_with(("if-match", &tag), "PUT", &path, UPDATE);
    let (put, ()) = tokio::join!(put, account.lose_answers(1));
    assert_eq!(put.status(), StatusCode::OK);
    assert_eq!(header_of(&put, "etag"), "\"2\"");
    assert_eq!(body(put)["title"], "Go");
}

#[tokio::test]
async fn deletion_whose_answer_was_lost_is_answered_as_done() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let path = created(&games).await;
    let tag = header_of(&games.call("GET", &path, "").await, "etag");

    let delete = games.call_with(("if-match", &tag), "DELETE", &path, "");
    let (delete, ()) = tokio::join!(delete, account.lose_answers(1));
    assert_eq!(delete.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn pages_hold_every_game_once_while_games_are_added() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    for _ in 0..5 {
        created(&games).await;
    }
    // Two games of the same moment, ordered by their IDs.
    let same = "UPDATE games.games SET created_at = '2026-01-01 00:00:00.123456+00'
                WHERE id IN (SELECT id FROM games.games ORDER BY created_at LIMIT 2)";
    account.cluster.query(same).await.unwrap();
    let mut expected = account.saved().await;

    let mut seen = Vec::new();
    let mut target = "/games?limit=1".to_owned();
    loop {
        let page = games.call("GET", &target, "").await;
        assert_eq!(page.status(), StatusCode::OK);
        let link = page.headers().get(header::LINK).cloned();
        let page = body(page);
        let shown = page["games"].as_array().unwrap();
        seen.extend(
            shown
                .iter()
                .map(|game| game["id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["cursor"].as_str() else {
            assert_eq!(link, None);
            break;
        };
        let link = link.unwrap();
        let query = link.to_str().unwrap().strip_prefix('<').unwrap();
        let query = query.strip_suffix(">; rel=\"next\"").unwrap();
        assert_eq!(query, format!("?limit=1&cursor={cursor}"));
        target = format!("/games{query}");
        created(&games).await;
    }
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);

    // A full page that is the last one.
    let all = body(games.call("GET", "/games?limit=100", "").await);
    assert_eq!(all.get("cursor"), None);
}

#[tokio::test]
async fn key_expires_after_a_day() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let first = body(games.post("client", &["7"], "").await);
    let age = |age: &str| format!("UPDATE games.games SET created_at = now() - interval '{age}'");

    account
        .cluster
        .query(&age("23 hours 59 minutes"))
        .await
        .unwrap();
    let again = games.post("client", &["7"], "").await;
    assert!(is_replayed(&again));
    assert_eq!(body(again)["id"], first["id"]);

    account
        .cluster
        .query(&age("24 hours 1 minute"))
        .await
        .unwrap();
    let next = games.post("client", &["7"], r#"{"title":"Go"}"#).await;
    assert_eq!(next.status(), StatusCode::CREATED);
    assert!(!is_replayed(&next));
    let next = body(next);
    assert_ne!(next["id"], first["id"]);
    let same = games.post("client", &["7"], r#"{"title":"Go"}"#).await;
    assert_eq!(body(same), next);
    assert_eq!(account.saved().await.len(), 2);
}

#[tokio::test]
async fn idempotency_key_outlives_the_rotation_of_an_api_key() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let with_keys = |api_key: &str, keys: &str| {
        let mut event = keyed(api_key, &["7"], "");
        event["stageVariables"] = json!({ "caller_game": keys });
        event
    };
    let generous = SystemTime::now() + Duration::from_secs(60);
    let first = games.send(generous, &with_keys("old", "old")).await;
    let first = body(first);
    // Both keys are valid, then only the new one.
    for (api_key, keys) in [("new", "old,new"), ("old", "old,new"), ("new", "new")] {
        let again = games.send(generous, &with_keys(api_key, keys)).await;
        assert!(is_replayed(&again), "{api_key} {keys}");
        assert_eq!(body(again), first);
    }
    assert_eq!(account.saved().await.len(), 1);
}

#[tokio::test]
async fn outage_is_answered_long_before_the_functions_deadline() {
    let account = Account::bootstrapped().await;
    let faults = [
        Fault::at(Stage::Statement, Effect::Stall).always(),
        Fault::refuse(Refusal::WakingUp).always(),
    ];
    for fault in faults {
        let games = account.games();
        account.cluster.inject(fault);
        let far = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
        let answer = games.call_by(far, "GET", "/games", "");
        // Only prevents a hanging test.
        let answer = timeout(Duration::from_secs(60), answer).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(header_of(&answer, "retry-after"), "5");
        account.cluster.clear_faults();
    }
}

async fn created(games: &Games) -> String {
    let created = games.call("POST", "/games", "").await;
    assert_eq!(created.status(), StatusCode::CREATED);
    format!("/games/{}", body(created)["id"].as_str().unwrap())
}

fn header_of(answer: &Response<Body>, name: &str) -> String {
    answer.headers()[name].to_str().unwrap().to_owned()
}

const UPDATE: &str = r#"{"title":"Go","genre":"board","players":2,"minutes":60}"#;
