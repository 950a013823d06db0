//! Workers that use the driver alone, in the two usual wrong ways: the comparison finds their
//! errors.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dsql_conn::rustls::{self, ClientConfig, RootCertStore};
use dsql_conn::tokio_postgres::config::{SslMode, SslNegotiation};
use dsql_conn::tokio_postgres::{Client, Config, Error};
use dsql_local::{Action, Fault, LocalCluster, sign};
use soak::{
    BALANCE, Books, COLLIDE, CallResult, Entry, Opening, Outcome, RECORD, SET_BALANCE, Transfer,
    Verdict, reconcile,
};
use tokio_postgres_rustls::MakeRustlsConnect;

const OPENING: Opening = Opening {
    accounts: 2,
    balance: 100,
};
const TRANSFER: Transfer = Transfer {
    id: 1,
    from: 1,
    to: 2,
    amount: 30,
};

/// A cluster with a bank of two accounts.
async fn bank() -> LocalCluster {
    let cluster = LocalCluster::start()
        .await
        .expect("the tests need a PostgreSQL on this machine");
    let admin = cluster.admin();
    let credentials = dsql_conn::Credentials::new(
        admin.access_key_id(),
        admin.secret_access_key(),
        admin.session_token().map(str::to_owned),
        None,
        "test",
    );
    let connection = dsql_conn::Config::new(cluster.endpoint().parse().unwrap())
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .root_certificates([cluster.ca_der().clone()])
        .unwrap()
        .credentials(credentials)
        .connect_timeout(Duration::from_secs(60))
        .connect()
        .await
        .unwrap();
    OPENING.write(&connection).await.unwrap();
    cluster
}

/// Connects as a program without this crate does.
async fn connect(cluster: &LocalCluster) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(cluster.ca_der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"postgresql".to_vec()];
    let token = sign(
        cluster.admin(),
        cluster.endpoint(),
        cluster.region(),
        Action::DbConnectAdmin,
        SystemTime::now(),
        Duration::from_secs(900),
    );
    let (client, connection) = Config::new()
        .host(cluster.endpoint())
        .hostaddr(cluster.address().ip())
        .port(cluster.address().port())
        .user("admin")
        .password(token)
        .dbname("postgres")
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .connect(MakeRustlsConnect::new(tls))
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// Begins a transaction and writes the transfer.
async fn write(client: &Client) -> Result<(), Error> {
    let Transfer {
        id,
        from,
        to,
        amount,
    } = TRANSFER;
    client.batch_execute("BEGIN").await?;
    for (account, change) in [(from, -amount), (to, amount)] {
        let balance: i64 = client.query_one(BALANCE, &[&account]).await?.get(0);
        let balance = balance + change;
        client.execute(SET_BALANCE, &[&account, &balance]).await?;
    }
    client.execute(RECORD, &[&id, &from, &to, &amount]).await?;
    Ok(())
}

/// Compares the final state with a worker that reports the transfer as committed.
async fn verdict(cluster: &LocalCluster) -> Verdict {
    let entry = Entry {
        transfer: TRANSFER,
        usage: "wrong",
        answer: CallResult::new(Outcome::Committed, "committed"),
    };
    reconcile(&[entry], &Books::read(cluster).await.unwrap(), OPENING)
}

#[tokio::test]
async fn a_worker_that_drops_the_tag_of_commit_loses_a_transfer() {
    let cluster = bank().await;
    let client = connect(&cluster).await;
    write(&client).await.unwrap();
    let _ = client.execute(COLLIDE, &[]).await;
    client
        .batch_execute("COMMIT")
        .await
        .expect("the driver calls it a success, though the server answered ROLLBACK");
    let verdict = verdict(&cluster).await;
    assert!(!verdict.is_sound());
    assert_eq!((verdict.lost, verdict.doubled), (vec![1], vec![]));
}

#[tokio::test]
async fn a_worker_that_retries_a_lost_commit_doubles_a_transfer() {
    let cluster = bank().await;
    cluster.inject(Fault::lose_commit_reply());
    loop {
        let client = connect(&cluster).await;
        write(&client).await.unwrap();
        if client.batch_execute("COMMIT").await.is_ok() {
            break;
        }
    }
    let verdict = verdict(&cluster).await;
    assert!(!verdict.is_sound());
    assert_eq!((verdict.lost, verdict.doubled), (vec![], vec![1]));
}
