//! Queries that clorinde turned into functions.
//!
//! `clorinde/generated` is its output for `clorinde/queries`, by clorinde 2.0 and a PostgreSQL that
//! has the tables of `clorinde/schema.sql`. It connects without TLS, so that neither the service
//! nor dsql-local will do. In the folder `clorinde`:
//!
//! ```console
//! $ clorinde live postgres://postgres@localhost/postgres
//! ```

use dsql_conn::{Error, Pool};
use friends_queries::queries::games::{add_game, games_for, set_players};
use uuid::Uuid;

#[tokio::test]
async fn queries_of_clorinde_run_on_a_connection_and_in_a_transaction() {
    let (_cluster, config) = guide::cluster().await.unwrap();
    let pool = Pool::connect(config).await.unwrap();
    let mut connection = pool.get().await.unwrap();
    let create = include_str!("../clorinde/schema.sql");
    connection.execute_ddl(create).await.unwrap();

    // Its functions take the driver's client.
    let (chess, go) = (Uuid::new_v4(), Uuid::new_v4());
    let added = add_game().bind(&**connection, &chess, &"chess", &2).await;
    assert_eq!(added.unwrap(), 1);
    drop(connection);

    let changed = pool.transaction(async |tx| {
        add_game().bind(&**tx, &go, &"go", &2).await?;
        Ok(set_players().bind(&**tx, &4, &chess).await?)
    });
    assert_eq!(changed.await.unwrap(), 1);

    let failed = pool.transaction(async |tx| {
        set_players().bind(&**tx, &9, &go).await?;
        Ok(add_game().bind(&**tx, &chess, &"again", &9).await?)
    });
    let error: Error = failed.await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "23505");

    let connection = pool.get().await.unwrap();
    let games = games_for().bind(&**connection, &2).all().await.unwrap();
    let games: Vec<_> = games.iter().map(|it| (&*it.title, it.players)).collect();
    assert_eq!(games, [("chess", 4), ("go", 2)]);
}
