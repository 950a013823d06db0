//! Runs the task that moves a connection's bytes, and ends it when the connection is given up.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Sleep, sleep},
};

use crate::wire::Watch;

/// The task of one connection. Dropping it ends the task: after the farewell, or after a moment without one.
pub(crate) struct Driver {
    task: AbortHandle,
    watch: Watch,
    leaving: Arc<AtomicBool>,
}

impl Driver {
    /// Starts to drive a connection, and enters it in `drivers` until it ends.
    pub(crate) fn spawn<S, T>(
        connection: tokio_postgres::Connection<S, T>,
        watch: Watch,
        drivers: &Drivers,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let leaving = Arc::new(AtomicBool::new(false));
        let entry = drivers.reserve(&leaving);
        let id = entry.id;
        let drive = Drive {
            connection,
            watch: watch.clone(),
            leaving: Arc::clone(&leaving),
            grace: None,
            _entry: entry,
        };
        let task = tokio::spawn(drive).abort_handle();
        drivers.enter(id, task.clone());
        Self {
            task,
            watch,
            leaving,
        }
    }

    /// Ends the task where it stands; the socket is closed without a farewell.
    pub(crate) fn abort(&self) {
        self.task.abort();
        self.watch.close();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::Release);
        self.watch.wake_driver();
    }
}

/// The driver's own connection, watched.
struct Drive<S, T> {
    connection: tokio_postgres::Connection<S, T>,
    watch: Watch,
    leaving: Arc<AtomicBool>,
    /// Runs from the moment the connection is given up.
    grace: Option<Pin<Box<Sleep>>>,
    _entry: Entry,
}

impl<S, T> Future for Drive<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.watch.driver_begins(cx.waker());
        if let Poll::Ready(ended) = Pin::new(&mut this.connection).poll(cx) {
            if let Err(error) = ended {
                // Whoever uses the connection is told by their own call.
                tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
            }
            return Poll::Ready(());
        }
        this.watch.driver_rests();

        if this.leaving.load(Ordering::Acquire) {
            // By itself the driver would wait for every answer that is due, on a dead network for ever.
            let grace = this.grace.get_or_insert_with(|| Box::pin(sleep(GRACE)));
            ready!(grace.as_mut().poll(cx));
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<S, T> Drop for Drive<S, T> {
    fn drop(&mut self) {
        self.watch.close();
    }
}

/// The drivers that are running, so that a pool that closes can wait for them, and end those that do not end.
#[derive(Clone, Default)]
pub(crate) struct Drivers(Arc<Registry>);

#[derive(Default)]
struct Registry {
    next: AtomicU64,
    running: Mutex<HashMap<u64, Running>>,
    one_ended: Notify,
    cut_off: watch::Sender<bool>,
}

/// A driver that runs.
struct Running {
    /// Until it is aborted.
    task: Option<AbortHandle>,
    leaving: Arc<AtomicBool>,
}

impl Drivers {
    /// Returns once no driver runs.
    pub(crate) async fn ended(&self) {
        loop {
            let mut ended = std::pin::pin!(self.0.one_ended.notified());
            ended.as_mut().enable();
            if self.0.lock().is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Ends every driver whose connection was not given up, where it stands, and returns how many those were. The others take
    /// their leave by themselves.
    pub(crate) fn abort(&self) -> usize {
        let mut cut = 0;
        for driver in self.0.lock().values_mut() {
            if !driver.leaving.load(Ordering::Acquire)
                && let Some(task) = driver.task.take()
            {
                task.abort();
                cut += 1;
            }
        }
        self.0.cut_off.send_replace(true);
        cut
    }

    /// Returns once what was running was [aborted](Self::abort).
    pub(crate) async fn cut_off(&self) {
        // Cannot fail: the sender is here.
        let _ = self.0.cut_off.subscribe().wait_for(|cut| *cut).await;
    }

    fn reserve(&self, leaving: &Arc<AtomicBool>) -> Entry {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let running = Running {
            task: None,
            leaving: Arc::clone(leaving),
        };
        self.0.lock().insert(id, running);
        Entry {
            id,
            registry: Arc::clone(&self.0),
        }
    }

    /// Names the task of an entry, unless it has ended already.
    fn enter(&self, id: u64, task: AbortHandle) {
        if let Some(driver) = self.0.lock().get_mut(&id) {
            driver.task = Some(task);
        }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the running drivers, given up with the task however that ends.
struct Entry {
    id: u64,
    registry: Arc<Registry>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.id);
        self.registry.one_ended.notify_waiters();
    }
}

/// How long the farewell may take to leave this machine.
const GRACE: Duration = Duration::from_millis(100);
