//! The sessions of a cluster whose transactions may meet, and the writes that they committed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::time::timeout;

use super::writes::Writes;

/// A cluster's sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    members: Mutex<HashMap<u64, Arc<State>>>,
    /// Held by the session that moves others aside.
    token: Arc<tokio::sync::Mutex<()>>,
    /// Numbers joins, transactions and commits in order.
    clock: AtomicU64,
    /// The writes that were committed while older transactions were open, with their commit time.
    committed: Mutex<Vec<(u64, Arc<Writes>)>>,
}

#[derive(Debug)]
struct State {
    /// The time when its transaction began, or zero outside of a transaction.
    begun: AtomicU64,
    has_run: AtomicBool,
    requests: mpsc::UnboundedSender<Request>,
}

/// A session in the registry.
#[derive(Debug)]
pub(crate) struct Member {
    registration: Arc<Registration>,
    state: Arc<State>,
    requests: mpsc::UnboundedReceiver<Request>,
}

/// Keeps a session in the registry, even after its [`Member`] was dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Registry,
    id: u64,
}

/// A request to a session to move its transaction aside.
#[derive(Debug)]
pub(crate) struct Request {
    /// The request comes from a definition, whose locks conflict with those of readers.
    pub(crate) for_definition: bool,
    /// Dropped when the transaction was moved.
    _done: oneshot::Sender<()>,
}

/// The right to move others aside.
#[derive(Debug)]
pub(crate) struct MoveToken(#[expect(dead_code, reason = "held for its Drop")] OwnedMutexGuard<()>);

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
        let registration = Arc::new(Registration {
            registry: self.clone(),
            id,
        });
        Member {
            registration,
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
    pub(crate) fn registration(&self) -> Arc<Registration> {
        Arc::clone(&self.registration)
    }

    fn registry(&self) -> &Registry {
        &self.registration.registry
    }

    /// Returns whether the cluster has other sessions.
    pub(crate) fn has_others(&self) -> bool {
        self.registry().members().len() > 1
    }

    pub(crate) fn begin(&self) {
        let now = self.registry().tick();
        self.state.has_run.store(false, Ordering::SeqCst);
        self.state.begun.store(now, Ordering::SeqCst);
    }

    /// Records that the transaction may hold locks.
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
            // Unreachable: the registry holds a sender until this is dropped.
            None => std::future::pending().await,
        }
    }

    /// Waits for the token. The future does not borrow the member, because another session may
    /// request meanwhile that the member's transaction moves aside.
    pub(crate) fn token(&self) -> impl Future<Output = MoveToken> + use<> {
        let token = self.registry().shared.token.clone();
        async { MoveToken(token.lock_owned().await) }
    }

    /// Moves the other open transactions aside. Skips a transaction whose statement does not end
    /// within [`MOVE_TIMEOUT`].
    pub(crate) async fn move_others_aside(&self, _token: &MoveToken, for_definition: bool) {
        let others: Vec<_> = self
            .registry()
            .members()
            .iter()
            .filter(|(id, other)| {
                **id != self.registration.id
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
            let _moved = timeout(MOVE_TIMEOUT, done).await;
        }
    }

    /// Returns whether other sessions have open transactions.
    pub(crate) fn has_open_others(&self) -> bool {
        let members = self.registry().members();
        let mut others = members
            .iter()
            .filter(|(id, _)| **id != self.registration.id);
        others.any(|(_, other)| other.begun.load(Ordering::SeqCst) != 0)
    }

    /// Returns the time of a commit that is about to be sent. A transaction that began later may
    /// not see it yet.
    pub(crate) fn commit_time(&self) -> u64 {
        self.registry().tick()
    }

    /// Registers committed writes for the transactions that began before.
    pub(crate) fn committed(&self, at: u64, writes: Writes) {
        if !writes.is_empty() {
            lock(&self.registry().shared.committed).push((at, Arc::new(writes)));
        }
    }

    /// Returns the writes that others committed since the transaction began, in order.
    pub(crate) fn later_commits(&self) -> Vec<Arc<Writes>> {
        let mut committed = lock(&self.registry().shared.committed);
        let begun = |state: &State| state.begun.load(Ordering::SeqCst);
        let oldest = {
            let members = self.registry().members();
            let open = members
                .values()
                .map(|other| begun(other))
                .filter(|begun| *begun != 0);
            open.min()
        };
        committed.retain(|(at, _)| oldest.is_some_and(|oldest| oldest < *at));
        let since = begun(&self.state);
        let mut later: Vec<_> = committed.iter().filter(|(at, _)| *at > since).collect();
        later.sort_by_key(|(at, _)| *at);
        later
            .into_iter()
            .map(|(_, writes)| writes.clone())
            .collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.members().remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const MOVE_TIMEOUT: Duration = Duration::from_secs(5);
