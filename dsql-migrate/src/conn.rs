//! Connections by `dsql-conn`.

use std::borrow::Borrow;
use std::fmt;

use dsql_conn::{Config, Connection, Error, Pool, PooledConnection};
use tokio_postgres::Client;

use crate::connect::Connect;

/// A connection of `dsql-conn`.
pub struct Session<C>(C);

impl Borrow<Client> for Session<Connection> {
    fn borrow(&self) -> &Client {
        &self.0
    }
}

impl Borrow<Client> for Session<PooledConnection> {
    fn borrow(&self) -> &Client {
        &self.0
    }
}

impl<C: fmt::Debug> fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Connect for &Config {
    type Session = Session<Connection>;
    type Error = Error;

    async fn connect(&self) -> Result<Self::Session, Error> {
        Config::connect(self).await.map(Session)
    }
}

impl Connect for &Pool {
    type Session = Session<PooledConnection>;
    type Error = Error;

    async fn connect(&self) -> Result<Self::Session, Error> {
        self.get().await.map(Session)
    }
}
