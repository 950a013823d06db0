//! The statements of SQL text, by `dsql-sql`, which the tests here compare with PostgreSQL.

pub(crate) use dsql_sql::{Statement, Token, split};

#[cfg(test)]
mod tests;
