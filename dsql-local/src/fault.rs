//! Faults scripted from a test: what goes wrong, where, and how often.
//! `front`, `session` and `forward` ask at each stage whether a fault is due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::watch;

use crate::ending::Ending;
use crate::refusal::Refusal;
use crate::socket::Pace;

/// Where in a connection's life a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The socket was accepted; nothing was read.
    Accept,
    /// The TLS hello was read; nothing was answered.
    TlsHello,
    /// The TLS handshake is done; nothing was read inside of it.
    TlsFinished,
    /// The startup packet was read.
    Startup,
    /// The password was read.
    Password,
    /// The login is good; the client was not told yet.
    Ready,
    /// No answer is due: the session rests between two statements, inside a transaction or not. A
    /// fault that is added strikes the sessions that rest already.
    Idle,
    /// The first frame of a statement was read: a query, a parse, or a bind.
    Statement,
    /// A row was sent, and then half of the next one; before it, if there are words to be said. A
    /// refusal that is not fatal strikes the next statement of the extended protocol instead, after
    /// its first row.
    Rows,
    /// A `COMMIT` was read; nothing was applied.
    Commit,
    /// A `COMMIT` was applied; the client was not told.
    Committed,
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
    /// All goes on, but from here the bytes to the client come one at a time, with this pause after
    /// each, until the connection ends or [`LocalCluster::release`](crate::LocalCluster::release)
    /// closes it.
    Trickle(Duration),
}

impl Effect {
    /// Lets it strike: the connection ends, or goes on slowly.
    pub(crate) fn strike(self, pace: &Pace) -> Result<(), Ending> {
        Err(match self {
            Self::Refuse(refusal) => Ending::Refused(refusal),
            Self::Cut => Ending::Cut,
            Self::Reset => Ending::Reset,
            Self::Stall => Ending::Stalled,
            Self::Garbage => Ending::Garbage,
            Self::Trickle(pause) => {
                pace.slow_down(pause);
                return Ok(());
            }
        })
    }

    /// Whether the client is told something, so that what came before must be whole.
    pub(crate) fn has_words(&self) -> bool {
        matches!(self, Self::Refuse(_) | Self::Garbage)
    }

    /// A refusal after which the session goes on.
    pub(crate) fn is_bearable(&self) -> bool {
        matches!(self, Self::Refuse(refusal) if !refusal.is_fatal())
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the cluster.
    ToServer,
    /// From the cluster to the client.
    ToClient,
}

/// How late something is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Late {
    /// After this time.
    By(Duration),
    /// After so many statements of other sessions.
    ByStatements(u64),
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
            Effect::Cut | Effect::Reset | Effect::Stall | Effect::Garbage | Effect::Trickle(_) => {
                stage
            }
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

    /// Rolls back the next `commits` transactions that would commit, and answers each `COMMIT`
    /// with a conflict.
    pub fn conflict_commits(commits: usize) -> Self {
        Self::new(Kind::ConflictCommit).times(commits)
    }

    /// Commits, and cuts the connection instead of saying so.
    pub fn lose_commit_reply() -> Self {
        Self::at(Stage::Committed, Effect::Cut)
    }

    /// Closes the client's connection when it has sent `COMMIT`, and delivers the `COMMIT` later, as
    /// a network does that loses one direction. What the client sent with it is late, too.
    pub fn deliver_commit_late(late: Late) -> Self {
        Self::new(Kind::LateCommit(late))
    }

    /// Commits, and answers with a refusal: what the service does when it says that it is
    /// unavailable.
    pub fn misreport_commit(refusal: Refusal) -> Self {
        Self::at(Stage::Committed, Effect::Refuse(refusal))
    }

    /// Holds the bytes of one direction back, each time some were read.
    pub fn delay(direction: Direction, by: Duration) -> Self {
        Self::new(Kind::Delay(direction, by))
    }

    /// Closes a part of the new connections as they are accepted, as AWS FIS's
    /// `cluster-connection-failure` does, until the faults are cleared. `percent` is from 0 to 100.
    pub fn fail_connections(percent: u8) -> Self {
        Self::new(Kind::FailConnections(percent.min(100))).always()
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
    LateCommit(Late),
    Delay(Direction, Duration),
    FailConnections(u8),
}

/// The faults of a cluster, and the gate that stalled connections wait at.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    script: Mutex<Script>,
    added: watch::Sender<()>,
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
        self.added.send_replace(());
    }

    /// Tells of faults that are added from now on.
    pub(crate) fn added(&self) -> watch::Receiver<()> {
        self.added.subscribe()
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
        self.at_if(stage, |_| true)
    }

    /// Takes the first that is due at this stage and is of the wanted kind.
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

    /// How late the next commit is delivered, if it is.
    pub(crate) fn commit_is_late(&self) -> Option<Late> {
        self.take(|kind| match kind {
            Kind::LateCommit(late) => Some(*late),
            Kind::At(..) | Kind::ConflictCommit | Kind::Delay(..) | Kind::FailConnections(_) => {
                None
            }
        })
    }

    pub(crate) fn conflicts_commit(&self) -> bool {
        self.take(|kind| (*kind == Kind::ConflictCommit).then_some(()))
            .is_some()
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
    fn a_part_of_the_connections_fails() {
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
    fn zero_times_is_never_and_always_is_always() {
        let faults = Faults::default();
        faults.add(Fault::conflict_commits(0));
        assert!(!faults.conflicts_commit());
        faults.add(Fault::lose_commit_reply().always());
        assert!((0..10).all(|_| faults.at(Stage::Committed) == Some(Effect::Cut)));
        faults.clear();
        assert_eq!(faults.at(Stage::Committed), None);
    }
}
