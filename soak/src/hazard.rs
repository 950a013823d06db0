//! The kinds of fault in a run, and how to tell whether each occurred.

use std::fmt;
use std::time::Duration;

use dsql_local::{Counts, Direction, Effect, Fault, Late, LocalCluster, Refusal, Stage};
use rand::RngExt;
use rand::rngs::StdRng;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hazard {
    /// All sockets close.
    CutAll,
    /// All sockets are reset.
    ResetAll,
    /// All sockets stay open and unresponsive for a while.
    BlackHole,
    /// A login is cut, reset, corrupted or stalled at one of its stages.
    BrokenLogin,
    /// A socket closes at a statement.
    CutStatement,
    /// A socket is reset at a statement.
    ResetStatement,
    /// The server does not reply to a statement for a while.
    StalledStatement,
    /// A socket closes after `COMMIT`, which was not applied.
    CutCommit,
    /// The server does not reply to a `COMMIT` for a while, and the `COMMIT` was not applied.
    StalledCommit,
    /// A socket closes instead of the reply to a `COMMIT` that was applied.
    LostCommitReply,
    /// A socket closes after `COMMIT`, which arrives at the server later.
    LateCommit,
    /// A `COMMIT` was applied, and the reply says that the server is unavailable.
    MisreportedCommit,
    /// A `COMMIT` was not applied, and the reply says that the server is unavailable.
    UnavailableCommit,
    /// A real conflict between two workers. Nothing injects it.
    RealConflict,
    /// An injected conflict at `COMMIT`.
    InjectedConflict,
    /// An injected conflict at a statement.
    InjectedStatementConflict,
    /// Another session commits DDL.
    Definition,
    /// A session gets the error of an outdated catalog.
    StaleCatalog,
    /// Sessions reach the limit of one hour.
    SessionLimit,
    /// A transaction was open for more than five minutes.
    TransactionAge,
    /// The cluster sleeps.
    WakingUp,
    /// Too many connections were opened in a short time.
    Throttling,
    /// Too many connections are open.
    TooManyConnections,
    /// A token is refused as expired.
    ExpiredToken,
    /// Bytes arrive with a delay.
    Delay,
    /// The home Region refuses connections for seconds.
    HomeGone,
    /// Both Regions refuse connections for a moment.
    BothGone,
    /// The home Region refuses connections and accepts them again, several times.
    FlappingHome,
}

impl Hazard {
    /// All hazards.
    pub const ALL: [Self; 25] = [
        Self::CutAll,
        Self::ResetAll,
        Self::BlackHole,
        Self::BrokenLogin,
        Self::CutStatement,
        Self::ResetStatement,
        Self::StalledStatement,
        Self::CutCommit,
        Self::StalledCommit,
        Self::LostCommitReply,
        Self::LateCommit,
        Self::MisreportedCommit,
        Self::UnavailableCommit,
        Self::RealConflict,
        Self::InjectedConflict,
        Self::InjectedStatementConflict,
        Self::Definition,
        Self::StaleCatalog,
        Self::SessionLimit,
        Self::TransactionAge,
        Self::WakingUp,
        Self::Throttling,
        Self::TooManyConnections,
        Self::ExpiredToken,
        Self::Delay,
    ];

    /// The hazards that a cluster of two Regions has, too.
    pub(crate) const OF_REGIONS: [Self; 3] = [Self::HomeGone, Self::BothGone, Self::FlappingHome];

    /// Injects it. A hazard that needs a client strikes the next one that reaches that point.
    pub(crate) fn befall(self, cluster: &LocalCluster, rng: &mut StdRng) {
        match self {
            Self::CutAll => cluster.cut_all(),
            Self::ResetAll => cluster.reset_all(),
            Self::BlackHole => cluster.black_hole_all(),
            Self::StaleCatalog => cluster.change_schema(),
            Self::SessionLimit => cluster.pass_time(SESSION_LIMIT),
            Self::TransactionAge => cluster.pass_time(TRANSACTION_AGE),
            Self::WakingUp => cluster.sleep(),
            // The workers cause the first, and another session the second.
            Self::RealConflict | Self::Definition => {}
            // These last; `Outage` injects them.
            Self::HomeGone | Self::BothGone | Self::FlappingHome => {}
            Self::BrokenLogin => {
                let which = rng.random_range(0..LOGIN_STAGES.len() * LOGIN_EFFECTS.len());
                cluster.inject(broken_login(which));
            }
            _ => {
                let times = rng.random_range(1..=3);
                for fault in self.faults() {
                    cluster.inject(fault.times(times));
                }
            }
        }
    }

    /// Returns how often the cluster observed it: what it did or answered, not what was requested.
    pub(crate) fn seen(self, cluster: &LocalCluster, counts: &Counts) -> u64 {
        match self {
            Self::CutAll => counts.cut,
            Self::ResetAll => counts.reset,
            Self::BlackHole => counts.black_holed,
            Self::SessionLimit => counts.expired,
            Self::RealConflict => counts
                .refused(|refusal| *refusal == Refusal::Conflict)
                .saturating_sub(cluster.struck(&statement_conflict())),
            Self::InjectedConflict => counts.refused(|refusal| *refusal == injected_conflict()),
            Self::StaleCatalog => counts.refused(|refusal| *refusal == Refusal::SchemaChanged),
            Self::TransactionAge => {
                counts.refused(|refusal| matches!(refusal, Refusal::TransactionAge { .. }))
            }
            Self::WakingUp => counts.refused(|refusal| *refusal == Refusal::WakingUp),
            Self::Throttling => counts.refused(|refusal| *refusal == Refusal::RateExceeded),
            Self::TooManyConnections => {
                counts.refused(|refusal| *refusal == Refusal::TooManyConnections)
            }
            Self::ExpiredToken => counts.refused(|refusal| matches!(refusal, Refusal::Token(_))),
            // The cluster does not count these.
            Self::Definition | Self::HomeGone | Self::BothGone | Self::FlappingHome => 0,
            Self::BrokenLogin => (0..LOGIN_STAGES.len() * LOGIN_EFFECTS.len())
                .map(|which| cluster.struck(&broken_login(which)))
                .sum(),
            _ => {
                let faults = self.faults();
                faults.iter().map(|fault| cluster.struck(fault)).sum()
            }
        }
    }

