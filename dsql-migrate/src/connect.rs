//! How a migrator gets its connection.

use std::borrow::Borrow;
use std::error::Error;
use std::fmt;

use tokio_postgres::Client;

/// Opens connections for a [`Migrator`](crate::Migrator): one, and another each time that it is
/// lost.
///
/// Implemented for functions without arguments that return a future of a client, for a reference to
/// a client, which is used until it is lost, and with the feature `conn` for `dsql-conn`'s `Config`
/// and `Pool`.
pub trait Connect: Sync {
    /// An open connection. Dropping it closes or returns it.
    type Session: Borrow<Client> + Send + Sync;
    /// Why none could be opened.
    type Error: Error + Send + Sync + 'static;

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Why none could be opened. The migrator returns it at once, so that an implementation
    /// retries what is transient.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future must leave nothing open.
    fn connect(&self) -> impl Future<Output = Result<Self::Session, Self::Error>> + Send;
}

impl<F, Opening, Session, E> Connect for F
where
    F: Fn() -> Opening + Sync,
    Opening: Future<Output = Result<Session, E>> + Send,
    Session: Borrow<Client> + Send + Sync,
    E: Error + Send + Sync + 'static,
{
    type Session = Session;
    type Error = E;

    fn connect(&self) -> impl Future<Output = Result<Session, E>> + Send {
        self()
    }
}

impl<'a> Connect for &'a Client {
    type Session = &'a Client;
    type Error = Lost;

    async fn connect(&self) -> Result<&'a Client, Lost> {
        match self.is_closed() {
            true => Err(Lost),
            false => Ok(self),
        }
    }
}

/// The connection that a migrator was given was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was lost")
    }
}

impl Error for Lost {}
