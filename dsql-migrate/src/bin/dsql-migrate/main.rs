//! Applies migrations to an Aurora DSQL cluster.
fn main() {}
