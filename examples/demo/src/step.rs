//! The steps of the demo: each prints one line, with its proof or its error.

use std::error::Error;
use std::fmt::Write;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

/// What a step proved.
#[derive(Debug)]
pub(crate) struct Proof {
    /// In words, on one line.
    pub(crate) words: String,
    /// In numbers: an object, whose fields become fields of the JSON line.
    pub(crate) numbers: Value,
}

/// The format of the lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For scripts: one object per line.
    Json,
}

/// Counts the steps and the failures.
#[derive(Debug)]
pub(crate) struct Steps {
    form: Form,
    total: usize,
    done: usize,
    failed: usize,
}

impl Steps {
    pub(crate) fn new(form: Form, total: usize) -> Self {
        Self {
            form,
            total,
            done: 0,
            failed: 0,
        }
    }

    /// Runs a step and prints its line. Returns the step's result unless it failed.
    pub(crate) async fn run<T>(
        &mut self,
        name: &str,
        step: impl Future<Output = Result<(T, Proof), Box<dyn Error>>>,
    ) -> Option<T> {
        let start = Instant::now();
        let result = match timeout(LIMIT, step).await {
            Ok(result) => result,
            Err(_) => Err(format!("not done after {} s", LIMIT.as_secs()).into()),
        };
        self.done += 1;
        let (left, result) = match result {
            Ok((left, proof)) => (Some(left), Ok(proof)),
            Err(error) => {
                self.failed += 1;
                (None, Err(chain(&*error)))
            }
        };
        let line = Line::new(name, start.elapsed(), &result);
        match self.form {
            Form::Text => println!("{:>2}/{} {}", self.done, self.total, line.text()),
            Form::Json => println!("{}", line.json()),
        }
        left
    }

    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// Prints the summary; scripts count for themselves.
    pub(crate) fn sum_up(&self, time: Duration) {
        let time = time.as_secs_f32();
        let (failed, total) = (self.failed, self.total);
        match (self.form, failed) {
            (Form::Text, 0) => println!("all steps ok, {time:.1} s in all"),
            (Form::Text, _) => println!("{failed} of {total} steps failed, {time:.1} s in all"),
            (Form::Json, _) => {}
        }
    }
}

/// A finished step.
#[derive(Debug, Serialize)]
struct Line<'a> {
    step: &'a str,
    ok: bool,
    ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    proves: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(flatten)]
    numbers: Option<&'a Value>,
}

impl<'a> Line<'a> {
    fn new(step: &'a str, time: Duration, result: &'a Result<Proof, String>) -> Self {
        let proof = result.as_ref().ok();
        Self {
            step,
            ok: result.is_ok(),
            ms: time.as_millis().try_into().unwrap_or(u64::MAX),
            proves: proof.map(|proof| proof.words.as_str()),
            error: result.as_ref().err().map(String::as_str),
            numbers: proof.map(|proof| &proof.numbers),
        }
    }

    fn text(&self) -> String {
        let mark = if self.ok { "ok    " } else { "FAILED" };
        let words = self.proves.or(self.error).unwrap_or_default();
        format!("{mark} {:>5} ms  {}: {words}", self.ms, self.step)
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers are an object")
    }
}

/// Joins an error and its sources into one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        write!(line, ": {error}").expect("writing to a string cannot fail");
        source = error.source();
    }
    line.replace('\n', " ")
}

/// Far more than a step needs on a busy machine; it prevents a hanging demo.
const LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_stand_beside_the_words_that_explain_them() {
        let result = Ok(Proof {
            words: "201, \"saved\"".to_owned(),
            numbers: json!({ "connections": 1, "flights": ["PBDES"] }),
        });
        let line = Line::new("cold start", Duration::from_micros(16_900), &result);
        assert_eq!(
            line.json(),
            concat!(
                r#"{"step":"cold start","ok":true,"ms":16,"proves":"201, \"saved\"","#,
                r#""connections":1,"flights":["PBDES"]}"#
            )
        );
        assert_eq!(line.text(), "ok        16 ms  cold start: 201, \"saved\"");
    }

    #[test]
    fn failed_step_says_why_and_proves_nothing() {
        let result = Err("no\tanswer".to_owned());
        let line = Line::new("freeze", Duration::from_secs(30), &result);
        assert_eq!(
            line.json(),
            r#"{"step":"freeze","ok":false,"ms":30000,"error":"no\tanswer"}"#
        );
        assert_eq!(line.text(), "FAILED 30000 ms  freeze: no\tanswer");
    }
}
