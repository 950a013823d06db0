//! The settings on the page, and the values that it has for them.

use std::collections::BTreeSet;
use std::time::Duration;

const PAGE: &str = include_str!("../../tuning.md");

/// A setting, as the page describes it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) variables: BTreeSet<String>,
    pub(crate) default: String,
    /// The value in `Pool::lambda`, if the table has that column.
    pub(crate) lambda: Option<String>,
}

pub(crate) fn rows(section: &str) -> Vec<Row> {
    let heading = format!("\n## {section}\n");
    let (_, text) = PAGE.split_once(&heading).expect("the section");
    let text = text.split("\n## ").next().unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with('|'));
    let header = cells(lines.next().expect("a table"));
    let column = |name: &str| header.iter().position(|cell| cell == name);
    let (variable, lambda) = (column("variable"), column("`Pool::lambda`"));
    let default = column("default").expect("a column of defaults");
    let rows: Vec<_> = lines
        .skip(1)
        .map(cells)
        .map(|cells| Row {
            name: quoted(&cells[0]).next().expect("a name").to_owned(),
            variables: variable
                .into_iter()
                .flat_map(|at| quoted(&cells[at]))
                .map(str::to_owned)
                .collect(),
            default: cells[default].clone(),
            lambda: lambda.map(|at| cells[at].clone()),
        })
        .collect();
    assert!(!rows.is_empty(), "{section}");
    rows
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_matches('|');
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

pub(crate) fn names(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().map(|row| row.name.clone()).collect()
}

/// Whether the default is that nothing is set. A text such as "the system's" then tells what is
/// used instead.
pub(crate) fn is_unset(default: &str) -> bool {
    default == "none" || default.starts_with("the ")
}

/// A value of the same kind that is another one.
pub(crate) fn other_than(value: &str) -> String {
    match value {
        "off" | "none" => "1 s".to_owned(),
        "`direct`" => "`postgres`".to_owned(),
        "`false`" => "`true`".to_owned(),
        _ if value.contains(", ") => "7 ms, 8 ms".to_owned(),
        _ if value.ends_with(" s") => "7 s".to_owned(),
        _ if value.starts_with('`') => "`another`".to_owned(),
        _ => "7".to_owned(),
    }
}

pub(crate) fn text(value: &str) -> &str {
    quoted(value).next().expect("a text in backticks")
}

pub(crate) fn duration(value: &str) -> Duration {
    let (number, unit) = value.split_once(' ').expect("a number and a unit");
    let number = number.parse().expect("a number");
    match unit {
        "s" => Duration::from_secs(number),
        "ms" => Duration::from_millis(number),
        _ => panic!("{value}"),
    }
}
