//! Faults that a test injects: what goes wrong, at which stage, and how often. `server` asks at
//! each stage and applies the effect.

pub(crate) use script::Faults;

pub use fault::{Direction, Effect, Fault, Stage};

mod fault;
mod script;
