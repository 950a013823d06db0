//! Writes the page "What went wrong" from the errors themselves.

mod why;

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use self::why::why;
use super::*;
use crate::error::RollbackCause;
use crate::scripted::{error, login_error};

/// An entry of the page.
struct Entry {
    name: &'static str,
    see: String,
    why: &'static str,
    remedy: String,
    metric: String,
    answer: String,
}

impl Entry {
    fn of_reason(reason: Reason) -> Self {
        let failed = Failure::new("HOST", "USER", reason);
        let error = Error::Connect(failed.into());
        Self {
            why: why(reason),
            metric: format!("`dsql.connects` with `error.type` = `{}`", reason.as_str()),
            ..Self::of_error(&error, "", "")
        }
    }

    fn of_error(error: &Error, why: &'static str, metric: &str) -> Self {
        let said = error.to_string();
        let remedy = error.remedy().unwrap_or_default().into_owned();
        let see = said.strip_suffix(&format!("; {remedy}")).unwrap_or(&said);
        let answer = match error.retry_after() {
            Some(time) => format!("{}, `Retry-After: {}`", error.http_status(), time.as_secs()),
            None => error.http_status().to_string(),
        };
        Self {
            name: error.entry(),
            see: see.to_owned(),
            why,
            remedy,
            metric: metric.to_owned(),
            answer,
        }
    }

    fn write(&self, page: &mut String) {
        let Self {
            name,
            see,
            why,
            remedy,
            metric,
            answer,
        } = self;
        let remedy = match remedy.is_empty() {
            true => "read the server's message: it names what is wrong with the statement",
            false => remedy,
        };
        *page += &format!(
            "\n## {name}\n\n- You see: `{}`\n- Why: {why}\n- What to do: {}.\n\
             - Shown by: {metric}\n\
             - As an HTTP status: {answer}\n",
            see.replace('`', "'"),
            escaped(remedy)
        );
    }
}

/// Rustdoc takes `<..>` for HTML and `[..]` for a link.
fn escaped(text: &str) -> String {
    text.replace('<', "\\<").replace('[', "\\[")
}

