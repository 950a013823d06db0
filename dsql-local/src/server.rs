//! The server that clients connect to: accepts sockets, agrees on TLS, logs clients in, and relays
//! their frames to the engine and back. Builds on every other folder.

pub(crate) mod admission;
pub(crate) mod backend;
pub(crate) mod certificate;
pub(crate) mod cluster;
pub(crate) mod control;
pub(crate) mod effect;
pub(crate) mod forward;
pub(crate) mod host;
pub(crate) mod late;
pub(crate) mod listener;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod options;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod socket;
pub(crate) mod uptime;
pub(crate) mod wire;
