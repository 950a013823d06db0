use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use tokio_postgres::SimpleQueryMessage;

use super::*;
use crate::corpus::{mutated, walk};
use crate::engine::Engine;

/// White space and comments between two tokens, with characters that end a statement elsewhere.
fn gap() -> impl Strategy<Value = String> {
    const GAPS: &[&str] = &[
        " ",
        "  ",
        "\t",
        "\n",
        "\r",
        "\u{c}",
        "/* ; */",
        "/**/",
        "/* ' /* \" ; */ $$ */",
        "-- ; '\n",
        "--\r",
        "-- /*\r\n",
    ];
    prop::collection::vec(select(GAPS), 1..4).prop_map(|gaps| gaps.concat())
}

/// A column's value, in PostgreSQL's notations.
fn value() -> impl Strategy<Value = String> {
    const VALUES: &[&str] = &[
        "1",
        "(1)",
        "''",
        "';'",
        "'it''s;'",
        "'\\'",
        "'--;'",
        "'/*;'",
        "E';'",
        "e'\\';'",
        "E'\\\\'",
        "E''';\\''",
        "$$;$$",
        "$$'$$",
        "$x$ $$ ; $y$ $x$",
        "$\u{e9}1$;$\u{e9}1$",
        "N';'",
        "B'1'",
        "x'1F'",
        "U&';'",
        "'\u{e9};\u{1f600}'",
        "(SELECT '; )')",
        "1-- ;\n-1",
        "'\u{a0}'",
    ];
    const BEGINNINGS: &[&str] = &["'a;'", "E'\\';'", "''"];
    const CONTINUATIONS: &[&str] = &["';b'", "'\\'", "''';'", "'\\'';'"];
    let continued = (select(BEGINNINGS), gap(), select(CONTINUATIONS));
    prop_oneof![
        3 => select(VALUES).prop_map(str::to_owned),
        1 => continued.prop_map(|(beginning, gap, rest)| format!("{beginning}{gap}{rest}")),
    ]
}

fn column() -> impl Strategy<Value = &'static str> {
    const COLUMNS: &[&str] = &[
        "a",
        "A1_$",
        "\u{c9}t\u{e9}",
        "\u{212a}",
        "\u{a0}",
        "\";\"",
        "\"a\"\"B;\"",
        "\"--\"",
        "\"/*\"",
        "\"'\"",
    ];
    select(COLUMNS)
}

/// Statements, most of which PostgreSQL can parse.
fn text() -> impl Strategy<Value = String> {
    const ENDS: &[&str] = &[";", ";;", "; ;"];
    let one = (gap(), value(), gap(), gap(), column());
    let one = one.prop_map(|(before, value, between, after, column)| {
        format!("SELECT{before}{value}{between}AS{after}{column}")
    });
    let end = (
        prop::option::of(gap()),
        select(ENDS),
        prop::option::of(gap()),
    );
    let end = end.prop_map(|(before, end, after)| {
        before.unwrap_or_default() + end + &after.unwrap_or_default()
    });
    prop::collection::vec((one, end), 1..5).prop_map(|statements| {
        let statements = statements.into_iter().map(|(one, end)| one + &end);
        statements.collect()
    })
}

/// Compares the result with PostgreSQL itself.
#[test]
fn texts_are_split_where_postgresql_splits_them() {
    const CASES: u32 = 500;
    let engine = Engine::start(None).unwrap();
    let client = engine.superuser();
    let understood = Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&text(), |text| {
        let Ok(messages) = engine.runtime().block_on(client.simple_query(&text)) else {
            return Ok(());
        };
        understood.set(understood.get() + 1);
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let rows: Vec<_> = rows.collect();
        let statements = split(&text);
        prop_assert_eq!(statements.len(), rows.len());
        for (statement, row) in statements.iter().zip(rows) {
            // An escape may make the name part of a string.
            if let Some(column) = statement.tokens.last().and_then(Token::as_name) {
                prop_assert_eq!(column, row.columns()[0].name());
            }
            // A letter before a string makes another token.
            if let [_, Token::Literal(value), _, _] = &statement.tokens[..]
                && !value.contains('\\')
            {
                prop_assert_eq!(row.get(0), Some(&**value));
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let understood = understood.get();
    assert!(understood > CASES / 2, "only {understood} were SQL");
}

proptest! {
    #[test]
    fn no_text_panics(sql in "[-;'\"$/*eE\\\\ (){}a1_\u{e9}\u{1f600}\n]{0,60}") {
        read(&sql);
    }

    #[test]
    fn no_mutated_input_panics(sql in mutated("statement")) {
        read(&String::from_utf8_lossy(&sql));
    }

    #[test]
    fn statements_split_into_themselves(sql in prop_oneof![
        mutated("statement").prop_map(|sql| String::from_utf8_lossy(&sql).into_owned()),
        text(),
    ]) {
        for statement in split(&sql) {
            let again = split(statement.text);
            prop_assert_eq!(again.len(), 1);
            prop_assert_eq!(&again[0].tokens, &statement.tokens);
            prop_assert_eq!(again[0].text, statement.text);
        }
    }
}

#[test]
fn mutations_of_the_corpus_never_panic() {
    walk("statement", |sql| read(&String::from_utf8_lossy(sql)));
}

/// Fails by a timeout if a text takes quadratic time.
#[test]
fn long_texts_are_split_in_linear_time() {
    for part in [
        ";",
        "'",
        "\"",
        "E'\\'",
        "''\n",
        "'' -- \n",
        "$",
        "$$",
        "$a$",
        "$a",
        "$1",
        "/*",
        "*/",
        "/**/",
        "--",
        "-",
        "--\n",
        "(",
        ")",
        "a",
        "a ",
        "\u{1f600};",
        "f(",
        "update ",
        "x,",
        "BEGIN ATOMIC ",
        "as identity ",
    ] {
        let sql = part.repeat(60_000 / part.len());
        for beginning in ["", "CREATE FUNCTION ", "ALTER TABLE ", "SELECT "] {
            read(&format!("{beginning}{sql}"));
        }
    }
}

/// Checks that each statement is part of the text, and that the rules accept it as input.
fn read(sql: &str) {
    let mut read = 0;
    for statement in &split(sql) {
        for (index, token) in statement.tokens.iter().enumerate() {
            let rest = &statement.text[statement.start(index)..];
            let length = match token {
                Token::Symbol(symbol) => {
                    assert!(rest.starts_with(*symbol));
                    symbol.len_utf8()
                }
                Token::Word(word) => {
                    assert!(rest[..word.len()].eq_ignore_ascii_case(word));
                    word.len()
                }
                Token::Name(name) => {
                    assert!(rest.starts_with('"'));
                    name.len()
                }
                Token::Literal(text) => {
                    assert!(rest.starts_with(['\'', 'e', 'E', '$']));
                    text.len()
                }
            };
            read += length;
        }
        let source_at = statement.source_at();
        assert!(sql[source_at..].starts_with(statement.source()));
        for at in 0..statement.tokens.len() {
            assert!(statement.without([at]).len() <= statement.text.len());
            assert!(statement.text.ends_with(statement.after(at)));
        }
        let _checked = crate::sql::rules::check(statement);
    }
    assert!(read <= sql.len(), "more was read than there is");
}
