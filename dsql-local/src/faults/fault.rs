//! One fault: the stage of a connection, the effect, and how often it applies.

use std::time::Duration;

use crate::refusal::Refusal;

/// The stage of a connection at which a fault applies.
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
    /// The login succeeded; the client has not received the confirmation.
    Ready,
    /// No reply is pending: the session is between two statements, inside a transaction or not. A
    /// new fault also applies to sessions that are idle already.
    Idle,
    /// The first frame of a statement was read: a query, a parse, or a bind.
    Statement,
    /// In the middle of the second row of a result. An effect that sends bytes of its own applies
    /// before that row. A refusal that is not fatal fails the next statement of the extended
    /// protocol after its first row.
    Rows,
    /// A `COMMIT` was read; nothing was applied.
    Commit,
    /// A `COMMIT` was applied; the client has not received the reply.
    Committed,
}

/// What a fault does to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Sends an error. A fatal one ends the connection; another fails the statement.
    Refuse(Refusal),
    /// Closes the socket without an error message.
    Cut,
    /// Closes the socket with a reset.
    Reset,
    /// Keeps the socket open, and reads and sends nothing more until
    /// [`LocalCluster::release`](crate::LocalCluster::release).
    Stall,
    /// Sends bytes that violate the protocol, and closes the socket.
    Garbage,
    /// Continues, but sends one byte at a time to the client, with this pause after each, until the
    /// connection ends or [`LocalCluster::release`](crate::LocalCluster::release) closes it.
    Trickle(Duration),
}

impl Effect {
    /// Returns whether the client receives bytes, so that the frame before them must be complete.
    pub(crate) fn sends_bytes(&self) -> bool {
        matches!(self, Self::Refuse(_) | Self::Garbage)
    }

    /// Returns whether this is an error after which the session continues.
    pub(crate) fn keeps_session(&self) -> bool {
        matches!(self, Self::Refuse(refusal) if !refusal.is_fatal())
    }
}

/// The direction in which bytes are sent.
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

/// A fault. Applies once, unless [`times`](Self::times) or [`always`](Self::always) says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub(super) kind: Kind,
    /// How many more times it applies; `None` for always.
    pub(super) left: Option<usize>,
}

impl Fault {
    /// Applies an effect at a stage.
    ///
    /// An error cannot be sent before the startup packet, so a refusal at an earlier stage applies
    /// at [`Stage::Startup`].
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

    /// Commits, and cuts the connection instead of sending the reply.
    pub fn lose_commit_reply() -> Self {
        Self::at(Stage::Committed, Effect::Cut)
    }

    /// Closes the client's connection when it has sent `COMMIT`, and delivers the `COMMIT` later,
    /// as a network does that loses one direction. What the client sent with it is late, too.
    pub fn deliver_commit_late(late: Late) -> Self {
        Self::new(Kind::LateCommit(late))
    }

    /// Commits, and replies with an error, as the service does when it reports that it is
    /// unavailable.
    pub fn misreport_commit(refusal: Refusal) -> Self {
        Self::at(Stage::Committed, Effect::Refuse(refusal))
    }

    /// Delays the bytes of one direction after each read.
    pub fn delay(direction: Direction, by: Duration) -> Self {
        Self::new(Kind::Delay(direction, by))
    }

    /// Closes a percentage of the new connections as they are accepted, as AWS FIS's
    /// `cluster-connection-failure` does, until the faults are cleared. `percent` is from 0 to 100.
    pub fn fail_connections(percent: u8) -> Self {
        Self::new(Kind::FailConnections(percent.min(100))).always()
    }

    /// Sets how many times the fault applies. Defaults to once.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    /// Applies the fault each time, until the faults are cleared.
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
pub(super) enum Kind {
    At(Stage, Effect),
    ConflictCommit,
    LateCommit(Late),
    Delay(Direction, Duration),
    FailConnections(u8),
}
