//! The task that reads and writes for one connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep};
use tokio_util::task::TaskTracker;

use crate::telemetry::event;
use crate::wire::Watch;

/// Handle of a connection task. Dropping it ends the task. If no reply is pending, the task sends
/// `Terminate` first. Otherwise it ends after 100 ms without sending it.
pub(crate) struct ConnectionTask {
    aborter: Aborter,
}

/// Ends a connection task without waiting for anything. The server sees the socket close.
#[derive(Clone)]
pub(crate) struct Aborter {
    task: AbortHandle,
    watch: Watch,
}

/// The connection tasks of one pool or manager.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    pub(crate) tracker: TaskTracker,
    /// Signals the end of a task.
    pub(crate) ended: Arc<Notify>,
}

impl ConnectionTask {
    pub(crate) fn spawn<S, T>(
        connection: tokio_postgres::Connection<S, T>,
        watch: Watch,
        tasks: &Tasks,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let run = Run {
            connection,
            waker: watch.driver_waker(),
            watch: watch.clone(),
            ended: Arc::clone(&tasks.ended),
            grace: None,
        };
        let task = tasks.tracker.spawn(run).abort_handle();
        Self {
            aborter: Aborter { task, watch },
        }
    }

    pub(crate) fn aborter(&self) -> &Aborter {
        &self.aborter
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        self.aborter.watch.leave();
    }
}

impl Aborter {
    pub(crate) fn abort(&self) {
        self.task.abort();
        self.watch.abort();
    }
}

/// The driver's connection, and the handles that its end notifies.
struct Run<S, T> {
    connection: tokio_postgres::Connection<S, T>,
    /// Schedules this task, and sets the watch's flag.
    waker: Waker,
    watch: Watch,
    ended: Arc<Notify>,
    /// Set once the owner has dropped the connection; the task ends when it has passed.
    grace: Option<Pin<Box<Sleep>>>,
}

impl<S, T> Future for Run<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.watch.turn_begins(cx.waker());
        let cx = &mut Context::from_waker(&this.waker);
        if let Poll::Ready(ended) = Pin::new(&mut this.connection).poll(cx) {
            if let Err(error) = ended {
                event::session_failed(&error);
            }
            return Poll::Ready(());
        }
        if this.watch.turn_ends() {
            // The driver would wait for every pending reply: on a dead network, forever.
            let grace = this.grace.get_or_insert_with(|| Box::pin(sleep(GRACE)));
            ready!(grace.as_mut().poll(cx));
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<S, T> Drop for Run<S, T> {
    fn drop(&mut self) {
        self.watch.close();
        self.ended.notify_one();
    }
}

/// How long `Terminate` may take to leave this machine.
const GRACE: Duration = Duration::from_millis(100);
