//! Writes errors and their sources without repeating a text.

use std::{error::Error as StdError, fmt};

/// Returns the first of an error's causes whose text is not part of `said` already.
pub(crate) fn unquoted_source<'a>(
    said: &str,
    cause: &'a (dyn StdError + 'static),
) -> Option<&'a (dyn StdError + 'static)> {
    let mut cause = Some(cause);
    while let Some(error) = cause {
        if !said.contains(&error.to_string()) {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// Writes `Debug` so that it reads like `Display`, with the sources below it: `main` returning an
/// error, `unwrap` and `expect` print it.
pub(crate) fn debug_like_display(
    error: &(dyn StdError + 'static),
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, "{error}")?;
    let mut source = error.source();
    let mut number = 0;
    while let Some(error) = source {
        if number == 0 {
            f.write_str("\n\nCaused by:")?;
        }
        write!(f, "\n    {number}: {error}")?;
        number += 1;
        source = error.source();
    }
    Ok(())
}
