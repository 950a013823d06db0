use super::*;

#[test]
fn texts_are_split_at_top_level_semicolons() {
    for (sql, expected) in [
        ("", &[] as &[&str]),
        (" ; ;; ", &[]),
        ("-- only this; and that\n", &[]),
        ("SELECT 1", &["SELECT 1"]),
        ("a;b ; c;", &["a", "b ", " c"]),
        ("SELECT ';'';' ; b", &["SELECT ';'';' ", " b"]),
        ("SELECT E'\\';' ; b", &["SELECT E'\\';' ", " b"]),
        ("SELECT \";\" ; b", &["SELECT \";\" ", " b"]),
        ("DO $x$ ; $$ ; $x$; b", &["DO $x$ ; $$ ; $x$", " b"]),
        ("SELECT $1; b", &["SELECT $1", " b"]),
        ("a /* ; /* ; */ ; */; b", &["a /* ; /* ; */ ; */", " b"]),
        ("a (b; c); d", &["a (b; c)", " d"]),
        ("SELECT 'open ; ", &["SELECT 'open ; "]),
    ] {
        let cut: Vec<_> = split(sql).iter().map(|statement| statement.text).collect();
        assert_eq!(cut, expected, "{sql}");
    }
}

#[test]
fn words_are_found_after_comments_and_in_any_case() {
    let cut = split("/* x */ Aws -- y\n iam GRANT \"My Role\" to 'arn:''x'");
    assert!(cut[0].begins_with(&["aws", "iam", "grant"]));
    assert_eq!(cut[0].tokens[3], Token::Name("My Role".into()));
    assert_eq!(cut[0].tokens[5], Token::Literal("arn:'x".into()));
    assert!(!split("commitment")[0].begins_with(&["commit"]));
}

#[test]
fn only_ascii_spaces_are_spaces() {
    for sql in ["\u{a0}COMMIT", "\u{2003}COMMIT", "COMMIT\u{a0}"] {
        assert!(!split(sql)[0].begins_with(&["commit"]), "{sql:?}");
    }
    assert!(split("\u{b}\u{c}\r\tCOMMIT")[0].begins_with(&["commit"]));
}

#[test]
fn a_carriage_return_ends_a_comment() {
    assert!(split("-- one\rCOMMIT")[0].begins_with(&["commit"]));
}

/// As in PostgreSQL with UTF-8, where the lower case of the Kelvin sign is not a `k`.
#[test]
fn only_ascii_letters_are_folded() {
    let cut = split("CREATE ROLE \u{c9}A LOGIN; ROLLBAC\u{212a}");
    assert_eq!(cut[0].tokens[2], Token::Word("\u{c9}a".into()));
    assert!(!cut[1].begins_with(&["rollback"]));
}

#[test]
fn strings_continue_in_another_line() {
    for (sql, value) in [
        ("'a'\n 'b'; x", "ab"),
        ("'a' \r\n\t-- c;\n\n'b'; x", "ab"),
        ("'a' -- c\n-- d\n'''b;'; x", "a'b;"),
        ("E'a'\n'\\';'; x", "a';"),
        ("'a' 'b'; x", "a"),
        ("'a' /* c */\n'b'; x", "a"),
    ] {
        let cut = split(sql);
        assert_eq!(cut.len(), 2, "{sql}");
        assert_eq!(cut[0].tokens[0], Token::Literal(value.into()), "{sql}");
    }
}

#[test]
fn atomic_bodies_are_part_of_their_statement() {
    for (sql, statements) in [
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; COMMIT",
            2,
        ),
        (
            "create or replace procedure p() \
             begin atomic select case when true then 2 end; end; commit",
            2,
        ),
        ("BEGIN; SELECT CASE WHEN true THEN 2 END; END", 3),
        ("CREATE TABLE begin (atomic int); END", 2),
        ("BEGIN ATOMIC; SELECT 1; END", 3),
    ] {
        assert_eq!(split(sql).len(), statements, "{sql}");
    }
}

#[test]
fn sources_have_no_spaces_and_comments_around_them() {
    let sql = "-- first\nSELECT 'a' /* b */ ; -- c\n\n  SELECT \"d\" -- e\n";
    let found: Vec<_> = split(sql)
        .iter()
        .map(|statement| (statement.source(), statement.source_at()))
        .collect();
    assert_eq!(found, [("SELECT 'a'", 9), ("SELECT \"d\"", 38)]);
    for (source, at) in found {
        assert!(sql[at..].starts_with(source));
    }
}

#[test]
fn unclosed_quotes_and_comments_are_refused() {
    for (sql, at) in [
        ("SELECT 'a; b", 7),
        ("a; SELECT E'\\'", 10),
        ("SELECT \"a", 7),
        ("SELECT $x$ $y$", 7),
        ("a; /* /* */ b", 3),
    ] {
        assert_eq!(split_closed(sql), Err(Unclosed { at }), "{sql}");
    }
    let closed = "SELECT 'a', E'\\'', $$'$$, $1, \"'\" /* ' */ -- '";
    assert_eq!(split_closed(closed).unwrap(), split(closed));
}
