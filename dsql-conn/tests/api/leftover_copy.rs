//! COPY that is finished, unfinished or failed when the connection is returned.

use futures_util::{SinkExt, pin_mut};

use crate::leftovers::pool_with_short_settle_timeout;
use crate::support::{cluster, pool};

#[tokio::test]
async fn finished_copy_leaves_a_clean_connection() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    let copy = connection.copy_in::<_, bytes::Bytes>(COPY).await.unwrap();
    pin_mut!(copy);
    copy.send(bytes::Bytes::from_static(b"one\ntwo\n"))
        .await
        .unwrap();
    assert_eq!(copy.finish().await.unwrap(), 2);
    drop(connection);

    let connection = pool.get().await.unwrap();
    let rows = connection
        .query("SELECT text FROM note", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(cluster.counts().logins, 1, "on the same connection");
}

#[tokio::test]
async fn connection_with_an_unfinished_copy_is_closed() {
    let cluster = cluster().await;
    let pool = pool_with_short_settle_timeout(&cluster);
    let connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    let copy = connection.copy_in::<_, bytes::Bytes>(COPY).await.unwrap();
    drop(connection);
    let connection = pool.get().await.unwrap();
    let rows = connection
        .query("SELECT text FROM note", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 0);
    drop(copy);
}

/// The driver abandons such a COPY, and ends at the replies that it did not expect.
#[tokio::test]
async fn connection_whose_copy_failed_is_closed() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    for _ in 0..50 {
        let connection = pool.get().await.unwrap();
        let copy = connection
            .copy_in::<_, bytes::Bytes>("COPY nothing FROM STDIN")
            .await;
        assert!(copy.is_err());
        drop(connection);
        pool.get()
            .await
            .unwrap()
            .query("SELECT 1", &[])
            .await
            .unwrap();
    }
}

const COPY: &str = "COPY note FROM STDIN";
