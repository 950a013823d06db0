//! Replays the record of a real cluster (`record/`), and fails if an answer differs that is not
//! listed. `cargo test -p dsql-local --test record -- --nocapture` prints the table.

mod support;
#[path = "support/wire.rs"]
mod wire;

use std::collections::BTreeMap;

use dsql_local::LocalCluster;
use serde::Deserialize;
use wire::{Answer, Wire};

/// The cases with a different answer, and the reason. The README has the same list.
const LISTED: &[(&str, &str)] = &[
    ("q_lateral_left_outer_ref", PLANNER),
    ("q_lateral_left_no_outer_where", PLANNER),
    ("q_lateral_left_outer_ref_cast", PLANNER),
    ("alter_unique_using_index", BUILDS),
];

const PLANNER: &str = "a defect of the service's planner: the query is valid";
const BUILDS: &str = "an index is built before the statement returns, so that tests need not wait";

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    group: String,
    steps: Option<Vec<String>>,
    #[serde(default)]
    observations: Vec<Observation>,
    #[serde(default)]
    simple_protocol: bool,
    #[serde(default)]
    ignore_rows: bool,
    #[serde(default)]
    conflict_race: bool,
    #[serde(default)]
    session_sql: Vec<Vec<String>>,
    #[serde(default)]
    sessions: Vec<Vec<Observation>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Observation {
    outcome: Option<String>,
    command_tag: Option<String>,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    rows: Vec<Vec<String>>,
    sqlstate: Option<String>,
    message: Option<String>,
    #[serde(default)]
    results: Vec<Self>,
}

#[derive(Debug, Deserialize)]
struct Setup {
    setup: Vec<String>,
}

#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    exact: usize,
    listed: usize,
}