/// Returns one error of each kind that has no `Reason`.
fn errors() -> Vec<Entry> {
    let server =
        |code: &str, message: &str| ServerError::parse(&error("ERROR", code, message, None)[5..]);
    let refused = error("ERROR", "42P01", "relation \"games\" does not exist", None);
    let conflict = server("40001", "change conflicts with another transaction (OC000)");
    let entry = |error: Error, why, metric| Entry::of_error(&error, why, metric);
    let config = |error: ConfigError, why| Entry::of_error(&error.into(), why, NEVER);
    let seconds = Duration::from_secs;
    vec![
        config(
            "https://abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws"
                .parse::<crate::Endpoint>()
                .unwrap_err()
                .into(),
            "the endpoint does not have the form of the service's host names. `EndpointProblem` \
             says what is wrong.",
        ),
        config(
            ConfigError::Empty {
                variable: "DSQL_ENDPOINT",
                expected: "the cluster's host name",
            },
            "a required environment variable is not set, or empty.",
        ),
        config(
            ConfigError::value("sslmode", "prefer", "require, verify-ca or verify-full"),
            "a setting has an invalid value.",
        ),
        config(
            ConfigError::setting("a b", "the name has a blank"),
            "a setting of the session cannot be written into a startup packet.",
        ),
        config(
            "host=localhost".parse::<crate::Config>().unwrap_err(),
            "the text is not a URL, or asks for something that this crate does not support.",
        ),
        config(
            ConfigError::Certificates {
                setting: "DSQL_CA_FILE",
                origin: "ca.pem".to_owned(),
                problem: "there is no certificate".to_owned(),
                io: None,
            },
            "the file cannot be read, or is not PEM.",
        ),
        config(
            ConfigError::NoTlsProvider,
            "dsql-conn was built without `ring` and `aws-lc-rs`, and the process has no default \
             provider. Reported when the settings are read.",
        ),
        entry(
            Error::CheckoutTimeout {
                waited: Some(seconds(5)),
                cause: None,
            },
            "every connection was in use for longer than the checkout timeout: statements are \
             slow, connections are kept during other work, or the pool is too small.",
            "`db.client.connection.timeouts`, `db.client.connection.pending_requests`",
        ),
        entry(
            Error::Discarded(Discard::Expired),
            "bb8 or deadpool validated a connection that cannot be used. They take another one.",
            "`dsql.closes` by `dsql.cause`",
        ),
        entry(
            Error::PoolClosed,
            "`Pool::close` was called.",
            "`db.client.connection.count` falls to 0",
        ),
        entry(
            Error::Query(login_error(&refused).unwrap()),
            "the server refused the statement, its parameters do not fit, or the connection was \
             lost. `Error::code` has the SQLSTATE, `may_have_applied` the outcome.",
            "`db.client.operation.duration` with `db.response.status_code`",
        ),
        entry(
            Error::NoRow,
            "`query_one` or `query_typed_one` ran a query that found nothing.",
            "no metric: the statement succeeded",
        ),
        entry(
            Error::SeveralRows,
            "`query_one`, `query_opt` or a relative ran a query that found more than one row.",
            "`db.client.operation.duration` with `error.type`",
        ),
        entry(
            Error::StatementTimeout {
                after: seconds(2),
                unread_rows: false,
            },
            "the statement took longer than its timeout, or the network failed. The server cannot \
             cancel the statement.",
            "`db.client.operation.duration` with `error.type`",
        ),
        entry(
            Error::Conflict {
                attempts: 16,
                last: conflict.clone(),
            },
            "at each attempt another transaction committed a change of the same rows.",
            "`dsql.retries` by `dsql.cause`",
        ),
        entry(
            Error::RolledBack(RollbackCause::StatementFailed(conflict)),
            "a statement of the body failed, and the body continued as if it had succeeded. The \
             server answers such a COMMIT with ROLLBACK.",
            "`db.client.operation.duration` with `error.type`",
        ),
        entry(
            Error::CommitUnknown {
                source: None,
                id: None,
            },
            "the connection was lost, or the deadline passed, while COMMIT was in flight. An \
             outcome table settles this: see `RetryPolicy::outcomes`.",
            "`dsql.lost_commits` with `dsql.outcome` = `unknown`",
        ),
        entry(
            Error::OutcomeTable(
                Outcomes::default(),
                server("42P01", "relation \"dsql_outcomes\" does not exist"),
            ),
            "the table that the policy names is missing, has other columns, or the role may not \
             write it.",
            "`db.client.operation.duration` with `error.type`",
        ),
        entry(
            Error::OutcomeExpired("01980000-0000-7000-8000-000000000000".parse().unwrap()),
            "outcome rows may be deleted after some hours, so a missing row proves nothing.",
            "`dsql.lost_commits` with `dsql.outcome` = `unknown`",
        ),
        entry(
            Error::TransactionTimedOut {
                after: seconds(300),
                attempts: 2,
                unread_rows: false,
            },
            "checkouts, attempts and pauses took longer than the policy's timeout.",
            "`dsql.retries` by `dsql.cause`, `db.client.connection.wait_time`",
        ),
        entry(
            Error::JobFailed {
                job_id: "JOB".to_owned(),
                details: "duplicate key".to_owned(),
            },
            "a background job of the service ended without success.",
            NEVER,
        ),
        entry(
            Error::TransactionEnded,
            "the body ran COMMIT, ROLLBACK or a statement that ends the transaction.",
            NEVER,
        ),
        entry(
            Error::TransactionEscaped,
            "the body kept its handle in a task or a value that outlives the body.",
            NEVER,
        ),
    ]
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page += "\n# Connections\n";
    for reason in Reason::ALL {
        Entry::of_reason(reason).write(&mut page);
    }
    page += "\n# Settings, checkouts, statements and transactions\n";
    for entry in errors() {
        entry.write(&mut page);
    }
    page
}

#[test]
fn the_page_is_the_one_in_the_docs() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/what-went-wrong.md");
    if env::var_os("DSQL_WRITE_ERRORS").is_some() {
        return fs::write(&path, page).expect("the page is written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/what-went-wrong.md differs from the errors; \
         `DSQL_WRITE_ERRORS=1 cargo test -p dsql-conn --lib the_page` writes it"
    );
}

#[test]
fn every_error_has_one_entry_that_its_address_names() {
    let page = page();
    let entries = errors();
    for name in entries
        .iter()
        .map(|entry| entry.name)
        .chain(Reason::ALL.map(Reason::as_str))
    {
        let heading = format!("\n## {name}\n");
        assert_eq!(page.matches(&heading).count(), 1, "{name}");
    }
    // Each variant of `ConfigError`, and of `Error` except the one that has an entry for each
    // reason.
    assert_eq!(entries.len(), 16 + 7);
    let url = Error::PoolClosed.docs_url();
    assert!(
        url.ends_with("/what_went_wrong/index.html#pool_closed"),
        "{url}"
    );
}

const NEVER: &str = "no metric: it happens once, not in operation";

const INTRODUCTION: &str = "\
# What went wrong

One entry for each error of `dsql-conn`: what you see, why, and what to do. `Error::docs_url` links
here. `Error::remedy` returns the line \"What to do\", or one that fits the case better, and
`Error::http_status` and `Error::retry_after` return what a service should answer with. The names
are those of `Reason::as_str`, which logs and metrics show.

`dsql-doctor` checks a connection step by step and finds out which one it is. `docs/mistakes.md` has
the messages for common mistakes, word for word.

This page is written by a test, from the code.
";
