//! The sessions of a cluster, as far as they can be in each other's way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::time::timeout;

use super::writes::Writes;

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
    /// What was committed while older transactions were open, by the time of the commit.
    committed: Mutex<Vec<(u64, Arc<Writes>)>>,
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

    /// Moves the other open transactions aside. One whose statement takes too long stays where it
    /// is.
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

    /// Returns whether transactions of other sessions are open.
    pub(crate) fn is_beside_others(&self) -> bool {
        let members = self.registry.members();
        let mut others = members.iter().filter(|(id, _)| **id != self.id);
        others.any(|(_, other)| other.begun.load(Ordering::SeqCst) != 0)
    }

    /// Returns the time of a commit that is about to be sent. One that began later may not see it.
    pub(crate) fn commit_time(&self) -> u64 {
        self.registry.tick()
    }

    /// Keeps what was committed, for the transactions that began before.
    pub(crate) fn committed(&self, at: u64, writes: Writes) {
        if !writes.is_empty() {
            lock(&self.registry.shared.committed).push((at, Arc::new(writes)));
        }
    }

    /// Returns what others committed since the transaction began.
    pub(crate) fn met(&self) -> Vec<Arc<Writes>> {
        let mut committed = lock(&self.registry.shared.committed);
        let begun = |state: &State| state.begun.load(Ordering::SeqCst);
        let oldest = {
            let members = self.registry.members();
            let open = members
                .values()
                .map(|other| begun(other))
                .filter(|begun| *begun != 0);
            open.min()
        };
        committed.retain(|(at, _)| oldest.is_some_and(|oldest| oldest < *at));
        let since = begun(&self.state);
        let met = committed.iter().filter(|(at, _)| *at > since);
        met.map(|(_, writes)| writes.clone()).collect()
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
