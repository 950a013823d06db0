//! Applies the effect of a fault to a connection.

use crate::faults::Effect;
use crate::protocol::ending::Ending;
use crate::server::socket::Pace;

/// Applies an effect: returns how the connection ends, or slows it down.
pub(crate) fn apply(effect: Effect, pace: &Pace) -> Result<(), Ending> {
    Err(match effect {
        Effect::Refuse(refusal) => Ending::Refused(refusal),
        Effect::Cut => Ending::Cut,
        Effect::Reset => Ending::Reset,
        Effect::Stall => Ending::Stalled,
        Effect::Garbage => Ending::Garbage,
        Effect::Trickle(pause) => {
            pace.slow_down(pause);
            return Ok(());
        }
    })
}
