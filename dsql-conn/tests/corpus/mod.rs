//! The corpus: a folder of inputs per parser beside this file, with real inputs and each input that
//! ever broke a parser. Tests run every input, and every input with one mistake at any position,
//! and generate inputs with more mistakes.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Returns the names and contents of a parser's inputs, in the order of their names.
pub(crate) fn kept(parser: &str) -> Vec<(String, Vec<u8>)> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "corpus", parser]
        .iter()
        .collect();
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut kept: Vec<_> = files
        .map(|file| {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            (name, fs::read(file.path()).unwrap())
        })
        .collect();
    kept.sort();
    assert!(!kept.is_empty(), "nothing is kept for {parser}");
    kept
}

/// Runs `check` on every input of a parser: complete, cut off at each byte, and with each byte
/// changed, left out and doubled.
pub(crate) fn walk(parser: &str, check: impl Fn(&[u8])) {
    let check = |name: &str, input: &[u8]| {
        let _told = Told { name, input };
        check(input);
    };
    for (name, input) in kept(parser) {
        check(&name, &input);
        for at in 0..input.len() {
            check(&name, &input[..at]);
            let mut mistaken = input.clone();
            // Another digit or letter, the other case, not ASCII, and the end of a C string.
            for wrong in [input[at] ^ 1, input[at] ^ 0x20, input[at] ^ 0x80, 0] {
                mistaken[at] = wrong;
                check(&name, &mistaken);
            }
            mistaken[at] = input[at];
            mistaken.insert(at, input[at]);
            check(&name, &mistaken);
            mistaken.drain(at..at + 2);
            check(&name, &mistaken);
        }
    }
}

/// Generates inputs from pieces of a parser's inputs, with some more mistakes.
pub(crate) fn mistaken(parser: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let kept: Vec<_> = kept(parser).into_iter().map(|(_, input)| input).collect();
    let piece = (select(kept), any::<(Index, Index)>(), any::<bool>());
    let piece = piece.prop_map(|(input, (from, to), whole)| {
        let (from, to) = (from.index(input.len() + 1), to.index(input.len() + 1));
        match whole {
            true => input,
            false => input[from.min(to)..from.max(to)].to_vec(),
        }
    });
    let mistakes = prop::collection::vec(any::<(Index, u8, u8)>(), 0..4);
    (prop::collection::vec(piece, 1..4), mistakes).prop_map(|(pieces, mistakes)| {
        let mut input = pieces.concat();
        for (at, byte, mistake) in mistakes {
            let at = at.index(input.len() + 1);
            match mistake % 3 {
                0 => input.insert(at, byte),
                1 => drop(input.splice(at..input.len().min(at + 1), [byte])),
                _ => drop(input.drain(at..input.len().min(at + usize::from(byte)))),
            }
        }
        input
    })
}

/// Splits bytes at these places.
pub(crate) fn cut<'a>(bytes: &'a [u8], at: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = at.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

/// Prints the input when a test panics, because not every panic message contains it.
struct Told<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "from {}: {:?}",
                self.name,
                self.input.escape_ascii().to_string()
            );
        }
    }
}
