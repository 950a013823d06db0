//! The faults of one cluster that are still pending, and how often each was applied.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::watch;

use super::fault::{Direction, Effect, Fault, Kind, Late, Stage};

/// The faults of a cluster, and the signal that releases stalled connections.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    script: Mutex<Script>,
    added: watch::Sender<()>,
    released: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Script {
    pending: Vec<Fault>,
    applied: Vec<(Kind, u64)>,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.script().pending.push(fault);
        self.added.send_replace(());
    }

    /// Notifies of faults that are added from now on.
    pub(crate) fn added(&self) -> watch::Receiver<()> {
        self.added.subscribe()
    }

    pub(crate) fn clear(&self) {
        self.script().pending.clear();
    }

    /// Returns how often a fault like this one was applied.
    pub(crate) fn applied(&self, fault: &Fault) -> u64 {
        let script = self.script();
        let mut applied = script.applied.iter();
        applied
            .find(|(kind, _)| *kind == fault.kind)
            .map_or(0, |(_, times)| *times)
    }

    /// Takes the first pending fault of a stage.
    pub(crate) fn at(&self, stage: Stage) -> Option<Effect> {
        self.at_if(stage, |_| true)
    }

    /// Takes the first pending fault of a stage whose effect is wanted.
    pub(crate) fn at_if(&self, stage: Stage, wanted: impl Fn(&Effect) -> bool) -> Option<Effect> {
        self.take(|kind| match kind {
            Kind::At(at, effect) if *at == stage && wanted(effect) => Some(effect.clone()),
            Kind::FailConnections(percent)
                if stage == Stage::Accept
                    && wanted(&Effect::Cut)
                    && rand::rng().random_range(0..100) < *percent =>
            {
                Some(Effect::Cut)
            }
            Kind::At(..)
            | Kind::ConflictCommit
            | Kind::LateCommit(_)
            | Kind::Delay(..)
            | Kind::FailConnections(_) => None,
        })
    }

    pub(crate) fn conflicts_commit(&self) -> bool {
        self.take(|kind| (*kind == Kind::ConflictCommit).then_some(()))
            .is_some()
    }

    /// Takes the fault that delays the next commit, and returns the delay. `None` if there is none.
    pub(crate) fn commit_is_late(&self) -> Option<Late> {
        self.take(|kind| match kind {
            Kind::LateCommit(late) => Some(*late),
            Kind::At(..) | Kind::ConflictCommit | Kind::Delay(..) | Kind::FailConnections(_) => {
                None
            }
        })
    }

    pub(crate) fn delay(&self, direction: Direction) -> Option<Duration> {
        self.take(|kind| match kind {
            Kind::Delay(of, by) if *of == direction => Some(*by),
            Kind::At(..)
            | Kind::ConflictCommit
            | Kind::LateCommit(_)
            | Kind::Delay(..)
            | Kind::FailConnections(_) => None,
        })
    }

    /// Waits until stalls are released.
    pub(crate) async fn released(&self) {
        let mut released = self.released.subscribe();
        // An error means that the cluster was dropped, which releases stalls as well.
        let _dropped = released.changed().await;
    }

    pub(crate) fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    fn take<T>(&self, wanted: impl Fn(&Kind) -> Option<T>) -> Option<T> {
        let mut script = self.script();
        let Script { pending, applied } = &mut *script;
        let (index, taken) = pending
            .iter()
            .enumerate()
            .filter(|(_, fault)| fault.left != Some(0))
            .find_map(|(index, fault)| Some((index, wanted(&fault.kind)?)))?;
        let kind = &pending[index].kind;
        match applied.iter_mut().find(|(known, _)| known == kind) {
            Some((_, times)) => *times += 1,
            None => applied.push((kind.clone(), 1)),
        }
        if let Some(left) = &mut pending[index].left {
            *left -= 1;
            if *left == 0 {
                pending.remove(index);
            }
        }
        Some(taken)
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    #[test]
    fn faults_apply_in_order_and_the_set_number_of_times() {
        let faults = Faults::default();
        faults.add(Fault::at(Stage::Startup, Effect::Cut).times(2));
        faults.add(Fault::refuse(Refusal::WakingUp));
        assert_eq!(faults.at(Stage::Accept), None);
        assert_eq!(faults.at(Stage::Startup), Some(Effect::Cut));
        assert_eq!(faults.at(Stage::Startup), Some(Effect::Cut));
        assert_eq!(
            faults.at(Stage::Startup),
            Some(Effect::Refuse(Refusal::WakingUp))
        );
        assert_eq!(faults.at(Stage::Startup), None);
        assert_eq!(faults.applied(&Fault::at(Stage::Startup, Effect::Cut)), 2);
        assert_eq!(faults.applied(&Fault::refuse(Refusal::WakingUp)), 1);
        assert_eq!(faults.applied(&Fault::lose_commit_reply()), 0);
    }

    #[test]
    fn a_percentage_of_connections_fails() {
        let faults = Faults::default();
        faults.add(Fault::fail_connections(30));
        let failed = (0..10_000)
            .filter(|_| faults.at(Stage::Accept).is_some())
            .count();
        assert!((2_500..3_500).contains(&failed), "{failed}");
        assert_eq!(faults.at(Stage::Startup), None);
        faults.clear();
        assert_eq!(faults.at(Stage::Accept), None);
    }

    #[test]
    fn zero_times_never_applies_and_always_does_not_end() {
        let faults = Faults::default();
        faults.add(Fault::conflict_commits(0));
        assert!(!faults.conflicts_commit());
        faults.add(Fault::lose_commit_reply().always());
        assert!((0..10).all(|_| faults.at(Stage::Committed) == Some(Effect::Cut)));
        faults.clear();
        assert_eq!(faults.at(Stage::Committed), None);
    }
}
