use proptest::prelude::*;

use super::*;

#[test]
fn summaries_are_those_of_the_conventions() {
    for (text, expected) in [
        (
            "SELECT * FROM wuser_table WHERE username = $1",
            "SELECT wuser_table",
        ),
        (
            "INSERT INTO shipping_details (order_id, address) SELECT order_id, address \
             FROM orders WHERE order_id = $1",
            "INSERT shipping_details SELECT orders",
        ),
        (
            "SELECT * FROM songs, artists WHERE songs.artist_id = artists.id",
            "SELECT songs artists",
        ),
        (
            "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c \
             ON o.customer_id = c.customer_id)",
            "SELECT SELECT orders customers",
        ),
        (
            "SELECT * FROM \"song list\", artists",
            "SELECT \"song list\" artists",
        ),
        (
            "call some_stored_procedure($1)",
            "call some_stored_procedure",
        ),
    ] {
        assert_eq!(summary(text), expected);
    }
}

#[test]
fn summaries_name_operations_and_their_targets() {
    for (text, expected) in [
        ("", ""),
        ("SELECT 1", "SELECT"),
        (
            "update only games.score s set n = 1 from t where x",
            "update games.score t",
        ),
        ("DELETE FROM a USING b WHERE a.x = b.x", "DELETE a b"),
        ("SELECT a FROM b FOR UPDATE", "SELECT b"),
        ("SELECT a IS NOT DISTINCT FROM c FROM b", "SELECT b"),
        ("SELECT extract(year FROM at) FROM b", "SELECT b"),
        (
            "SELECT * FROM generate_series(1, 9) g, b JOIN c USING (x)",
            "SELECT b c",
        ),
        (
            "INSERT INTO a VALUES ($1) ON CONFLICT (x) DO UPDATE SET y = 1 RETURNING z",
            "INSERT a",
        ),
        (
            "WITH n AS (SELECT 1 FROM a) SELECT * FROM n",
            "SELECT a SELECT n",
        ),
        (
            "BEGIN; INSERT INTO a VALUES (1); COMMIT",
            "BEGIN INSERT a COMMIT",
        ),
        (
            "CREATE TABLE IF NOT EXISTS a.b (c text)",
            "CREATE TABLE a.b",
        ),
        (
            "CREATE INDEX ASYNC IF NOT EXISTS i ON t (c)",
            "CREATE INDEX i t",
        ),
        ("CREATE UNIQUE INDEX ON t (c)", "CREATE INDEX t"),
        ("CREATE VIEW v AS SELECT * FROM t", "CREATE VIEW v SELECT t"),
        ("GRANT SELECT, INSERT ON t TO u", "GRANT"),
        ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN ANALYZE"),
        ("SET search_path = 'a'", "SET"),
    ] {
        assert_eq!(summary(text), expected, "{text}");
    }
    let long = format!("SELECT * FROM {}", ["some_table"; 90].join(", "));
    assert!(summary(&long).len() <= MOST_BYTES);
    assert!(summary(&long).ends_with("some_table"));
}

#[test]
fn a_redacted_text_has_no_literal() {
    let text = "SELECT  a -- secret\nFROM t WHERE b='secret' AND c = $1 AND d > 17";
    let expected = "SELECT a FROM t WHERE b=? AND c = $1 AND d > ?";
    assert_eq!(redacted(text), expected);
}

proptest! {
    #[test]
    fn no_text_shows_a_literal(
        before in "[a-zA-Z_ ,.()=]{0,20}|SELECT a FROM |INSERT INTO t VALUES \\(",
        literal in "[a-z'\\\\]{0,8}",
        after in "[^']{0,20}",
    ) {
        let literal = format!("s3cret{literal}");
        let escaped = literal.replace('\'', "''");
        let dollars = literal.replace('$', "");
        for text in [
            format!("{before} '{escaped}' {after}"),
            format!("{before} $${dollars}$$ {after}"),
            format!("{before} E'{}' {after}", escaped.replace('\\', "\\\\")),
            format!("{before} '{escaped}"),
            format!("{before} -- {escaped}"),
            format!("{before} 16384{after}"),
        ] {
            for shown in [redacted(&text), summary(&text)] {
                prop_assert!(!shown.contains("s3cret") && !shown.contains("16384"), "{shown}");
            }
        }
    }

    #[test]
    fn any_text_can_be_summarized(text in "\\PC*") {
        prop_assert!(summary(&text).len() <= MOST_BYTES);
        redacted(&text);
    }
}
