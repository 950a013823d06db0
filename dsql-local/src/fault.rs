//! Faults scripted from a test: what goes wrong, where, and how often.
//! `front`, `session` and `forward` ask at each stage whether a fault is due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::refusal::Refusal;

/// Where in a connection's life a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The socket was accepted; nothing was read.
    Accept,
    /// The TLS hello was read; nothing was answered.
    TlsHello,
    /// The startup packet was read.
    Startup,
    /// The password was read.
    Password,
    /// The login is good; the client was not told yet.
    Ready,
    /// The first frame of a statement was read: a query, a parse, or a bind.
    Statement,
    /// A `COMMIT` was read.
    Commit,
}

/// What happens then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The client is told so. A fatal refusal ends the connection; another fails the statement.
    Refuse(Refusal),
    /// The socket closes, without a word.
    Cut,
    /// The socket closes with a reset.
    Reset,
    /// The socket stays open; nothing more is read or answered until
    /// [`LocalCluster::release`](crate::LocalCluster::release).
    Stall,
    /// The client gets bytes that are no protocol, and the socket closes.
    Garbage,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the cluster.
    ToServer,
    /// From the cluster to the client.
    ToClient,
}

/// One fault, due once unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: Kind,
    /// How often yet; `None` for always.
    left: Option<usize>,
}

impl Fault {
    /// Does something at a stage.
    ///
    /// A refusal before TLS stands is told at [`Stage::Startup`], the first place for words.
    pub fn at(stage: Stage, effect: Effect) -> Self {
        let stage = match effect {
            Effect::Refuse(_) => stage.max(Stage::Startup),
            _ => stage,
        };
        Self::new(Kind::At(stage, effect))
    }

    /// Refuses connections at startup, or, if the refusal is not fatal, statements.
    pub fn refuse(refusal: Refusal) -> Self {
        let stage = if refusal.is_fatal() {
            Stage::Startup
        } else {
            Stage::Statement
        };
        Self::at(stage, Effect::Refuse(refusal))
    }

    /// Rolls back the next `commits` transeffects that would commit, and answers each `COMMIT`
    /// with a conflict.
    pub fn conflict_commits(commits: usize) -> Self {
        Self::new(Kind::ConflictCommit).times(commits)
    }

    /// Commits, and cuts the connection instead of saying so.
    pub fn lose_commit_reply() -> Self {
        Self::new(Kind::LoseCommitReply)
    }

    /// Commits, and answers with a refusal: what the service does when it says that it is unavailable.
    pub fn misreport_commit(refusal: Refusal) -> Self {
        Self::new(Kind::MisreportCommit(refusal))
    }

    /// Holds the bytes of one direction back, each time some were read.
    pub fn delay(direction: Direction, by: Duration) -> Self {
        Self::new(Kind::Delay(direction, by))
    }

    /// Makes it due this many times. Defaults to once.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    /// Makes it due each time, until the faults are cleared.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.left = None;
        self
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            left: Some(1),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    At(Stage, Effect),
    ConflictCommit,
    LoseCommitReply,
    MisreportCommit(Refusal),
    Delay(Direction, Duration),
}

/// The faults of a cluster, and the gate that stalled connections wait at.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    script: Mutex<Script>,
    released: watch::Sender<u64>,
}

/// Which faults are still due, and how often which have struck.
#[derive(Debug, Default)]
struct Script {
    due: Vec<Fault>,
    struck: Vec<(Kind, u64)>,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.script().due.push(fault);
    }

    pub(crate) fn clear(&self) {
        self.script().due.clear();
    }

    /// Returns how often a fault like this one has struck.
    pub(crate) fn struck(&self, fault: &Fault) -> u64 {
        let script = self.script();
        let mut struck = script.struck.iter();
        struck
            .find(|(kind, _)| *kind == fault.kind)
            .map_or(0, |(_, times)| *times)
    }

    /// Takes what is due at this stage, if anything.
    pub(crate) fn at(&self, stage: Stage) -> Option<Effect> {
        self.take(|kind| match kind {
            Kind::At(at, effect) if *at == stage => Some(effect.clone()),
            _ => None,
        })
    }

    pub(crate) fn conflicts_commit(&self) -> bool {
        self.take(|kind| (*kind == Kind::ConflictCommit).then_some(()))
            .is_some()
    }

    pub(crate) fn loses_commit_reply(&self) -> bool {
        self.take(|kind| (*kind == Kind::LoseCommitReply).then_some(()))
            .is_some()
    }

    pub(crate) fn misreports_commit(&self) -> Option<Refusal> {
        self.take(|kind| match kind {
            Kind::MisreportCommit(refusal) => Some(refusal.clone()),
            _ => None,
        })
    }

    pub(crate) fn delay(&self, direction: Direction) -> Option<Duration> {
        self.take(|kind| match kind {
            Kind::Delay(of, by) if *of == direction => Some(*by),
            _ => None,
        })
    }

    /// Waits until stalls end.
    pub(crate) async fn released(&self) {
        let mut released = self.released.subscribe();
        // An error means that the cluster is gone, which releases too.
        let _gone = released.changed().await;
    }

    pub(crate) fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    fn take<T>(&self, wanted: impl Fn(&Kind) -> Option<T>) -> Option<T> {
        let mut script = self.script();
        let Script { due, struck } = &mut *script;
        let (index, taken) = due
            .iter()
            .enumerate()
            .filter(|(_, fault)| fault.left != Some(0))
            .find_map(|(index, fault)| Some((index, wanted(&fault.kind)?)))?;
        let kind = &due[index].kind;
        match struck.iter_mut().find(|(known, _)| known == kind) {
            Some((_, times)) => *times += 1,
            None => struck.push((kind.clone(), 1)),
        }
        if let Some(left) = &mut due[index].left {
            *left -= 1;
            if *left == 0 {
                due.remove(index);
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

    #[test]
    fn faults_are_due_in_order_and_as_often_as_they_say() {
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
        assert_eq!(faults.struck(&Fault::at(Stage::Startup, Effect::Cut)), 2);
        assert_eq!(faults.struck(&Fault::refuse(Refusal::WakingUp)), 1);
        assert_eq!(faults.struck(&Fault::lose_commit_reply()), 0);
    }

    #[test]
    fn zero_times_is_never_and_always_is_always() {
        let faults = Faults::default();
        faults.add(Fault::conflict_commits(0));
        assert!(!faults.conflicts_commit());
        faults.add(Fault::lose_commit_reply().always());
        assert!((0..10).all(|_| faults.loses_commit_reply()));
        faults.clear();
        assert!(!faults.loses_commit_reply());
    }
}
