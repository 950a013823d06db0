//! Long round trips and blocked threads do not cost a connection.

use std::thread;
use std::time::Duration;

use dsql_conn::{Error, Pool};
use dsql_local::{Fault, LocalCluster};
use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::support::{Clock, cluster, config, notes, select, until};

/// Relays connections to the cluster with a round trip of 250 ms. Returns the relay's port.
async fn slow_relay(cluster: &LocalCluster) -> u16 {
    async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut bytes = [0; 16_384];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            sleep(Duration::from_millis(125)).await;
            if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    }

    let (listener, address) = (TcpListener::bind("127.0.0.1:0").await, cluster.address());
    let listener = listener.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(address).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(carry(from_client, to_server));
            tokio::spawn(carry(from_server, to_client));
        }
    });
    port
}

#[tokio::test]
async fn failures_over_a_slow_network_keep_the_connection() {
    let cluster = cluster().await;
    let setup = config(&cluster).connect().await.unwrap();
    setup
        .batch_execute("CREATE TABLE note (text text PRIMARY KEY)")
        .await
        .unwrap();
    drop(setup);
    let logins = cluster.counts().logins;
    // The default settle timeout follows the measured round trip.
    let pool = Pool::builder(config(&cluster).port(slow_relay(&cluster).await))
        .max_size(1)
        .build();

    let failed = pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Err::<(), _>(Error::PoolClosed)
    });
    assert!(matches!(failed.await, Err(Error::PoolClosed)));
    let refused = pool.transaction(async |tx| tx.query("SELECT nothing", &[]).await);
    assert!(matches!(refused.await, Err(Error::Query(_))));
    cluster.inject(Fault::conflict_commits(1));
    let body =
        async |tx: dsql_conn::Transaction| tx.execute("INSERT INTO note VALUES ('two')", &[]).await;
    pool.transaction(body).await.unwrap();
    assert_eq!(pool.stats().data_conflicts, 1);

    // Cancelled before COMMIT: its ROLLBACK is in flight at the next checkout.
    let seen = cluster.counts().statements;
    let dropped = pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('three')", &[]).await?;
        std::future::pending::<Result<(), Error>>().await
    });
    tokio::select! {
        _ = dropped => panic!("it was committed"),
        () = until(&cluster, |counts| counts.statements >= seen + 2) => {}
    }
    select(&pool).await;
    assert_eq!(pool.stats().closed, 0, "{:?}", pool.stats());
    assert_eq!(cluster.counts().logins, logins + 1);
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn pings_behind_a_blocked_thread_close_no_connection() {
    const SIZE: u64 = 10;
    const PING_TIMEOUT: Duration = Duration::from_secs(1);

    let cluster = cluster().await;
    let clock = Clock::default();
    // With the default delay another connection is opened long before a ping's timeout.
    let pool = Pool::builder(config(&cluster).time_source(clock.clone()))
        .checkout_timeout(Duration::from_secs(60))
        .ping_timeout(PING_TIMEOUT)
        .build();
    drop(join_all((0..SIZE).map(|_| pool.get())).await);
    assert_eq!(cluster.counts().logins, SIZE);
    clock.advance(Duration::from_secs(31));

    let pinged = join_all((0..SIZE).map(|_| pool.get()));
    let blocking = async {
        until(&cluster, |counts| counts.statements == SIZE).await;
        // All replies arrive while the thread is blocked and cannot read them.
        thread::sleep(PING_TIMEOUT + Duration::from_millis(200));
    };
    let (connections, ()) = tokio::join!(pinged, blocking);
    assert!(connections.iter().all(Result::is_ok));
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, SIZE));
}
