//! Faults that a test injects: what goes wrong, at which stage, and how often. `server` asks at
//! each stage and applies the effect.

pub use fault::{Direction, Effect, Fault, Late, Stage};
pub(crate) use script::Faults;

mod fault;
mod script;
