//! A session's backend: the engine's process that runs its statements.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::registry::Registration;
use crate::protocol::ending::Ending;

/// The write half of the connection to a backend.
///
/// When it is dropped, the session stays registered until the backend ended. A backend notices the
/// end of its connection after its statement, and holds its transaction's locks until then.
#[derive(Debug)]
pub(super) struct Backend {
    /// `None` after it was dropped.
    connection: Option<OwnedWriteHalf>,
    registration: Arc<Registration>,
}

impl Backend {
    pub(super) fn new(connection: OwnedWriteHalf, registration: Arc<Registration>) -> Self {
        Self {
            connection: Some(connection),
            registration,
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        match &mut self.connection {
            Some(connection) => connection
                .write_all(bytes)
                .await
                .map_err(|_| Ending::EngineClosed),
            None => Err(Ending::EngineClosed),
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // Without a runtime, the cluster is gone as well.
        if let (Some(connection), Ok(runtime)) = (self.connection.take(), Handle::try_current()) {
            let registration = Arc::clone(&self.registration);
            runtime.spawn(async move {
                let _late = timeout(END_TIMEOUT, end(connection)).await;
                drop(registration);
            });
        }
    }
}

/// Closes the connection, and waits until the backend closed its side.
async fn end(mut connection: OwnedWriteHalf) {
    if connection.shutdown().await.is_err() {
        return;
    }
    let stream = connection.as_ref();
    let mut unread = [0; 4096];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut unread) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// A backend may run its last statement for longer.
const END_TIMEOUT: Duration = Duration::from_secs(5);
