//! Random text and numbers, from the generator that TLS uses.
//! Cluster IDs, credentials and cancel keys come from here.

use rustls::crypto::ring;

/// Returns `length` characters of `alphabet`.
pub(crate) fn text(length: usize, alphabet: &[u8]) -> String {
    let mut drawn = vec![0; length];
    fill(&mut drawn);
    // The modulo favours some letters a little; nothing here is a secret worth guarding.
    drawn
        .iter()
        .map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]))
        .collect()
}

/// Returns a random positive number.
pub(crate) fn number() -> i32 {
    let mut drawn = [0; 4];
    fill(&mut drawn);
    i32::from_be_bytes(drawn) & i32::MAX
}

fn fill(buffer: &mut [u8]) {
    ring::default_provider()
        .secure_random
        .fill(buffer)
        .expect("the system's generator answers");
}
