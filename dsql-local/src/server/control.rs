//! Control of the local cluster by SQL, for clients in any language, such as
//! `CALL dsql_local.inject('conflict', 3)`. `request` asks for each statement of a session that was
//! opened with `-c dsql_local.control=on`.

use std::time::Duration;

use crate::faults::{Direction, Effect, Fault, Stage};
use crate::refusal::Refusal;
use crate::server::cluster::{Cluster, Disruption};
use crate::sql::role::literal;
use crate::sql::rules::{Checked, Kind, Verdict};
use crate::sql::statement::{self, Statement, Token};

/// Runs a statement that controls the local cluster. Returns `None` for any other statement.
pub(crate) fn run(cluster: &Cluster, statement: &Statement<'_>) -> Option<Checked> {
    let call = Call::parse(statement)?;
    let verdict = match call.run(cluster) {
        Ok(Outcome::Done) => Verdict::Translate {
            sql: "DO 'BEGIN END'".to_owned(),
            tag: "CALL",
        },
        Ok(Outcome::Counts(json)) => Verdict::Translate {
            sql: format!("SELECT {}::jsonb AS counts", literal(&json)),
            tag: "SELECT 1",
        },
        Err(message) => Verdict::Refuse(Refusal::Custom {
            fatal: false,
            sqlstate: "22023".into(),
            message: message.into(),
            hint: Some("dsql-local/README.md lists the procedures.".into()),
        }),
    };
    Some(Checked {
        kind: Kind::Other,
        verdict,
    })
}

/// Runs a call that does not come from a session, such as `inject('conflict', 3)`.
pub(crate) fn call(cluster: &Cluster, call: &str) -> Result<(), String> {
    let sql = format!("CALL {SCHEMA}.{call}");
    match &statement::split(&sql)[..] {
        [statement] => Call::parse(statement)
            .ok_or_else(|| format!("`{call}` is not a call; write it like inject('conflict', 3)"))?
            .run(cluster)
            .map(drop),
        _ => Err(format!(
            "`{call}` is more than one call; pass them one by one"
        )),
    }
}

/// `CALL dsql_local.procedure(arguments)` or `SELECT dsql_local.counts()`.
struct Call<'a> {
    procedure: &'a str,
    arguments: Vec<&'a str>,
}

enum Outcome {
    Done,
    Counts(String),
}

impl<'a> Call<'a> {
    fn parse(statement: &'a Statement<'_>) -> Option<Self> {
        let [
            verb,
            schema,
            Token::Symbol('.'),
            procedure,
            Token::Symbol('('),
            rest @ ..,
        ] = &statement.tokens[..]
        else {
            return None;
        };
        let is_call = verb.is("call") || verb.is("select");
        if !is_call || schema.as_name() != Some(SCHEMA) {
            return None;
        }
        let arguments = rest.iter().filter_map(|token| match token {
            Token::Word(text) | Token::Name(text) | Token::Literal(text) => Some(&**text),
            Token::Symbol(_) => None,
        });
        Some(Self {
            procedure: procedure.as_name()?,
            arguments: arguments.collect(),
        })
    }

    fn run(&self, cluster: &Cluster) -> Result<Outcome, String> {
        match (self.procedure, &self.arguments[..]) {
            ("inject", [name, rest @ ..]) => return self.inject(cluster, name, rest),
            ("fail_connections", [percent]) => {
                cluster
                    .faults
                    .add(Fault::fail_connections(number(percent)?));
            }
            ("delay", [direction, by]) => {
                let direction = match *direction {
                    "to_server" => Direction::ToServer,
                    "to_client" => Direction::ToClient,
                    other => return Err(format!("unknown direction \"{other}\"")),
                };
                cluster
                    .faults
                    .add(Fault::delay(direction, duration(by)?).always());
            }
            ("throttle", [burst, per_second]) => {
                cluster
                    .admission
                    .throttle(number(burst)?, number(per_second)?);
            }
            ("advance", [by]) => {
                let by = duration(by)?;
                cluster.clock.advance(by);
                cluster.uptime.advance(by);
            }
            ("sleep", []) => cluster.admission.sleep(),
            ("cut", []) => drop(cluster.disruption.send_replace(Disruption::Cut)),
            ("reset", []) => drop(cluster.disruption.send_replace(Disruption::Reset)),
            ("black_hole", []) => drop(cluster.disruption.send_replace(Disruption::BlackHole)),
            ("change_schema", []) => {
                cluster.schema.change(None, cluster.uptime.now());
            }
            ("release", []) => cluster.faults.release(),
            ("clear", []) => cluster.faults.clear(),
            ("counts", []) => return Ok(Outcome::Counts(cluster.log.counts().to_json())),
            (procedure, arguments) => {
                return Err(format!(
                    "no procedure {SCHEMA}.{procedure} takes {} arguments",
                    arguments.len()
                ));
            }
        }
        Ok(Outcome::Done)
    }

