//! The real PostgreSQL behind the front: one per process, a database per cluster.
//! `cluster` holds it for as long as it lives; the last one to go stops it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls};

use self::find::Installation;
use self::owner::Owner;
use self::run::Running;

mod fetch;
mod find;
mod owner;
mod run;
mod template;

/// A running engine and the runtime that every front of this process works on.
///
/// The runtime is the library's own, so that a test that pauses its clock, or ends,
/// stops nothing here.
pub(crate) struct Engine {
    runtime: Option<Runtime>,
    maintenance: Arc<Client>,
    running: Running,
}

impl Engine {
    /// Returns this process's engine, which it starts if none runs. Blocks.
    pub(crate) fn shared() -> Result<Arc<Self>, EngineError> {
        // Held while starting: a second cluster waits for the engine instead of starting another.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = shared.upgrade() {
            return Ok(engine);
        }
        let engine = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&engine);
        Ok(engine)
    }

    fn start() -> Result<Self, EngineError> {
        let owner = Owner::of_this_process()?;
        let installation = Installation::find(&owner)?;
        let template = template::ensure(&installation, &owner)?;
        let running = Running::start(&installation, &owner, &template)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("dsql-local")
            .enable_all()
            .build()?;
        let maintenance = runtime.block_on(connect(running.socket_directory(), TEMPLATE))?;
        Ok(Self {
            runtime: Some(runtime),
            maintenance: Arc::new(maintenance),
            running,
        })
    }

    /// Creates a database as the template prepared it, and connects to it as superuser.
    /// Nothing here is synchronized to disk, so that copying files takes half as long as logging pages.
    pub(crate) async fn create_database(&self, name: &str) -> Result<Client, EngineError> {
        self.maintenance
            .batch_execute(&format!(
                "CREATE DATABASE {name} OWNER admin STRATEGY FILE_COPY"
            ))
            .await?;
        let directory = self.socket_directory().to_owned();
        let database = name.to_owned();
        self.runtime()
            .spawn(async move { connect(&directory, &database).await })
            .await
            .expect("connecting does not panic")
    }

    /// Returns a connection that outlives no engine, but keeps none alive either.
    pub(crate) fn maintenance(&self) -> Arc<Client> {
        self.maintenance.clone()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only taken on drop")
    }

    pub(crate) fn socket_directory(&self) -> &Path {
        self.running.socket_directory()
    }

    /// Returns the socket that backends are reached by.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket_directory()
            .join(format!(".s.PGSQL.{}", run::PORT))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Dropped inside an async test as often as not, where a runtime must not be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No PostgreSQL on this machine, and none that could be fetched.
    #[error(
        "no PostgreSQL {}+ found (looked in {}), nor fetched ({}); install one with `{}`, or set DSQL_LOCAL_PG_BIN to the folder that holds `postgres` and `initdb`",
        find::OLDEST,
        .looked_in,
        .not_fetched,
        find::INSTALL
    )]
    NotFound {
        /// The folders, for the reader of the message.
        looked_in: String,
        /// Why none was fetched.
        not_fetched: String,
    },
    /// `DSQL_LOCAL_PG_BIN` names something that is no engine.
    #[error("DSQL_LOCAL_PG_BIN is {}, where `postgres` and `initdb` {}+ do not both run; correct or unset it", .0.display(), find::OLDEST)]
    WrongFolder(PathBuf),
    /// We are root, PostgreSQL refuses to be, and there is nobody else.
    #[error(
        "PostgreSQL does not run as root, and /etc/passwd has neither `postgres` nor `nobody`; run as another user"
    )]
    NoOwner,
    /// The cached template belongs to someone else.
    #[error("{} is not a folder that only its owner can enter; remove it", .0.display())]
    ForeignCache(PathBuf),
    /// A program of the engine failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: &'static str,
        /// The end of what it printed.
        output: String,
    },
    /// The engine runs but refused what was asked.
    #[error("the engine refused: {0}")]
    Refused(#[from] tokio_postgres::Error),
    /// The machine said no.
    #[error("could not run the engine: {0}")]
    Io(#[from] io::Error),
}

/// Opens a connection as superuser. Its driver runs on the current runtime.
async fn connect(directory: &Path, database: &str) -> Result<Client, EngineError> {
    let (client, connection) = Config::new()
        .host_path(directory)
        .port(run::PORT)
        .user(SUPERUSER)
        .dbname(database)
        .application_name("dsql-local")
        // The settings that make the engine impatient are for sessions.
        .options("-c lock_timeout=0")
        .connect(NoTls)
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "superuser connection ended");
        }
    });
    Ok(client)
}

static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());

/// The only database of a new engine. A connection to it does not stop it from being copied,
/// as long as there is only the one that asks for the copy.
const TEMPLATE: &str = "template1";
/// How long a session waits for another transaction's lock. The service never does: it detects
/// conflicts, at the latest at COMMIT.
pub(crate) const LOCK_TIMEOUT: &str = "10ms";
const SUPERUSER: &str = "dsql_local";
