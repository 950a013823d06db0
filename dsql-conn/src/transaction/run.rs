//! Runs a transaction until it commits, fails, or its attempts are used up.

use std::future::pending;
use std::ops::{ControlFlow, DerefMut};
use std::time::Duration;

use super::Transaction;
use super::attempt::{Attempt, Failed};
use crate::connection::Connection;
use crate::error::Error;
use crate::pool::{Pool, PooledConnection};
use crate::retry::{Cause, RetryPolicy};

/// Where the connections of a transaction come from.
pub(super) trait Source: Sync {
    type Connection: DerefMut<Target = Connection> + Send;

    /// Returns a connection for the next attempt. `None` if there is no other.
    fn connection(
        &mut self,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Self::Connection>, Error>> + Send;

    /// An attempt did not commit.
    fn met(&self, cause: Cause);

    fn is_closed(&self) -> bool;

    /// Returns once the source closes.
    fn closed(&self) -> impl Future<Output = ()> + Send;
}

pub(super) async fn run<S, T, E, F, Fut>(
    mut source: S,
    policy: RetryPolicy,
    body: F,
) -> Result<T, E>
where
    S: Source,
    E: From<Error>,
    F: Fn(Transaction) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut attempts = policy.start();
    let mut kept = None;
    let mut last = None;
    // An unknown outcome stays unknown, whatever later attempts do.
    let mut unknown = None;
    let error = loop {
        // The same connection while it is good: it knows the schema change behind a conflict by
        // now, and another one would meet it anew.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match (source.connection(attempts.left()).await, last.take()) {
                (Ok(Some(connection)), _) => connection,
                (Ok(None), Some(error)) => break error,
                (Ok(None), None) => break Error::PoolClosed.into(),
                (Err(error), _) => break error.into(),
            },
        };
        let attempt = Attempt::on(&mut connection).run(&body, attempts.deadline());
        let (cause, error, reusable) = match attempt.await {
            Ok(value) => return Ok(value),
            Err(Failed::Permanent(error)) => break error,
            Err(Failed::TimedOut { unread_rows }) => {
                let error = Error::TransactionTimedOut {
                    after: attempts.elapsed(),
                    attempts: attempts.made(),
                    unread_rows,
                };
                break error.into();
            }
            Err(Failed::Conflict {
                error,
                cause,
                reusable,
            }) => {
                let error = Error::Conflict {
                    attempts: attempts.made(),
                    last: error,
                };
                (cause, error.into(), reusable)
            }
            Err(Failed::Transient {
                cause,
                error,
                reusable,
            }) => (cause, error, reusable),
        };
        kept = reusable.then_some(connection);
        source.met(cause);
        let again = tokio::select! {
            biased;
            again = attempts.back_off(cause) => again,
            () = source.closed() => ControlFlow::Continue(()),
        };
        if again.is_break() {
            break error;
        }
        match cause {
            Cause::Unknown if unknown.is_none() => unknown = Some(error),
            _ => last = Some(error),
        }
        if source.is_closed() {
            // The next checkout reports it.
            kept = None;
        }
    };
    Err(unknown.unwrap_or(error))
}

/// The pool's connections.
impl Source for &Pool {
    type Connection = PooledConnection;

    async fn connection(&mut self, within: Duration) -> Result<Option<PooledConnection>, Error> {
        self.get_within(within).await.map(Some)
    }

    fn met(&self, cause: Cause) {
        Pool::met(self, cause);
    }

    fn is_closed(&self) -> bool {
        Pool::is_closed(self)
    }

    async fn closed(&self) {
        Pool::closed(self).await;
    }
}

/// One connection of the caller.
pub(super) struct Single<'a>(pub(super) Option<&'a mut Connection>);

impl<'a> Source for Single<'a> {
    type Connection = &'a mut Connection;

    async fn connection(&mut self, _within: Duration) -> Result<Option<&'a mut Connection>, Error> {
        Ok(self.0.take())
    }

    fn met(&self, _cause: Cause) {}

    fn is_closed(&self) -> bool {
        false
    }

    async fn closed(&self) {
        pending().await
    }
}
