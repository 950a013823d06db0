//! SQL text: cut into tokens, checked against the service's dialect, and translated for PostgreSQL.
//! `server` asks for each statement; `conflict` uses the tokens. Nothing here does I/O, except
//! [`role::check_login`].

pub(crate) mod job;
pub(crate) mod names;
pub(crate) mod role;
pub(crate) mod rules;
pub(crate) mod setting;
pub(crate) mod statement;
pub(crate) mod transaction;
