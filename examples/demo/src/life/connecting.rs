//! Cold starts whose connection is refused, temporarily or permanently.

use std::time::Instant;

use dsql_local::{Fault, Outcome as Fate, Refusal};
use serde_json::{Value, json};

use super::{Life, Outcome, expect};
use crate::event::post;
use crate::lambda::Lambda;
use crate::step::Proof;

impl Life {
    /// A sleeping cluster is waited for.
    pub(crate) async fn waking(&self) -> Outcome<()> {
        self.refused_for_now("demo-waking", &Refusal::WakingUp, 4)
            .await
    }

    /// A throttled connect is retried after a short time.
    pub(crate) async fn throttled(&self) -> Outcome<()> {
        self.refused_for_now("demo-throttled", &Refusal::RateExceeded, 2)
            .await
    }

    async fn refused_for_now(&self, name: &str, refusal: &Refusal, times: usize) -> Outcome<()> {
        self.cluster
            .inject(Fault::refuse(refusal.clone()).times(times));
        let start = Instant::now();
        let mut lambda = self.lambda(name, &self.function, &[]).await?;
        lambda.initialized().await?;
        let initialized = start.elapsed();
        let answer = lambda.invoke(post("/games", "")).await?;
        let answered = start.elapsed();
        expect(&answer, 201)?;

        let connections = self.connections(name);
        let is_refused = |fate: &Fate| *fate == Fate::Refused(refusal.clone());
        let fates = connections.iter().map(|connection| &connection.outcome);
        let refused = fates.filter(|fate| is_refused(fate)).count();
        if (refused, connections.len()) != (times, times + 1) {
            return Err(
                format!("{times} refusals and 1 login were expected: {connections:?}").into(),
            );
        }
        let proof = Proof {
            words: format!(
                "{times} connects refused ({} {:?}) and retried after growing pauses, the next \
                 one accepted, all during {} ms of init; the first invocation was answered 201",
                refusal.sqlstate(),
                refusal.message(),
                initialized.as_millis(),
            ),
            numbers: json!({
                "connects": connections.len(),
                "refused": refused,
                "sqlstate": refusal.sqlstate(),
                "init_ms": initialized.as_millis(),
                "answered_ms": answered.as_millis(),
                "failed_invocations": 0,
            }),
        };
        Ok(((), proof))
    }

    /// IAM refuses the connection, and the caller gets the error at once instead of a timeout.
    pub(crate) async fn denied(&self) -> Outcome<()> {
        let unauthorized = self.cluster.identity("no-permission", &[]);
        let mut lambda = self.lambda(DENIED, &unauthorized, &[]).await?;
        lambda.initialized().await?;
        let connects = self.connections(DENIED).len();
        let start = Instant::now();
        let answer = lambda.invoke(post("/games", "")).await?;
        let time = start.elapsed();
        let connects = self.connections(DENIED).len() - connects;
        let reason = expect(&answer, 503)?["reason"].take();
        if reason != "not_authorized" {
            return Err(format!("not_authorized was expected, not {reason}").into());
        }
        if connects != 1 {
            return Err(
                format!("the invocation connected {connects} times instead of once").into(),
            );
        }
        let cause = lambda.logged(cause_of_failure).await;
        if !(cause.contains(unauthorized.arn()) && cause.contains("perform: dsql:DbConnect ")) {
            return Err(format!("the log does not name who lacks which action: {cause}").into());
        }
        let proof = Proof {
            words: format!(
                "503 not_authorized after 1 connect, in {} ms of the function's {} ms; its log \
                 names {} and the missing dsql:DbConnect",
                time.as_millis(),
                Lambda::TIMEOUT.as_millis(),
                unauthorized.arn(),
            ),
            numbers: json!({
                "status": 503,
                "reason": reason,
                "connects": connects,
                "answered_ms": time.as_millis(),
            }),
        };
        Ok(((), proof))
    }
}

/// Reads the cause from the log line of a failed request.
fn cause_of_failure(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line.get("message")? != "request failed" {
        return None;
    }
    line.get("error")?.as_str().map(str::to_owned)
}

const DENIED: &str = "demo-denied";
