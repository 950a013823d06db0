//! The Lambda on a cluster of two Regions.

use dsql_conn::{Peer, Pool};
use dsql_local::{Action, Effect, Fault, LocalCluster, Stage};
use generate_game::bootstrap::bootstrap;
use lambda_http::http::StatusCode;
use serde_json::json;

use crate::account::{Account, Games, body, config};

#[tokio::test]
async fn requests_are_answered_while_the_home_region_is_gone() {
    let cluster = LocalCluster::builder()
        .region("us-east-1")
        .peer_region("us-west-2");
    let cluster = cluster.start().await.unwrap();
    let function = cluster.identity("generate-game", &[Action::DbConnect]);
    let account = Account { cluster, function };
    let mut admin = account.admin().await;
    bootstrap(&mut admin, &account.grantee()).await.unwrap();

    let other = account.cluster.peer().unwrap();
    let peer = Peer::new(other.endpoint().parse().unwrap())
        .address(other.address().ip())
        .port(other.address().port());
    let config = config(&account.cluster, &account.function).peer(peer);
    let config = config.unwrap().user("game").search_path("games");
    let games = Games(Pool::lambda(config).build());
    let before = games.call("POST", "/games", "").await;
    assert_eq!(before.status(), StatusCode::CREATED);
    assert_eq!(games.0.stats().failovers, 0);

    let gone = Fault::at(Stage::Accept, Effect::Cut);
    account.cluster.inject(gone.always());
    account.cluster.cut_all();

    let meanwhile = games.call("POST", "/games", "").await;
    assert_eq!(meanwhile.status(), StatusCode::CREATED);
    let all = games.call("GET", "/games", "").await;
    assert_eq!(all.status(), StatusCode::OK);
    assert_eq!(body(all)["games"], json!([body(meanwhile), body(before)]));
    let stats = games.0.stats();
    assert_eq!((stats.failovers, stats.returns_home), (1, 0));
}
