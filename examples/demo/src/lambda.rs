//! An execution environment of the Lambda: its real process, with a Runtime API of its own.

use std::error::Error;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::event::Answer;
use crate::runtime_api::RuntimeApi;

/// A running function. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Lambda {
    process: Child,
    api: RuntimeApi,
    log: watch::Sender<Vec<String>>,
}

impl Lambda {
    /// Starts the process, with the variables that Lambda adds.
    pub(crate) async fn start(mut command: Command, echo: bool) -> Result<Self, Box<dyn Error>> {
        let api = RuntimeApi::start().await?;
        let mut process = command
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "generate-game")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/generate-game")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "demo")
            .env("AWS_EXECUTION_ENV", "AWS_Lambda_rust")
            .env("LAMBDA_TASK_ROOT", "/var/task")
            .env("LAMBDA_RUNTIME_DIR", "/var/runtime")
            .env("_HANDLER", "bootstrap")
            .env("LANG", "en_US.UTF-8")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin")
            .env("TZ", ":UTC")
            .spawn()?;
        let log = watch::Sender::new(Vec::new());
        collect(process.stdout.take().expect("it is piped"), &log, echo);
        collect(process.stderr.take().expect("it is piped"), &log, echo);
        Ok(Self { process, api, log })
    }

    /// Waits for the end of the init phase.
    pub(crate) async fn initialized(&mut self) -> Result<(), Box<dyn Error>> {
        tokio::select! {
            () = self.api.initialized() => Ok(()),
            status = self.process.wait() => Err(self.ended(status?)),
        }
    }

    /// Sends an API Gateway event and returns the function's response. After an error the
    /// environment is unusable.
    pub(crate) async fn invoke(&mut self, event: Value) -> Result<Answer, Box<dyn Error>> {
        self.invoke_within(event, Self::TIMEOUT).await
    }

    /// Sends an API Gateway event to a function with a shorter timeout.
    pub(crate) async fn invoke_within(
        &mut self,
        event: Value,
        limit: Duration,
    ) -> Result<Answer, Box<dyn Error>> {
        let response = self.call(event, limit).await?;
        Answer::parse(&response)
            .ok_or_else(|| format!("not an answer to an API Gateway: {response}").into())
    }

    /// Sends an event and returns the function's result, within the timeout.
    pub(crate) async fn call(
        &mut self,
        event: Value,
        limit: Duration,
    ) -> Result<Value, Box<dyn Error>> {
        tokio::select! {
            response = timeout(limit, self.api.invoke(event, limit)) => {
                let response = response
                    .map_err(|_| format!("no answer within the function's {limit:?}"))?;
                Ok(response?)
            }
            status = self.process.wait() => Err(self.ended(status?)),
        }
    }

    /// Returns whether the process has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Stops the process, as Lambda does between two invocations, and waits until it is stopped.
    pub(crate) async fn freeze(&self) -> Result<(), Box<dyn Error>> {
        let pid = self.pid()?;
        kill_process(pid, Signal::STOP)?;
        // Only looks: the process handle reaps the process.
        let changes = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let seen = spawn_blocking(move || waitid(WaitId::Pid(pid), changes)).await??;
        match seen.is_some_and(|status| status.stopped()) {
            true => Ok(()),
            false => Err("the function ended instead of stopping".into()),
        }
    }

    /// Continues the process.
    pub(crate) fn thaw(&self) -> Result<(), Box<dyn Error>> {
        Ok(kill_process(self.pid()?, Signal::CONT)?)
    }

    /// Waits for the line of the log that the search accepts.
    pub(crate) async fn logged<T>(&self, search: impl Fn(&str) -> Option<T>) -> T {
        let found = |lines: &Vec<String>| lines.iter().find_map(|line| search(line));
        let mut log = self.log.subscribe();
        let lines = log.wait_for(|lines| found(lines).is_some()).await;
        found(&lines.expect("the sender is ours")).expect("it was found just now")
    }

    /// Ends the function as Lambda does: SIGTERM, and SIGKILL after the grace period.
    pub(crate) async fn shut_down(mut self) -> Result<ExitStatus, Box<dyn Error>> {
        kill_process(self.pid()?, Signal::TERM)?;
        match timeout(Self::GRACE, self.process.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                self.process.kill().await?;
                Err(format!("still running {} ms after SIGTERM", Self::GRACE.as_millis()).into())
            }
        }
    }

    fn pid(&self) -> Result<Pid, &'static str> {
        let pid = self.process.id();
        pid.and_then(|id| Pid::from_raw(id.try_into().ok()?))
            .ok_or("the function had ended before")
    }

    fn ended(&self, status: ExitStatus) -> Box<dyn Error> {
        let log = self.log.borrow().join("; ");
        format!("the function ended with {status}, its log: {log}").into()
    }

    /// The function's timeout.
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

    /// The grace period of a function with an internal extension.
    pub(crate) const GRACE: Duration = Duration::from_millis(500);
}

/// Collects the function's output; the task ends with the process.
fn collect(
    output: impl AsyncRead + Send + Unpin + 'static,
    log: &watch::Sender<Vec<String>>,
    echo: bool,
) {
    let (mut lines, log) = (BufReader::new(output).lines(), log.clone());
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            if echo {
                eprintln!("        {line}");
            }
            log.send_modify(|lines| lines.push(line));
        }
    });
}
