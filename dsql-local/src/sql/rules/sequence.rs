//! The options of sequences, which identity columns have as well.

use crate::refusal::Refusal;
use crate::sql::statement::Token;

/// Checks the options of a sequence or of an identity column. CACHE is required.
pub(super) fn check(options: &[Token], what: &str) -> Option<Refusal> {
    check_given(options).or_else(|| {
        (!options.iter().any(|option| option.is("cache"))).then(|| {
            Refusal::unsupported(format!(
                "{what} without an explicit cache size. \
                 please define CACHE greater than or equal to 65536 or equal to 1"
            ))
        })
    })
}

/// Checks the given options. None is required.
pub(super) fn check_given(options: &[Token]) -> Option<Refusal> {
    let pairs = options.iter().zip(options.iter().skip(1));
    pairs.into_iter().find_map(|(option, value)| match value {
        Token::Word(size) if option.is("cache") => {
            let size: u64 = size.parse().ok()?;
            (size != 1 && size < SMALLEST_CACHE).then(|| Refusal::Invalid {
                message: format!(
                    "CACHE ({size}) must be greater than or equal to {SMALLEST_CACHE} or equal to 1"
                )
                .into(),
            })
        }
        Token::Word(name) if option.is("as") => (!matches!(name.as_str(), "bigint" | "int8"))
            .then_some(Refusal::Invalid {
                message: "sequence type must be bigint".into(),
            }),
        Token::Word(_) | Token::Name(_) | Token::Literal(_) | Token::Symbol(_) => None,
    })
}

const SMALLEST_CACHE: u64 = 65_536;
