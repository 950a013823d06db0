//! Workers that handle a lost `COMMIT` in the usual wrong ways: the comparison finds their errors.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dsql_conn::{Error, Outcome, OutcomeId, Pool, RetryPolicy};
use dsql_local::{Effect, Fault, Late, LocalCluster, Stage};
use soak::{Books, CallResult, Entry, OUTCOMES, Opening, Transfer, Verdict, config, reconcile};

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

/// A cluster of two Regions with a bank of two accounts.
struct Bank {
    cluster: LocalCluster,
    pool: Pool,
}

impl Bank {
    async fn open() -> Self {
        let builder = LocalCluster::builder().peer_region("us-west-2");
        let cluster = builder.start().await.expect("the tests need PostgreSQL");
        let config = config(&cluster).unwrap();
        OPENING
            .write(&config.connect().await.unwrap())
            .await
            .unwrap();
        let pool = Pool::builder(config).max_size(2).build();
        Self { cluster, pool }
    }

    /// Transfers with a policy.
    async fn transfer(&self, policy: RetryPolicy) -> Result<(), Error> {
        let body = async |tx: dsql_conn::Transaction| TRANSFER.book(&tx).await;
        self.pool.transaction_with(policy, body).await
    }

    /// Transfers and inserts an outcome by hand.
    async fn transfer_with_outcome(&self, id: &str) -> Result<(), Error> {
        let body = async |tx: dsql_conn::Transaction| {
            TRANSFER.book(&tx).await?;
            let insert = "INSERT INTO outcomes (id, committed, at)";
            let insert = format!("{insert} VALUES ('{id}', true, now()) ON CONFLICT DO NOTHING");
            tx.batch_execute(&insert).await
        };
        self.pool.transaction(body).await
    }

    /// Refuses connections to the home Region.
    fn close_home(&self) {
        let refused = Fault::at(Stage::Accept, Effect::Cut);
        self.cluster.inject(refused.always());
    }

    /// Compares with a worker that reports the transfer as committed.
    async fn verdict(&self) -> Verdict {
        self.pool.close(Duration::from_secs(60)).await;
        let peer = self.cluster.peer().unwrap();
        while self.cluster.counts().open + peer.counts().open > 0 {
            tokio::task::yield_now().await;
        }
        let entry = Entry {
            transfer: TRANSFER,
            usage: "wrong",
            answer: CallResult::new(soak::Outcome::Committed, "committed"),
        };
        let books = Books::read(&self.cluster).await.unwrap();
        reconcile(&[entry], &books, OPENING)
    }

    async fn is_sound(&self) {
        let verdict = self.verdict().await;
        assert!(verdict.is_sound(), "{verdict:?}");
    }

    async fn is_doubled(&self) {
        let verdict = self.verdict().await;
        assert!(!verdict.is_sound());
        assert_eq!((verdict.lost, verdict.doubled), (vec![], vec![1]));
    }
}

/// Late enough for a look-up, and before the end of another run.
fn late() -> Fault {
    Fault::deliver_commit_late(Late::ByStatements(4))
}

fn is_unknown(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => false,
        Err(Error::CommitUnknown { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

/// An ID of now, by hand.
fn id(number: u16) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("9f0c2f1e-5b0a-8c3d-{number:04x}-{:012x}", now.as_millis())
}

#[tokio::test]
async fn a_worker_that_looks_without_a_tombstone_doubles_a_transfer() {
    let bank = Bank::open().await;
    bank.cluster.inject(late());
    for number in 0.. {
        let id = id(number);
        if !is_unknown(bank.transfer_with_outcome(&id).await) {
            break;
        }
        let look = format!("SELECT FROM outcomes WHERE id = '{id}'");
        let connection = bank.pool.get().await.unwrap();
        let found = connection.query_typed(&look, &[]).await.unwrap();
        assert_eq!(found.len(), 0);
    }
    bank.is_doubled().await;
}

#[tokio::test]
async fn a_worker_that_sweeps_too_early_doubles_a_transfer() {
    for is_swept in [false, true] {
        let bank = Bank::open().await;
        drop(bank.pool.get().await.unwrap());
        bank.cluster.inject(Fault::lose_commit_reply());
        bank.close_home();
        let refused = Fault::at(Stage::Accept, Effect::Cut);
        bank.cluster.peer().unwrap().inject(refused.always());
        let policy = RetryPolicy::new().outcomes(OUTCOMES);
        let result = bank.transfer(policy.timeout(Duration::from_secs(1))).await;
        let Err(Error::CommitUnknown { id: Some(id), .. }) = result else {
            panic!("{result:?}");
        };
        bank.cluster.clear_faults();
        bank.cluster.peer().unwrap().clear_faults();
        let connection = bank.pool.get().await.unwrap();
        if is_swept {
            let sweep = "DELETE FROM outcomes";
            assert_eq!(connection.execute_typed(sweep, &[]).await.unwrap(), 1);
        }
        let outcome = OUTCOMES.settle(&connection, id).await.unwrap();
        drop(connection);
        match outcome {
            Outcome::Committed => bank.is_sound().await,
            Outcome::RolledBack => {
                assert!(is_swept);
                bank.transfer(policy).await.unwrap();
                bank.is_doubled().await;
            }
        }
    }
}

#[tokio::test]
async fn a_worker_with_the_same_id_for_the_next_run_doubles_a_transfer() {
    for is_same in [false, true] {
        let bank = Bank::open().await;
        bank.cluster.inject(Fault::at(Stage::Commit, Effect::Cut));
        bank.cluster.inject(Fault::lose_commit_reply());
        let first = id(0);
        for number in 0.. {
            let id = match is_same {
                true => first.clone(),
                false => id(number),
            };
            if !is_unknown(bank.transfer_with_outcome(&id).await) {
                break;
            }
            let id: OutcomeId = id.parse().unwrap();
            let connection = bank.pool.get().await.unwrap();
            if OUTCOMES.settle(&connection, id).await.unwrap() == Outcome::Committed {
                break;
            }
        }
        match is_same {
            // The tombstone of the first run also counts for the second one.
            true => bank.is_doubled().await,
            false => bank.is_sound().await,
        }
    }
}

#[tokio::test]
async fn a_worker_that_runs_a_lost_commit_again_at_the_peer_doubles_a_transfer() {
    let bank = Bank::open().await;
    drop(bank.pool.get().await.unwrap());
    bank.cluster.inject(Fault::lose_commit_reply());
    bank.close_home();
    while is_unknown(bank.transfer(RetryPolicy::new()).await) {}
    assert_eq!(bank.pool.stats().failovers, 1);
    bank.is_doubled().await;
}

#[tokio::test]
async fn a_worker_with_an_outcome_table_is_right_in_each_case() {
    let late = Fault::deliver_commit_late(Late::By(Duration::from_millis(30)));
    let lost = || Fault::lose_commit_reply();
    let cut = || Fault::at(Stage::Commit, Effect::Cut);
    let home_is_gone = || Fault::at(Stage::Accept, Effect::Cut).always();
    for faults in [
        vec![late.clone()],
        vec![cut(), lost()],
        vec![lost(), home_is_gone()],
        vec![late.clone(), home_is_gone()],
        vec![cut(), home_is_gone()],
    ] {
        let bank = Bank::open().await;
        drop(bank.pool.get().await.unwrap());
        for fault in faults {
            bank.cluster.inject(fault);
        }
        let policy = RetryPolicy::new().outcomes(OUTCOMES);
        bank.transfer(policy).await.unwrap();
        bank.is_sound().await;
    }
}
