//! Checks that no page is forgotten, and that figures are those of the measurements.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pages in a folder, by their file names.
fn pages_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<_> = names.filter(|name| name.ends_with(".md")).collect();
    assert!(!pages.is_empty(), "{folder:?}");
    pages
}

/// The pages of the guide.
fn pages() -> BTreeSet<String> {
    pages_in(&docs().join("guide"))
}

fn page(name: &str) -> String {
    fs::read_to_string(docs().join("guide").join(name)).unwrap()
}

#[test]
fn the_summary_lists_each_page_once() {
    let summary = fs::read_to_string(docs().join("SUMMARY.md")).unwrap();
    let others = pages_in(&docs()).into_iter();
    let others = others.filter(|page| page != "SUMMARY.md");
    let guide = pages().into_iter().map(|page| format!("guide/{page}"));
    for page in others.chain(guide) {
        let links = summary.matches(&format!("({page})")).count();
        assert_eq!(links, 1, "{page}");
    }
}

#[test]
fn each_page_with_code_is_compiled() {
    let code = fs::read_to_string(docs().join("guide/lib.rs")).unwrap();
    for name in pages() {
        let has_code = page(&name).contains("```rust");
        let is_compiled = code.contains(&format!("include_str!(\"{name}\")"));
        assert_eq!(is_compiled, has_code, "{name}");
    }
}

#[test]
fn all_rust_on_the_pages_is_compiled() {
    for name in pages() {
        let page = page(&name);
        let fences = page.lines().filter(|line| line.starts_with("```rust"));
        for fence in fences {
            assert!(
                ["```rust", "```rust,no_run"].contains(&fence),
                "{name}: {fence}"
            );
        }
    }
}

/// Readers of the Markdown see such lines, and what they copy does not compile.
#[test]
fn no_example_has_lines_that_the_book_would_hide() {
    let crates = ["", "dsql-conn", "dsql-doctor", "dsql-local", "dsql-migrate"];
    let folders = ["docs", "docs/guide"].into_iter().chain(crates);
    for folder in folders.map(|folder| docs().join("..").join(folder)) {
        for name in pages_in(&folder) {
            let page = fs::read_to_string(folder.join(&name)).unwrap();
            for block in page.split("```rust").skip(1) {
                let code = block.split("```").next().unwrap();
                let hidden = |line: &&str| *line == "#" || line.starts_with("# ");
                assert_eq!(code.lines().find(hidden), None, "{folder:?} {name}");
            }
        }
    }
}

/// Compares the code below each `<!-- code: FILE -->` with that file, which the tests run, or
/// writes it if `UPDATE_README` is set.
#[test]
fn programs_on_the_pages_are_those_that_run() {
    let mut compared = 0;
    for name in pages() {
        let text = page(&name);
        let Some((before, rest)) = text.split_once("<!-- code: ") else {
            continue;
        };
        let (file, rest) = rest.split_once(" -->\n```rust,no_run\n").expect(&name);
        let (written, after) = rest.split_once("```\n").expect(&name);
        let source = fs::read_to_string(docs().join("guide").join(file)).unwrap();
        let (_, code) = source.split_once("\n\n").expect("a comment about the file");
        if std::env::var_os("UPDATE_README").is_some() {
            let start = format!("<!-- code: {file} -->\n```rust,no_run\n");
            let text = [before, &start, code, "```\n", after].concat();
            fs::write(docs().join("guide").join(&name), text).unwrap();
        } else {
            assert_eq!(written, code, "{name}: write it with UPDATE_README=1");
        }
        compared += 1;
    }
    assert_eq!(compared, 2);
}

/// The rows of `docs/performance` that other pages repeat: the text there, the text here.
const FIGURES: [(&str, &str); 8] = [
    (
        "round trips, start to first row of a typed query",
        "round trips from the start of a process to its first row",
    ),
    (
        "round trips of a warm query with its checkout",
        "round trips of a warm query with its checkout",
    ),
    (
        "round trips of a warm one-statement transaction",
        "round trips of a warm transaction of one statement",
    ),
    (
        "instructions, start to first row",
        "instructions from the start to the first row",
    ),
    ("stripped binary", "stripped binary of that program"),
    ("crates in it", "crates in it"),
    ("peak memory", "its peak memory"),
    (
        "fairness, p99 by p50 of 64 tasks' waits for 10 connections",
        "64 tasks wait for 10 connections: p99 by median",
    ),
];

/// Compares the tables of figures with `docs/performance`, or writes them if `UPDATE_README` is
/// set.
#[test]
fn figures_are_those_of_the_measurements() {
    let measured = fs::read_to_string(docs().join("performance/README.md")).unwrap();
    let mut table = String::from(
        "| | dsql-conn | AWS's connector (sqlx) | bb8-postgres | deadpool-postgres |\n\
         |---|--:|--:|--:|--:|\n",
    );
    for (there, here) in FIGURES {
        let start = format!("| {there} |");
        let row = measured.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("docs/performance has no {there:?}"));
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, _required, ours, _verdict, aws, bb8, deadpool] = cells[..] else {
            panic!("{row}");
        };
        table += &format!("| {here} | {ours} | {aws} | {bb8} | {deadpool} |\n");
    }

    const BEGIN: &str = "<!-- figures: begin -->\n";
    const END: &str = "<!-- figures: end -->";
    for path in ["guide/beside-others.md", "../README.md"] {
        let path = docs().join(path);
        let page = fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
        let (written, after) = rest.split_once(END).expect("where the table ends");
        if std::env::var_os("UPDATE_README").is_some() {
            fs::write(&path, [before, BEGIN, &table, END, after].concat()).unwrap();
        } else {
            assert_eq!(written, table, "{path:?}: write it with UPDATE_README=1");
        }
    }
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(docs().join("../README.md")).unwrap();
    assert!(readme.lines().count() < 150);
}
