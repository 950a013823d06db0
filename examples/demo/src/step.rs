//! The steps of the demo: each is one line that says what it proved, or why it did not.

use std::error::Error;
use std::fmt::Write;
use std::time::{Duration, Instant};

use tokio::time::timeout;

/// Counts the steps and remembers whether one failed.
#[derive(Debug)]
pub(crate) struct Steps {
    total: usize,
    done: usize,
    failed: usize,
}

impl Steps {
    pub(crate) fn new(total: usize) -> Self {
        Self {
            total,
            done: 0,
            failed: 0,
        }
    }

    /// Runs a step and prints its line. What the step leaves behind is there only if it went well.
    pub(crate) async fn run<T>(
        &mut self,
        name: &str,
        step: impl Future<Output = Result<(T, String), Box<dyn Error>>>,
    ) -> Option<T> {
        let start = Instant::now();
        let result = match timeout(LIMIT, step).await {
            Ok(result) => result,
            Err(_) => Err(format!("not done after {} s", LIMIT.as_secs()).into()),
        };
        self.done += 1;
        let (mark, left, text) = match result {
            Ok((left, proof)) => ("ok    ", Some(left), proof),
            Err(error) => {
                self.failed += 1;
                ("FAILED", None, chain(&*error))
            }
        };
        let (done, total, time) = (self.done, self.total, start.elapsed().as_millis());
        println!("{done}/{total} {mark} {time:>5} ms  {name}: {text}");
        left
    }

    pub(crate) fn failed(&self) -> usize {
        self.failed
    }
}

/// Joins an error and its sources in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        write!(line, ": {error}").expect("writing to a string cannot fail");
        source = error.source();
    }
    line.replace('\n', " ")
}

/// Far more than a step needs on a busy machine; it only keeps the demo from hanging.
const LIMIT: Duration = Duration::from_secs(30);
