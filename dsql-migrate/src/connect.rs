//! How a migrator gets its connection.

use std::borrow::Borrow;
use std::error::Error;
use std::fmt;

use tokio_postgres::Client;

/// Opens connections for a [`Migrator`](crate::Migrator): one at first, and another one each time
/// the connection is lost.
///
/// Implemented for functions without arguments that return a future of a client, and for a
/// reference to a client, which is used until its connection is lost. With the feature `conn`, it
/// is also implemented for `dsql-conn`'s `Config` and `Pool`.
pub trait Connect: Sync {
    /// An open connection. Dropping it closes or returns it.
    type Session: Borrow<Client> + Send + Sync;
    /// Why no connection could be opened.
    type Error: Error + Send + Sync + 'static;

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Why no connection could be opened. The migrator returns this error at once, so an
    /// implementation must retry transient failures itself.
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

/// The error for a client that was given by reference and whose connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was lost")
    }
}

impl Error for Lost {}
