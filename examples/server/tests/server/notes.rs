//! Requests, and what a client gets when the cluster fails.

use axum::http::StatusCode;
use dsql_conn::Pool;
use dsql_local::{Fault, LocalCluster, Refusal};
use serde_json::json;

use crate::support::{config, get, post, routes, serve};

#[tokio::test]
async fn notes_are_saved_found_and_listed() {
    let cluster = LocalCluster::start().await.unwrap();
    let app = serve(&cluster).await;
    let saved = post(&app, "buy milk").await;
    assert_eq!(saved.status, StatusCode::CREATED, "{}", saved.body);
    let note = saved.json();
    assert_eq!(note["title"], "buy milk");

    let id = note["id"].as_str().unwrap();
    assert_eq!(get(&app, &format!("/notes/{id}")).await.json(), note);
    assert_eq!(get(&app, "/notes").await.json(), json!([note]));
}

#[tokio::test]
async fn refusals_of_the_application_have_their_own_status() {
    let cluster = LocalCluster::start().await.unwrap();
    let app = serve(&cluster).await;
    post(&app, "buy milk").await;
    let unknown = "/notes/00000000-0000-0000-0000-000000000000";
    for (answer, status) in [
        (post(&app, "buy milk").await, StatusCode::CONFLICT),
        (post(&app, "").await, StatusCode::UNPROCESSABLE_ENTITY),
        (get(&app, unknown).await, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn two_servers_that_start_at_once_create_the_tables() {
    let cluster = LocalCluster::start().await.unwrap();
    let (one, other) = tokio::join!(serve(&cluster), serve(&cluster));
    post(&one, "buy milk").await;
    assert_eq!(get(&other, "/notes").await.json()[0]["title"], "buy milk");
}

#[tokio::test]
async fn a_lost_reply_to_commit_saves_one_note() {
    let cluster = LocalCluster::start().await.unwrap();
    let app = serve(&cluster).await;
    cluster.inject(Fault::lose_commit_reply());
    let saved = post(&app, "buy milk").await;
    assert_eq!(saved.status, StatusCode::CREATED, "{}", saved.body);
    assert_eq!(get(&app, "/notes").await.json(), json!([saved.json()]));
}

#[tokio::test]
async fn a_refused_connection_is_answered_with_advice() {
    for (refusal, status, seconds) in [
        (Refusal::RateExceeded, StatusCode::TOO_MANY_REQUESTS, "5"),
        (Refusal::NoSni, StatusCode::SERVICE_UNAVAILABLE, "60"),
    ] {
        let cluster = LocalCluster::start().await.unwrap();
        cluster.inject(Fault::refuse(refusal).always());
        let timeout = std::time::Duration::from_millis(200);
        let pool = Pool::builder(config(&cluster).connect_timeout(timeout));
        let app = routes(pool.checkout_timeout(timeout).build());
        let answer = get(&app, "/notes").await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.headers["retry-after"], seconds);
        // The client learns nothing about the cluster.
        assert!(!answer.body.contains(cluster.cluster_id()));
    }
}

#[tokio::test]
async fn readiness_sends_nothing_to_the_cluster() {
    let cluster = LocalCluster::start().await.unwrap();
    let app = routes(Pool::new(config(&cluster)));
    assert_eq!(get(&app, "/ready").await.status, StatusCode::OK);
    assert_eq!(cluster.counts().accepted, 0);

    cluster.inject(Fault::refuse(Refusal::NoSni));
    get(&app, "/notes").await;
    let accepted = cluster.counts().accepted;
    let answer = get(&app, "/ready").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(cluster.counts().accepted, accepted);
}
