//! No metrics, without the feature `emf`.

/// Records nothing.
#[derive(Debug)]
pub struct Metrics;

impl Metrics {
    /// Succeeds.
    ///
    /// # Errors
    ///
    /// None.
    pub fn start() -> Result<Self, lambda_runtime::Error> {
        Ok(Self)
    }

    /// Writes nothing.
    pub fn flush(&self) {}
}
