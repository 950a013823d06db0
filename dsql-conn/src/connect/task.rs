//! The task that reads and writes for one connection.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep};

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

/// The number of running connection tasks of one pool or manager.
#[derive(Clone, Default)]
pub(crate) struct Tasks(watch::Sender<usize>);

/// One running task. Dropping it tells the receivers of [`Tasks::ends`].
struct Running(Tasks);

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
            _running: tasks.enter(),
            grace: None,
        };
        let task = tokio::spawn(run).abort_handle();
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

impl Tasks {
    /// Returns a receiver that changes whenever a task ends.
    pub(crate) fn ends(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }

    /// Returns once no task runs.
    pub(crate) async fn all_ended(&self) {
        // The channel is open: this side has its sender.
        let _ = self.ends().wait_for(|running| *running == 0).await;
    }

    fn enter(&self) -> Running {
        self.0.send_if_modified(|running| {
            *running += 1;
            false
        });
        Running(self.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.send_modify(|running| *running -= 1);
    }
}

/// The driver's connection, and what its end changes.
struct Run<S, T> {
    connection: tokio_postgres::Connection<S, T>,
    /// Schedules this task, and sets the watch's flag.
    waker: Waker,
    watch: Watch,
    _running: Running,
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
    }
}

/// How long `Terminate` may take to leave this machine.
const GRACE: Duration = Duration::from_millis(100);
