//! Random text and numbers: cluster IDs, credentials, cancel keys.

use rand::RngExt;
use rand::seq::IndexedRandom;

/// Returns `length` characters of `alphabet`.
pub(crate) fn text(length: usize, alphabet: &[u8]) -> String {
    let mut rng = rand::rng();
    std::iter::repeat_with(|| alphabet.choose(&mut rng).copied().map_or(' ', char::from))
        .take(length)
        .collect()
}

/// Returns a random number that is not negative.
pub(crate) fn number() -> i32 {
    rand::rng().random_range(0..=i32::MAX)
}