    /// Whether it lasts until it is released.
    pub(crate) fn lasts(self) -> bool {
        matches!(
            self,
            Self::BlackHole | Self::StalledStatement | Self::StalledCommit
        )
    }

    /// The faults to inject for it.
    fn faults(self) -> Vec<Fault> {
        match self {
            Self::CutStatement => vec![Fault::at(Stage::Statement, Effect::Cut)],
            Self::ResetStatement => vec![Fault::at(Stage::Statement, Effect::Reset)],
            Self::StalledStatement => vec![Fault::at(Stage::Statement, Effect::Stall)],
            Self::CutCommit => vec![Fault::at(Stage::Commit, Effect::Cut)],
            Self::StalledCommit => vec![Fault::at(Stage::Commit, Effect::Stall)],
            Self::LostCommitReply => vec![Fault::lose_commit_reply()],
            Self::LateCommit => LATE.map(Fault::deliver_commit_late).into(),
            Self::MisreportedCommit => vec![Fault::misreport_commit(Refusal::ServerUnavailable)],
            Self::UnavailableCommit => {
                let unavailable = Effect::Refuse(Refusal::ServerUnavailable);
                vec![Fault::at(Stage::Commit, unavailable)]
            }
            Self::InjectedConflict => {
                vec![Fault::at(
                    Stage::Commit,
                    Effect::Refuse(injected_conflict()),
                )]
            }
            Self::InjectedStatementConflict => vec![statement_conflict()],
            Self::Throttling => vec![Fault::refuse(Refusal::RateExceeded)],
            Self::TooManyConnections => vec![Fault::refuse(Refusal::TooManyConnections)],
            Self::ExpiredToken => vec![Fault::refuse(Refusal::signature_expired())],
            Self::Delay => [Direction::ToServer, Direction::ToClient]
                .map(|direction| Fault::delay(direction, DELAY))
                .into(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CutAll => "all sockets cut",
            Self::ResetAll => "all sockets reset",
            Self::BlackHole => "black hole",
            Self::BrokenLogin => "login broken",
            Self::CutStatement => "cut at a statement",
            Self::ResetStatement => "reset at a statement",
            Self::StalledStatement => "stall at a statement",
            Self::CutCommit => "cut at COMMIT, not applied",
            Self::StalledCommit => "stall at COMMIT, not applied",
            Self::LostCommitReply => "COMMIT applied, reply lost",
            Self::LateCommit => "COMMIT delivered late",
            Self::MisreportedCommit => "COMMIT applied, answered as unavailable",
            Self::UnavailableCommit => "COMMIT not applied, answered as unavailable",
            Self::RealConflict => "conflict, real",
            Self::InjectedConflict => "conflict at COMMIT, injected",
            Self::InjectedStatementConflict => "conflict at a statement, injected",
            Self::Definition => "DDL in another session",
            Self::StaleCatalog => "schema changed",
            Self::SessionLimit => "session limit",
            Self::TransactionAge => "transaction too old",
            Self::WakingUp => "waking up",
            Self::Throttling => "connection rate exceeded",
            Self::TooManyConnections => "too many connections",
            Self::ExpiredToken => "token expired",
            Self::Delay => "bytes delayed",
            Self::HomeGone => "home Region gone for seconds",
            Self::BothGone => "both Regions gone for a moment",
            Self::FlappingHome => "home Region flapping",
        })
    }
}

/// A conflict in the service's own words. The hint distinguishes it from a real one.
fn injected_conflict() -> Refusal {
    Refusal::Custom {
        fatal: false,
        sqlstate: "40001".into(),
        message: "change conflicts with another transaction (OC000)".into(),
        hint: Some("injected".into()),
    }
}

fn statement_conflict() -> Fault {
    Fault::at(Stage::Statement, Effect::Refuse(Refusal::Conflict))
}

fn broken_login(which: usize) -> Fault {
    let stage = LOGIN_STAGES[which % LOGIN_STAGES.len()];
    let effect = LOGIN_EFFECTS[which / LOGIN_STAGES.len()].clone();
    Fault::at(stage, effect)
}

const LOGIN_STAGES: [Stage; 5] = [
    Stage::Accept,
    Stage::TlsHello,
    Stage::Startup,
    Stage::Password,
    Stage::Ready,
];
const LOGIN_EFFECTS: [Effect; 4] = [Effect::Cut, Effect::Reset, Effect::Garbage, Effect::Stall];

/// The cluster's default.
const SESSION_LIMIT: Duration = Duration::from_secs(3_600);
/// More than the cluster's default limit of a transaction.
const TRANSACTION_AGE: Duration = Duration::from_secs(301);
const DELAY: Duration = Duration::from_millis(20);
/// Before, at and after the tombstone.
const LATE: [Late; 4] = [
    Late::By(Duration::from_millis(1)),
    Late::By(Duration::from_millis(10)),
    Late::By(Duration::from_millis(50)),
    Late::By(Duration::from_millis(300)),
];
