//! What a run has committed.

use std::fmt;

/// What a run has committed so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of batches.
    pub batches: u64,
    /// The number of rows.
    pub rows: u64,
    /// The sum of [`BatchRow::bytes`](super::BatchRow::bytes).
    pub bytes: u64,
    /// The key of the last row. `None` if this run has committed nothing.
    pub last_key: Option<String>,
}

/// For a log: `2000 rows and 64000 bytes in 2 batches, up to key "2000"`.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            batches,
            rows,
            bytes,
            last_key,
        } = self;
        match last_key {
            None => f.write_str("nothing"),
            Some(key) => {
                let unit = if *batches == 1 { "batch" } else { "batches" };
                write!(
                    f,
                    "{rows} rows and {bytes} bytes in {batches} {unit}, up to key {key:?}"
                )
            }
        }
    }
}
