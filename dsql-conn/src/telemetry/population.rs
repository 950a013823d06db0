//! The number of connections and waiters of a pool.

/// The limits of a pool.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, reason = "only metrics have the limits")
)]
pub(crate) struct PoolLimits {
    pub(crate) max: u32,
    pub(crate) min_idle: u32,
}

/// How many connections and waiters a pool has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Population {
    pub(crate) idle: usize,
    pub(crate) used: usize,
    pub(crate) waiting: usize,
}
