//! SQL that the service refuses, found by AWS's linter before anything is sent.

use dsql_lint::lint_sql;

use crate::migration::{Migration, Migrations};
use crate::place::Place;
use crate::problem::Problem;

impl Migrations {
    /// Finds SQL that the service refuses, by AWS's [`dsql-lint`](https://docs.rs/dsql-lint). Files
    /// allow a rule by a line such as `-- dsql-migrate: allow(parse_error)`.
    ///
    /// The linter may be behind the service: its parser does not know all SQL of PostgreSQL 16.
    pub fn lint(&self) -> Vec<Problem> {
        self.files.iter().flat_map(lint).collect()
    }
}

/// Lints each statement by itself, because each has a transaction of its own.
fn lint(file: &Migration) -> Vec<Problem> {
    let mut problems = Vec::new();
    for statement in &file.statements {
        for found in lint_sql(&statement.sql) {
            let rule = snake_case(&format!("{:?}", found.rule));
            if file.allows(&rule) {
                continue;
            }
            problems.push(Problem {
                place: Place {
                    line: statement.place.line + found.line.saturating_sub(1),
                    ..statement.place.clone()
                },
                rule,
                what: found.message,
                remedy: found.suggestion,
            });
        }
    }
    problems
}

/// Returns a rule's name as the linter prints it.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_have_their_lines_and_can_be_allowed() {
        let sql = "SELECT 1;\nCREATE TABLE IF NOT EXISTS t (\n  id serial PRIMARY KEY\n);\n";
        let migrations = Migrations::parse([("1_a.sql", sql)]).unwrap();
        let problems = migrations.lint();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].rule, "serial_type");
        assert_eq!(problems[0].place.to_string(), "1_a.sql:3: statement 2");

        let allowed = format!("-- dsql-migrate: allow(serial_type)\n{sql}");
        let migrations = Migrations::parse([("1_a.sql", allowed)]).unwrap();
        assert_eq!(migrations.lint(), []);
    }

    #[test]
    fn statements_of_the_service_pass() {
        for sql in [
            "CREATE UNIQUE INDEX ASYNC IF NOT EXISTS i ON t (a) INCLUDE (b) WHERE a > 1",
            "ALTER TABLE ASYNC t VALIDATE CONSTRAINT c",
            "AWS IAM GRANT app TO 'arn:aws:iam::111122223333:role/app'",
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS a jsonb",
            "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        ] {
            let migrations = Migrations::parse([("1_a.sql", sql)]).unwrap();
            assert_eq!(migrations.lint(), [], "{sql}");
        }
    }
}
