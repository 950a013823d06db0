//! A connection that is checked out of a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use super::Inner;
use crate::connection::Connection;
use crate::error::Discard;

/// A connection that is checked out of a [`Pool`](super::Pool). Dropping it returns it, on any
/// thread, also without a runtime.
pub struct PooledConnection {
    /// `None` only after a method that consumes `self` took it.
    connection: Option<Connection>,
    pool: Arc<Inner>,
    /// When it was checked out. `None` before.
    since: Option<Instant>,
}

impl PooledConnection {
    pub(super) fn new(connection: Connection, pool: Arc<Inner>) -> Self {
        Self {
            connection: Some(connection),
            pool,
            since: None,
        }
    }

    /// Marks the connection as checked out, after it was validated.
    pub(super) fn checked_out(mut self, now: Instant) -> Self {
        self.since = Some(now);
        self
    }

    /// Takes the connection out. Its slot stays taken.
    pub(super) fn into_connection(mut self) -> Connection {
        self.connection.take().expect(PRESENT)
    }

    /// Closes the connection instead of returning it.
    pub(super) fn discard(mut self, reason: Discard) {
        if let Some(connection) = self.connection.take() {
            self.pool.discard(connection, reason);
        }
    }

    /// Sets the connection aside: checkouts skip it until it settles.
    pub(super) fn set_aside(mut self, was_awaited: bool) {
        if let Some(connection) = self.connection.take() {
            self.pool.set_aside(connection, was_awaited);
        }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(connection, self.since);
        }
    }
}

impl Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect(PRESENT)
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect(PRESENT)
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

const PRESENT: &str = "a connection is taken out only when its holder is consumed";
