//! Faults that a test injects: what goes wrong, at which stage, and how often. `server` takes the
//! faults at each stage and applies their effects.

pub use fault::{Direction, Effect, Fault, Late, Stage};
pub(crate) use script::Faults;

mod fault;
mod script;