    fn inject(&self, cluster: &Cluster, name: &str, rest: &[&str]) -> Result<Outcome, String> {
        let (times, stage) = match rest {
            [] => (1, None),
            [times] => (number(times)?, None),
            [times, stage] => (number(times)?, Some(stage_of(stage)?)),
            _ => return Err("inject takes a fault, a count and a stage".to_owned()),
        };
        let effect = |effect| Fault::at(stage.unwrap_or(Stage::Statement), effect);
        let fault = match name {
            "conflict" => Fault::conflict_commits(1),
            "schema_conflict" => Fault::refuse(Refusal::SchemaChanged),
            "unavailable" => Fault::refuse(Refusal::ServerUnavailable),
            "lose_commit_reply" => Fault::lose_commit_reply(),
            "misreport_commit" => Fault::misreport_commit(Refusal::ServerUnavailable),
            "waking_up" => Fault::refuse(Refusal::WakingUp),
            "too_many_connections" => Fault::refuse(Refusal::TooManyConnections),
            "rate_exceeded" => Fault::refuse(Refusal::RateExceeded),
            "signature_expired" => Fault::refuse(Refusal::signature_expired()),
            "cut" => effect(Effect::Cut),
            "reset" => effect(Effect::Reset),
            "stall" => effect(Effect::Stall),
            "garbage" => effect(Effect::Garbage),
            other => return Err(format!("unknown fault \"{other}\"")),
        };
        cluster.faults.add(fault.times(times));
        Ok(Outcome::Done)
    }
}

fn stage_of(name: &str) -> Result<Stage, String> {
    Ok(match name {
        "accept" => Stage::Accept,
        "tls_hello" => Stage::TlsHello,
        "tls_finished" => Stage::TlsFinished,
        "startup" => Stage::Startup,
        "password" => Stage::Password,
        "ready" => Stage::Ready,
        "idle" => Stage::Idle,
        "statement" => Stage::Statement,
        "rows" => Stage::Rows,
        "commit" => Stage::Commit,
        "committed" => Stage::Committed,
        other => return Err(format!("unknown stage \"{other}\"")),
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("\"{text}\" is not a valid number here"))
}

/// Parses `90 seconds`, `1 hour`, `250 ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unknown =
        || format!("\"{text}\" is not a duration; write it like '90 seconds' or '1 hour'");
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let count: u64 = text[..end].parse().map_err(|_| unknown())?;
    let milliseconds = match text[end..].trim().trim_end_matches('s') {
        "m" | "millisecond" => 1,
        "" | "sec" | "second" => 1_000,
        "min" | "minute" => 60_000,
        "hour" => 3_600_000,
        "day" => 86_400_000,
        "week" => 604_800_000,
        _ => return Err(unknown()),
    };
    count
        .checked_mul(milliseconds)
        .filter(|milliseconds| *milliseconds <= MOST_MILLISECONDS)
        .map(Duration::from_millis)
        .ok_or_else(unknown)
}

const SCHEMA: &str = "dsql_local";
/// A hundred years: adding them overflows no clock.
const MOST_MILLISECONDS: u64 = 100 * 366 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [
            ("1 hour", Some(3_600_000)),
            ("90 seconds", Some(90_000)),
            ("250ms", Some(250)),
            ("2", Some(2_000)),
            ("3 days", Some(259_200_000)),
            ("hour", None),
            ("-1 hour", None),
            ("1 fortnight", None),
            ("18446744073709551615 weeks", None),
        ] {
            let read = duration(text).ok();
            assert_eq!(read, expected.map(Duration::from_millis), "{text}");
        }
    }
}
