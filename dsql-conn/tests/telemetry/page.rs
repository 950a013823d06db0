//! Compares the page that lists spans, events and metrics with those that are emitted.

use std::collections::{BTreeMap, BTreeSet};

use crate::run::run;
use crate::transcript::Transcript;

const PAGE: &str = include_str!("../../../docs/observability.md");

/// A row of a table: its cells.
pub(crate) type Row = Vec<String>;

/// The rows of the page's table whose first column is this.
pub(crate) fn table(first: &str) -> Vec<Row> {
    let begin = format!("| {first} |");
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(&begin));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

/// The names in backquotes of a cell.
pub(crate) fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[tokio::test]
async fn the_page_lists_every_span_and_event_that_is_emitted() {
    let (transcript, _guard) = Transcript::start();
    run().await;
    let mut emitted = BTreeMap::new();
    for entry in transcript.ours() {
        // The text behind a colon is advice.
        let name = entry.name.split(": ").next().unwrap().to_owned();
        let declared: BTreeSet<_> = entry.declared.iter().copied().collect();
        let key = (entry.is_span, name);
        let (level, seen) = emitted
            .entry(key)
            .or_insert_with(|| (entry.level.to_string(), BTreeMap::new()));
        assert_eq!(*level, entry.level.to_string());
        for field in declared.into_iter().filter(|field| *field != "message") {
            *seen.entry(field).or_insert(false) |= entry.fields.contains_key(field);
        }
    }
    let mut documented = BTreeMap::new();
    for (is_span, first) in [(true, "span"), (false, "event")] {
        for row in table(first) {
            let name = names(&row[0])[0].to_owned();
            let fields = names(&row[2]).into_iter().map(str::to_owned);
            documented.insert(
                (is_span, name),
                (row[1].clone(), fields.collect::<Vec<_>>()),
            );
        }
    }
    for (key, (level, fields)) in &documented {
        let Some((emitted_level, seen)) = emitted.get(key) else {
            panic!("{key:?} was not emitted");
        };
        assert_eq!(level, emitted_level, "{key:?}");
        let declared: BTreeSet<_> = seen.keys().copied().collect();
        let listed: BTreeSet<_> = fields.iter().map(String::as_str).collect();
        assert_eq!(listed, declared, "{key:?}");
        let unused: Vec<_> = seen.iter().filter(|(_, seen)| !**seen).collect();
        assert!(unused.is_empty(), "{key:?} never has {unused:?}");
    }
    for key in emitted.keys() {
        assert!(documented.contains_key(key), "{key:?} is not on the page");
    }
}

#[test]
fn the_page_explains_every_attribute() {
    let explained = table("attribute");
    let explained: BTreeSet<_> = explained.iter().flat_map(|row| names(&row[0])).collect();
    let mut used = BTreeSet::new();
    let tables = [table("span"), table("event")].concat();
    used.extend(tables.iter().flat_map(|row| names(&row[2])));
    let metrics = table("metric");
    let metrics: Vec<_> = metrics.iter().filter(|row| row.len() == 5).collect();
    assert!(!metrics.is_empty());
    used.extend(metrics.iter().flat_map(|row| names(&row[3])));
    assert_eq!(explained, used);
}
