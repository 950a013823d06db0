//! PostgreSQL's wire protocol: frames, the startup packet, the replies that are still pending, and
//! how a connection ends. `server` and `conflict` read and write through it.

pub(crate) mod ending;
pub(crate) mod exchange;
pub(crate) mod frame;
pub(crate) mod pending;
pub(crate) mod startup;
