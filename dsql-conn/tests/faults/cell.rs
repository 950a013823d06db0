//! Runs one cell: injects the fault, makes the call, and compares the outcome.

mod call;
mod setup;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;

use dsql_conn::Error;
use dsql_local::LocalCluster;
use tokio::runtime;
use tokio::time::{sleep, timeout};

pub(crate) use self::setup::Setup;
use crate::fault::Fault;
use crate::outcome::{Bound, Expected, Outcome};
use crate::recovery;
use crate::stage::{Call, Stage};

/// A fault at a stage, and the call that meets it.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) stage: Stage,
    pub(crate) fault: Fault,
    pub(crate) call: Call,
    pub(crate) expected: Expected,
}

impl Cell {
    /// Runs the cell on a runtime of its own. The error names the difference from the expectation.
    ///
    /// A cluster that recovered is passed to the next cell: starting one takes longer than most
    /// cells.
    pub(crate) fn run(&self, spare: &mut Option<LocalCluster>) -> Result<(), String> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let run = catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.check(spare))));
        run.unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!(
                "panicked: {}",
                words.unwrap_or("without a message")
            ))
        })
    }

    async fn check(&self, spare: &mut Option<LocalCluster>) -> Result<(), String> {
        let setup = self.setup(spare.take()).await;
        let result = timeout(GUARD, self.observe(&setup)).await;
        let Ok(result) = result else {
            return Err(format!(
                "no result within {GUARD:?}; pool: {:?}",
                setup.pool.stats()
            ));
        };
        let outcome = match &result {
            Some(result) => Outcome::of(result),
            None => Outcome::Cancelled,
        };
        if outcome != self.expected.outcome {
            return Err(format!("the outcome is {outcome}"));
        }
        if setup.struck() == 0 {
            return Err("the fault did not occur".to_owned());
        }
        setup.cluster.clear_faults();
        setup.resolver.clear();
        recovery::check(&setup, self.fault.is_silent()).await?;
        self.check_notes(&setup, result).await?;
        *spare = Some(setup.cluster);
        Ok(())
    }

    /// Injects the fault and makes the call. Returns `None` if the caller cancelled the call.
    async fn observe(&self, setup: &Setup) -> Option<Result<(), Error>> {
        self.prepare(setup).await;
        let mut call = pin!(self.make_call(setup));
        if self.expected.bound != Bound::Caller {
            return Some(call.await);
        }
        // The caller's timeout starts when the fault strikes.
        let given_up = async {
            setup.until_struck(1).await;
            sleep(SHORT).await;
        };
        tokio::select! {
            result = &mut call => Some(result),
            () = given_up => None,
        }
    }

    /// Compares the rows in the table with what the caller's result promises.
    async fn check_notes(
        &self,
        setup: &Setup,
        result: Option<Result<(), Error>>,
    ) -> Result<(), String> {
        let rows = setup.cluster.query("SELECT text FROM note ORDER BY text");
        let rows = rows.await.map_err(|error| error.to_string())?;
        let notes: Vec<_> = rows.into_iter().flatten().flatten().collect();
        let is_applied = self.expected.applied == Some(true);
        let expected = match is_applied {
            true => vec!["called", "next"],
            false => vec!["next"],
        };
        if notes != expected {
            return Err(format!("the notes are {notes:?}"));
        }
        match result {
            Some(Err(error)) if is_applied && !error.may_have_applied() => Err(format!(
                "it was applied, but the error says that it was not: {error:?}"
            )),
            _ => Ok(()),
        }
    }
}

/// The timeout that is expected to end the call.
const SHORT: Duration = Duration::from_millis(400);

/// All other timeouts: longer than the test waits.
const LONG: Duration = Duration::from_secs(120);

/// How long a call, and then the pool's recovery, may take. A safeguard against hanging tests.
pub(crate) const GUARD: Duration = Duration::from_secs(30);

/// The interval between checks. Hundreds of cells run at the same time, so they must not spin.
pub(crate) const TICK: Duration = Duration::from_millis(2);
