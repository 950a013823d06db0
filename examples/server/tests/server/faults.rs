//! A run under faults, and the page of the documentation that shows its spans, events and metrics.

mod page;
mod run;
mod waterfall;

use std::path::{Path, PathBuf};
use std::{env, fs};

use self::run::{Seen, run};

/// Compares docs/run-under-faults.md with a run, or writes it and its picture.
///
/// Times and ports differ each time; what happened and which metrics show it do not.
#[tokio::test]
async fn the_page_of_a_run_under_faults_is_that_of_the_code() {
    let seen = run().await;
    let page = page::markdown(&seen);
    let picture = waterfall::svg(&seen.slow, page::SLOW);
    let path = docs().join("run-under-faults.md");
    if env::var_os("DSQL_WRITE_RUN").is_some() {
        fs::write(docs().join("run-under-faults.svg"), picture).unwrap();
        return fs::write(&path, page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(
        page::without_figures(&written),
        page::without_figures(&page),
        "`DSQL_WRITE_RUN=1 cargo test -p server a_run_under_faults` writes docs/run-under-faults.md"
    );
    let written = fs::read_to_string(docs().join("run-under-faults.svg")).unwrap();
    for span in ["request", "dsql.transaction", "dsql.connect"] {
        assert!(written.contains(span) && picture.contains(span), "{span}");
    }
}

/// The names of docs/observability.md, as Prometheus writes them.
#[tokio::test]
async fn every_documented_metric_is_on_the_page() {
    let Seen { metrics, .. } = run().await;
    let documented = fs::read_to_string(docs().join("observability.md")).unwrap();
    let (_, table) = documented.split_once("<!-- metrics").unwrap();
    let (table, _) = table.split_once("<!-- end of metrics").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut compared = 0;
    for row in rows {
        let cells: Vec<_> = row
            .split('|')
            .map(|cell| cell.trim_matches([' ', '`']))
            .collect();
        let name = cells[1].replace('.', "_");
        let (name, kind) = match cells[2] {
            "counter" => (format!("{name}_total"), "counter"),
            "histogram" => (format!("{name}_seconds"), "histogram"),
            kind => (name, kind),
        };
        let line = format!("# TYPE {name} {kind}\n");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
        compared += 1;
    }
    assert_eq!(compared, 17);
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}