#[tokio::test]
async fn recorded_cases_have_the_recorded_answers() {
    let cluster = LocalCluster::builder().start().await.unwrap();
    let setup: Setup = serde_json::from_str(include_str!("record/setup.json")).unwrap();
    let mut wire = Wire::connect(&cluster).await;
    for sql in &setup.setup {
        // A statement may have been retried because a definition made the catalog stale.
        let answer = wire.extended(sql).await;
        assert_eq!(answer.error, None, "{sql}");
    }
    drop(wire);

    let cases: Vec<Case> = include_str!("record/cases.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut table: BTreeMap<&str, Tally> = BTreeMap::new();
    let (mut wrong, mut stale) = (Vec::new(), Vec::new());
    for case in &cases {
        let (expected, answered) = replay(&cluster, case).await;
        let listed = LISTED.iter().find(|(name, _)| *name == case.name);
        let tally = table.entry(&case.group).or_default();
        tally.cases += 1;
        match (expected == answered, listed) {
            (true, None) => tally.exact += 1,
            (true, Some(_)) => stale.push(&case.name),
            (false, Some(_)) => tally.listed += 1,
            (false, None) => {
                wrong.push(format!(
                    "{}: {:?}\n  expected {expected:?}\n  answered {answered:?}",
                    case.name, case.steps
                ));
            }
        }
    }

    let mut total = Tally::default();
    let mut rendered = "| group | n | exact | listed |\n|---|--:|--:|--:|\n".to_owned();
    for (group, tally) in &table {
        rendered += &row(group, tally);
        total.cases += tally.cases;
        total.exact += tally.exact;
        total.listed += tally.listed;
    }
    rendered += &row("all", &total);
    rendered += "\n";
    for (name, reason) in LISTED {
        rendered += &format!("- `{name}`: {reason}.\n");
    }
    println!("{rendered}\nwrong: {}", wrong.len());
    assert_eq!(total.cases, 242);
    assert!(wrong.is_empty(), "not as recorded:\n{}", wrong.join("\n"));
    assert!(stale.is_empty(), "listed, but as recorded: {stale:?}");
    support::assert_documented("record", &rendered);
}

fn row(group: &str, tally: &Tally) -> String {
    let Tally {
        cases,
        exact,
        listed,
    } = tally;
    format!("| {group} | {cases} | {exact} | {listed} |\n")
}

/// Runs a case on new sessions. Returns the expected and the actual observations.
async fn replay(cluster: &LocalCluster, case: &Case) -> (Vec<Observation>, Vec<Observation>) {
    let Some(steps) = &case.steps else {
        return race(cluster, case).await;
    };
    let mut wire = Wire::connect(cluster).await;
    let mut answered = Vec::new();
    for sql in steps {
        answered.push(if case.simple_protocol {
            several(&wire.simple(sql).await)
        } else {
            one(&wire.extended(sql).await)
        });
    }
    (
        comparable(&case.observations, case),
        comparable(&answered, case),
    )
}

/// Runs the steps of a case's two sessions in turn.
async fn race(cluster: &LocalCluster, case: &Case) -> (Vec<Observation>, Vec<Observation>) {
    let mut wires = [Wire::connect(cluster).await, Wire::connect(cluster).await];
    let mut answered = [Vec::new(), Vec::new()];
    for step in 0..case.session_sql[0].len() {
        for (session, wire) in wires.iter_mut().enumerate() {
            answered[session].push(one(&wire.extended(&case.session_sql[session][step]).await));
        }
    }
    let mut answered = answered.concat();
    let mut expected = case.sessions.concat();
    if case.conflict_race {
        // Either session may fail at its last step; the other one commits.
        let last = case.session_sql[0].len() - 1;
        let other = answered.len() - 1;
        if answered[last] == expected[other] && answered[other] == expected[last] {
            expected.swap(last, other);
        }
    }
    for observations in [&mut expected, &mut answered] {
        *observations = comparable(observations, case);
    }
    (expected, answered)
}

/// Removes what differs in each run, according to the case.
fn comparable(observations: &[Observation], case: &Case) -> Vec<Observation> {
    let mut observations = observations.to_vec();
    if case.ignore_rows {
        let results = observations.iter_mut().flat_map(|observation| {
            let Observation {
                results,
                rows,
                command_tag,
                ..
            } = observation;
            let inner = results
                .iter_mut()
                .map(|inner| (&mut inner.rows, &mut inner.command_tag));
            std::iter::once((rows, command_tag)).chain(inner)
        });
        for (rows, tag) in results {
            rows.clear();
            if let Some(tag) = tag {
                *tag = tag
                    .trim_end_matches(|c: char| c.is_ascii_digit())
                    .to_owned();
            }
        }
    }
    observations
}

fn several(answers: &[Answer]) -> Observation {
    if let Some(failed) = answers.iter().find(|answer| answer.error.is_some()) {
        return one(failed);
    }
    Observation {
        outcome: Some("ok".to_owned()),
        results: answers
            .iter()
            .map(|answer| Observation {
                outcome: None,
                ..one(answer)
            })
            .collect(),
        ..one(&Answer::default())
    }
    .without_tag()
}

impl Observation {
    fn without_tag(mut self) -> Self {
        self.command_tag = None;
        self
    }
}

fn one(answer: &Answer) -> Observation {
    let failed = answer.error.is_some();
    let rows = answer.rows.iter().map(|row| {
        row.iter()
            .zip(&answer.columns)
            .map(|(value, column)| printed(value.as_deref(), column.type_oid))
            .collect()
    });
    Observation {
        outcome: Some(if failed { "error" } else { "ok" }.to_owned()),
        command_tag: (!failed).then(|| answer.tag.clone()),
        columns: answer
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect(),
        rows: rows.collect(),
        sqlstate: answer.error.as_ref().map(|error| error.sqlstate.clone()),
        message: answer.error.as_ref().map(|error| error.message.clone()),
        results: Vec::new(),
    }
}

/// Prints a value like the recording client: Go's `%v` of the decoded value.
fn printed(value: Option<&str>, type_oid: u32) -> String {
    let Some(value) = value else {
        return "NULL".to_owned();
    };
    let inner = || value[1..value.len() - 1].replace(',', " ");
    match type_oid {
        BOOL if value == "t" => "true".to_owned(),
        BOOL => "false".to_owned(),
        UUID => {
            let hex = value.replace('-', "");
            let bytes = (0..16).map(|at| {
                let byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
                byte.to_string()
            });
            format!("[{}]", bytes.collect::<Vec<_>>().join(" "))
        }
        TEXT_ARRAY | RECORD => format!("[{}]", inner()),
        INET if !value.contains('/') => format!("{value}/32"),
        _ => value.to_owned(),
    }
}

const BOOL: u32 = 16;
const INET: u32 = 869;
const TEXT_ARRAY: u32 = 1009;
const RECORD: u32 = 2249;
const UUID: u32 = 2950;
