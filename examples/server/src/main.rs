//! The server: settings from the environment, `SIGTERM` to stop it.

use std::env;
use std::error::Error;
use std::time::Duration;

use dsql_conn::{Config, Pool};
use server::{app, notes, telemetry};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let traces = telemetry::start()?;
    let metrics = telemetry::record()?;
    let mut terminate = signal(SignalKind::terminate())?;

    // A wrong setting ends the program here, and with it its deployment.
    let pool = Pool::connect(Config::from_env()?).await?;
    notes::create_tables(&pool).await?;

    let address = env::var("NOTES_LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&address).await?;
    tracing::info!(address = %listener.local_addr()?, "serves");
    axum::serve(listener, app(pool.clone(), metrics))
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = ctrl_c() => {}
            }
        })
        .await?;

    // All requests have their response: nothing is in use, unless one was dropped by its client.
    let aborted = pool.close(DRAIN).await;
    tracing::info!(aborted, "stopped");
    if let Some(traces) = traces {
        spawn_blocking(move || traces.shutdown()).await??;
    }
    Ok(())
}

/// Less than a supervisor leaves between `SIGTERM` and `SIGKILL`.
const DRAIN: Duration = Duration::from_secs(5);
