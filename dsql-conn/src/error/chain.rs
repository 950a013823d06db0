//! Prints an error and its causes without saying anything twice.

use std::error::Error as StdError;

/// Joins what the error and its causes say on one line, without repetition.
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

/// The error and its causes, outermost first.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// An error with causes that say these texts.
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
}
