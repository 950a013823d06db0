//! `dsql-local`: a cluster for people, with psql or any driver.

fn main() {}
