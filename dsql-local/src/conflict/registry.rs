//! The sessions of a cluster, as far as they can be in each other's way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::time::timeout;

use super::writes::{Change, Writes};

/// A cluster's sessions and the row locks that outlive their transactions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    members: Mutex<HashMap<u64, Arc<State>>>,
    /// Held by the one session that moves others aside.
    token: Arc<tokio::sync::Mutex<()>>,
    /// Counts joins, transactions and commits: a later number is a later event.
    clock: AtomicU64,
    /// What committed transactions had locked, by the time of the commit. The engine forgets it.
    locked: Mutex<Vec<(u64, Change)>>,
}

#[derive(Debug)]
struct State {
    /// When its transaction began; zero outside of one.
    begun: AtomicU64,
    has_run: AtomicBool,
    requests: mpsc::UnboundedSender<Request>,
}

/// A session's place in the registry, which it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    registry: Registry,
    id: u64,
    state: Arc<State>,
    requests: mpsc::UnboundedReceiver<Request>,
}

/// Asks a session to move its transaction aside.
#[derive(Debug)]
pub(crate) struct Request {
    /// A definition needs locks that exclude readers.
    pub(crate) for_definition: bool,
    /// Dropped when done.
    _done: oneshot::Sender<()>,
}

/// The right to move others aside.
pub(crate) type Token = OwnedMutexGuard<()>;

impl Registry {
    pub(crate) fn join(&self) -> Member {
        let (sender, requests) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            begun: AtomicU64::new(0),
            has_run: AtomicBool::new(false),
            requests: sender,
        });
        let id = self.tick();
        self.members().insert(id, state.clone());
        Member {
            registry: self.clone(),
            id,
            state,
            requests,
        }
    }

    fn tick(&self) -> u64 {
        self.shared.clock.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn members(&self) -> MutexGuard<'_, HashMap<u64, Arc<State>>> {
        lock(&self.shared.members)
    }
}

impl Member {
    /// Returns whether other sessions could be in the way.
    pub(crate) fn has_company(&self) -> bool {
        self.registry.members().len() > 1
    }

    pub(crate) fn begin(&self) {
        let now = self.registry.tick();
        self.state.has_run.store(false, Ordering::SeqCst);
        self.state.begun.store(now, Ordering::SeqCst);
    }

    /// Notes that the transaction may hold locks.
    pub(crate) fn ran(&self) {
        self.state.has_run.store(true, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.state.begun.store(0, Ordering::SeqCst);
    }

    /// Waits for the next request of another session.
    pub(crate) async fn requested(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            // The registry holds a sender for as long as this exists.
            None => std::future::pending().await,
        }
    }

    /// Returns the future of the token, which does not borrow the member.
    pub(crate) fn token(&self) -> impl Future<Output = Token> + use<> {
        self.registry.shared.token.clone().lock_owned()
    }

    /// Moves the other open transactions aside. One whose statement takes too long stays where it is.
    pub(crate) async fn clear_the_way(&self, _token: &Token, for_definition: bool) {
        let others: Vec<_> = self
            .registry
            .members()
            .iter()
            .filter(|(id, other)| {
                **id != self.id
                    && other.begun.load(Ordering::SeqCst) != 0
                    && other.has_run.load(Ordering::SeqCst)
            })
            .filter_map(|(_, other)| {
                let (sender, done) = oneshot::channel();
                let request = Request {
                    for_definition,
                    _done: sender,
                };
                other.requests.send(request).ok()?;
                Some(done)
            })
            .collect();
        for done in others {
            let _moved = timeout(LONGEST_MOVE, done).await;
        }
    }

    /// Keeps the row locks of a transaction that was committed, for the transactions that began before.
    pub(crate) fn keep_locks(&self, locks: Vec<Change>) {
        let now = self.registry.tick();
        lock(&self.registry.shared.locked).extend(locks.into_iter().map(|lock| (now, lock)));
    }

    /// Returns whether somebody's locks were committed since the transaction began.
    pub(crate) fn met_locks(&self) -> bool {
        let mut locked = lock(&self.registry.shared.locked);
        let oldest = self
            .registry
            .members()
            .values()
            .map(|other| other.begun.load(Ordering::SeqCst))
            .filter(|begun| *begun != 0)
            .min();
        locked.retain(|(committed, _)| oldest.is_some_and(|oldest| oldest < *committed));
        let begun = self.state.begun.load(Ordering::SeqCst);
        locked.iter().any(|(committed, _)| *committed > begun)
    }

    /// Returns pairs of a committed lock and a write of the same row, both since the transaction began.
    pub(crate) fn overlaps(&self, writes: &Writes) -> Vec<(Change, Change)> {
        let begun = self.state.begun.load(Ordering::SeqCst);
        let locked = lock(&self.registry.shared.locked);
        locked
            .iter()
            .filter(|(committed, _)| *committed > begun)
            .flat_map(|(_, lock)| {
                let same = writes
                    .changes()
                    .iter()
                    .filter(|change| change.is_of_the_row(lock));
                same.map(|change| (lock.clone(), change.clone()))
            })
            .collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.registry.members().remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const LONGEST_MOVE: Duration = Duration::from_secs(5);
