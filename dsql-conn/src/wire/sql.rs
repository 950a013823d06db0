//! Finds the SQL that ends a transaction.

/// Returns whether a batch of statements may commit a transaction. `is_whole` is false if it was
/// cut short.
pub(super) fn batch_may_commit(batch: &[u8], is_whole: bool) -> bool {
    !is_whole || batch.split(|&byte| byte == b';').any(may_commit)
}

/// Returns whether a statement may commit a transaction, by its first word. Returns `true` in
/// doubt.
pub(super) fn may_commit(statement: &[u8]) -> bool {
    let statement = without_leading_comments(statement);
    let length = statement
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    match &statement[..length] {
        // The statement is empty, or begins with something that this function does not parse.
        [] => !matches!(statement, [] | [0, ..]),
        word => COMMITTING
            .iter()
            .any(|commit| word.eq_ignore_ascii_case(commit)),
    }
}

/// Returns whether a simple query does nothing but end the transaction.
pub(super) fn ends_transaction(query: &[u8]) -> bool {
    let query = query.strip_suffix(&[0]).unwrap_or(query).trim_ascii();
    let query = query.strip_suffix(b";").unwrap_or(query).trim_ascii();
    let words: [&[u8]; 4] = [b"ROLLBACK", b"COMMIT", b"ABORT", b"END"];
    words.iter().any(|word| query.eq_ignore_ascii_case(word))
}

/// Skips white space and comments, where tools write trace IDs. Keeps a comment that is not closed,
/// or has another one inside.
fn without_leading_comments(statement: &[u8]) -> &[u8] {
    let mut rest = statement.trim_ascii_start();
    loop {
        let end = match rest {
            [b'-', b'-', ..] => rest.iter().position(|byte| b"\n\r".contains(byte)),
            [b'/', b'*', inside @ ..] => {
                let marks = |pair: &[u8]| matches!(pair, b"*/" | b"/*");
                let mark = inside.windows(2).position(marks);
                mark.filter(|&at| inside[at] == b'*').map(|at| 2 + at + 1)
            }
            _ => return rest,
        };
        let Some(end) = end else {
            return rest;
        };
        rest = rest[end + 1..].trim_ascii_start();
    }
}

/// First words of statements that commit a transaction. `CALL` runs a procedure, which may commit.
/// After a `ROLLBACK` in a batch, the statements behind it commit without a `COMMIT`.
const COMMITTING: [&[u8]; 6] = [
    b"COMMIT",
    b"END",
    b"PREPARE",
    b"CALL",
    b"ROLLBACK",
    b"ABORT",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_may_commit_are_found() {
        for text in [
            "COMMIT",
            " \n commit work",
            "-- why\nCOMMIT",
            "/* why */ COMMIT",
            "CALL finish()",
        ] {
            assert!(may_commit(text.as_bytes()), "{text:?}");
        }
        for text in [
            "INSERT INTO note VALUES ('commit')",
            "COMMITTED",
            "",
            "-- why\n/* who */ SELECT 1",
            "/**/SELECT 1",
        ] {
            assert!(!may_commit(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn a_comment_that_is_not_understood_may_hide_a_commit() {
        for text in [
            "/* a /* b */ c */ COMMIT",
            "-- a\rCOMMIT\nSELECT 1",
            "/*/ COMMIT",
            "-- a; b\nCOMMIT",
        ] {
            assert!(batch_may_commit(text.as_bytes(), true), "{text:?}");
        }
    }

    #[test]
    fn every_statement_of_a_batch_counts() {
        for batch in [
            "INSERT INTO note VALUES (1); end;",
            "SELECT 1; ROLLBACK; INSERT INTO note VALUES (1)",
        ] {
            assert!(batch_may_commit(batch.as_bytes(), true), "{batch:?}");
        }
        assert!(batch_may_commit(b"SELECT 'cut sh", false));
        assert!(!batch_may_commit(b"SELECT 1; SELECT 2", true));
    }
}
