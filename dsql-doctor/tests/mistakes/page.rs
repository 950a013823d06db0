//! Writes the reports as Markdown, for the users of the crates.

use std::path::Path;
use std::{env, fs};

use crate::{Mistake, Told};

/// Compares the reports with docs/mistakes.md, or writes that file.
pub(crate) fn compare(all: &[(&Mistake, Told)]) {
    let page = page(all);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mistakes.md");
    if env::var_os("DSQL_WRITE_MISTAKES").is_some() {
        return fs::write(&path, page).expect("the page is written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/mistakes.md differs from what is told; \
         `DSQL_WRITE_MISTAKES=1 cargo test -p dsql-doctor --test mistakes` writes it:\n{page}"
    );
}

fn page(all: &[(&Mistake, Told)]) -> String {
    let mut page = INTRODUCTION.to_owned();
    page += "| | mistake | exit code |\n|---|---|---|\n";
    for (number, (mistake, told)) in (1..).zip(all) {
        let class = mistake.class;
        page += &format!(
            "| {number} | {} | {} ({class}) |\n",
            mistake.name, told.exit_code
        );
    }
    for (number, (mistake, told)) in (1..).zip(all) {
        page += &format!(
            "\n## {number}. {}\n\nGiven: {}.\n\n```text\n{}\n```\n\n```text\n{}\n```\n",
            mistake.name,
            mistake.given,
            stable(&told.library),
            stable(&told.doctor)
        );
    }
    page
}

/// Replaces what differs from run to run: ports, times and numbers of attempts.
fn stable(said: &str) -> String {
    let mut words: Vec<String> = said.split(' ').map(str::to_owned).collect();
    for at in 0..words.len() {
        let word = words[at].clone();
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let is_time = digits >= 14 && word.contains('T') && word.contains('Z');
        if is_time && !word.starts_with("2026-01-01") {
            let end = word.rfind('Z').unwrap_or_default() + 1;
            words[at] = format!("{}TIME{}", opening(&word), &word[end..]);
        } else if let Some((before, after)) = word.split_once("127.0.0.1:") {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            words[at] = format!("{before}ADDRESS:PORT{rest}");
        } else if word == "tried" {
            words[at + 1] = "N".to_owned();
        } else if word == "ago" || word.starts_with("ago,") || word.starts_with("ago;") {
            // In two units.
            words[at - 4] = "N".to_owned();
            words[at - 2] = "N".to_owned();
        } else if word == "(os" {
            let number = words[at + 2].trim_start_matches(|c: char| c.is_ascii_digit());
            words[at + 2] = format!("N{number}");
        }
    }
    words.join(" ")
}

fn opening(word: &str) -> &str {
    match word.starts_with('(') {
        true => "(",
        false => "",
    }
}

const INTRODUCTION: &str = "\
# Mistakes

Common mistakes in connecting to Aurora DSQL, and the messages about them: first the error of
`dsql-conn` (`{e}`, one line), then the first line of `dsql-doctor`. `cargo test -p dsql-doctor
--test mistakes` makes each mistake against `dsql-local` and compares the messages with this page;
with `DSQL_WRITE_MISTAKES=1` it writes the page. Ports, times and numbers of attempts are
replaced, because they differ each time.

[What went wrong](what-went-wrong.md) has an entry for each reason.

";
