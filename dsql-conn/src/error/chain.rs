//! Prints an error and its causes without repetition.

use std::error::Error as StdError;
use std::fmt;

use tokio_postgres::error::DbError;

/// Joins the messages of the error and its causes in one line, without repetition.
pub(crate) fn one_line(error: &(dyn StdError + 'static)) -> String {
    let mut line = String::new();
    // Where the last text begins in the line.
    let mut last = 0;
    for cause in causes(error) {
        let text = cause.to_string();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.contains(&text) {
            continue;
        }
        // Some errors print their cause after their own words.
        if text.starts_with(&line[last..]) {
            line.truncate(last);
        } else {
            line.push_str(": ");
            last = line.len();
        }
        line.push_str(&text);
    }
    line
}

/// Returns the first cause that repeats nothing of `display`, neither itself nor by the causes
/// below it. It can be the `source` of an error with this `Display` without repeating anything.
pub(crate) fn unquoted_source<'a>(
    display: &str,
    cause: &'a (dyn StdError + 'static),
) -> Option<&'a (dyn StdError + 'static)> {
    let mut unquoted = None;
    for cause in causes(cause) {
        match is_quoted(display, cause) {
            true => unquoted = None,
            false => unquoted = unquoted.or(Some(cause)),
        }
    }
    unquoted
}

/// Writes an error for `Debug`: as `Display` does, then the causes that it does not quote,
/// numbered.
///
/// A `main` that returns an error prints it by `Debug`.
pub(crate) fn debug_like_display(
    f: &mut fmt::Formatter<'_>,
    error: &dyn fmt::Display,
    cause: Option<&(dyn StdError + 'static)>,
) -> fmt::Result {
    let mut said = error.to_string();
    f.write_str(&said)?;
    let mut number = 0;
    for cause in cause.into_iter().flat_map(causes) {
        if is_quoted(&said, cause) {
            continue;
        }
        if number == 0 {
            f.write_str("\n\nCaused by:")?;
        }
        let text = cause.to_string();
        write!(f, "\n    {number}: {}", text.replace('\n', "\n       "))?;
        said.push('\n');
        said.push_str(&text);
        number += 1;
    }
    Ok(())
}

/// Returns the error and its causes, outermost first.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn is_quoted(display: &str, cause: &(dyn StdError + 'static)) -> bool {
    match cause.downcast_ref::<DbError>() {
        // Its `Display` puts the severity before the message, and the hint on a line of its own.
        Some(error) => display.contains(error.message()),
        None => display.contains(&cause.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error and its causes, with these messages.
    #[derive(Debug)]
    struct Says(&'static str, Option<Box<Self>>);

    impl Says {
        fn chain(texts: &[&'static str]) -> Self {
            let (first, rest) = texts.split_first().unwrap();
            let cause = (!rest.is_empty()).then(|| Box::new(Self::chain(rest)));
            Self(first, cause)
        }
    }

    impl fmt::Display for Says {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Says {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn a_chain_on_one_line_says_each_text_once() {
        for (texts, line) in [
            (&["a fetch failed"][..], "a fetch failed"),
            (&["a fetch failed", "503"], "a fetch failed: 503"),
            (&["a fetch failed", "503", "503"], "a fetch failed: 503"),
            (&["failed: 503", "503"], "failed: 503"),
            (&["failed", "failed: 503", "503"], "failed: 503"),
            (&["one", "failed", "failed: 503"], "one: failed: 503"),
            (&["two\n  lines\n", "503"], "two lines: 503"),
        ] {
            assert_eq!(one_line(&Says::chain(texts)), line);
        }
    }

    #[test]
    fn a_source_does_not_repeat_the_display() {
        for (texts, source) in [
            (&["503"][..], None),
            (&["io", "no route"], Some("io")),
            (&["503", "io", "no route"], Some("io")),
            // A generic cause is skipped if the cause below it is quoted.
            (&["io", "503"], None),
            (&["io", "503", "no route"], Some("no route")),
        ] {
            let chain = Says::chain(texts);
            let unquoted = unquoted_source("cannot connect: 503", &chain);
            assert_eq!(unquoted.map(ToString::to_string).as_deref(), source);
        }
    }

    #[test]
    fn debug_is_display_with_the_other_causes_numbered() {
        struct Printed(Says);

        impl fmt::Debug for Printed {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                debug_like_display(f, &"cannot connect: 503", Some(&self.0))
            }
        }

        for (texts, printed) in [
            (&["503"][..], "cannot connect: 503"),
            (
                &["io", "503", "two\nlines", "io"],
                "cannot connect: 503\n\nCaused by:\n    0: io\n    1: two\n       lines",
            ),
        ] {
            assert_eq!(format!("{:?}", Printed(Says::chain(texts))), printed);
        }
    }
}
