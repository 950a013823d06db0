//! The PostgreSQL that runs a cluster's SQL: a process per cluster, with one database. The builder
//! starts it, and the cluster owns it. This folder uses no other folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_postgres::{Client, Config, NoTls};

pub use self::error::EngineError;
use self::find::Installation;
use self::run::Running;
pub(crate) use self::template::DATABASE;
use self::template::SUPERUSER;

mod error;
#[cfg(feature = "fetch")]
mod fetch;
mod find;
mod owner;
mod run;
mod template;

/// A running engine, and the runtime of this process's servers.
pub(crate) struct Engine {
    runtime: Arc<ServerRuntime>,
    superuser: Arc<Client>,
    ended: watch::Receiver<bool>,
    running: Running,
}

impl Engine {
    /// Starts an engine on temporary data, or on the data in a folder. Blocks.
    pub(crate) fn start(data_dir: Option<&Path>) -> Result<Self, EngineError> {
        let (installation, owner) = Installation::of_this_process()?;
        let template = template::ensure(&installation, &owner)?;
        let running = Running::start(&installation, &owner, &template, data_dir)?;
        let runtime = ServerRuntime::shared()?;
        let (ends, ended) = watch::channel(false);
        let connecting = connect(running.socket_directory(), ends);
        let superuser = runtime.handle().block_on(connecting)?;
        Ok(Self {
            runtime,
            superuser: Arc::new(superuser),
            ended,
            running,
        })
    }

    /// Returns the superuser's connection.
    pub(crate) fn superuser(&self) -> Arc<Client> {
        self.superuser.clone()
    }

    /// Returns a receiver that becomes true when the engine was killed or crashed.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.handle()
    }

    /// Returns a folder that is removed together with the engine.
    pub(crate) fn folder(&self) -> &Path {
        self.running.socket_directory()
    }

    /// Returns the socket where sessions open their backends.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join(format!(".s.PGSQL.{}", run::PORT))
    }

    /// Returns the end of the engine's log.
    pub(crate) fn log(&self) -> String {
        self.running.log()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// The runtime of every server in this process. A runtime of the library's own, so that a test can
/// pause its clock or end without stopping the cluster.
struct ServerRuntime(Option<Runtime>);

impl ServerRuntime {
    fn shared() -> io::Result<Arc<Self>> {
        let mut shared = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = shared.upgrade() {
            return Ok(runtime);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("dsql-local")
            .enable_all()
            .build()?;
        let runtime = Arc::new(Self(Some(runtime)));
        *shared = Arc::downgrade(&runtime);
        Ok(runtime)
    }

    fn handle(&self) -> &Runtime {
        self.0.as_ref().expect("taken only on drop")
    }
}

impl Drop for ServerRuntime {
    fn drop(&mut self) {
        // May be dropped inside an async test, where a runtime must not block.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

static RUNTIME: Mutex<Weak<ServerRuntime>> = Mutex::new(Weak::new());

/// Opens a connection as superuser. Its connection task runs on the current runtime.
async fn connect(directory: &Path, ends: watch::Sender<bool>) -> Result<Client, EngineError> {
    let (client, connection) = Config::new()
        .host_path(directory)
        .port(run::PORT)
        .user(SUPERUSER)
        .dbname(DATABASE)
        .application_name("dsql-local")
        // The engine's default `lock_timeout` is for sessions.
        .options("-c lock_timeout=0")
        .connect(NoTls)
        .await?;
    tokio::spawn(async move {
        // `Ok` means that this process closed the connection.
        if let Err(error) = connection.await {
            tracing::error!(%error, "the engine ended");
            ends.send_replace(true);
        }
    });
    Ok(client)
}
