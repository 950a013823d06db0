//! What each cell of the table expects.

mod connecting;
mod session;

use crate::fault::{Fault, Service};
use crate::outcome::{Bound, Expected, Outcome};
use crate::stage::Stage;

/// One row of the table.
pub(crate) enum Row {
    /// This fault cannot occur at this stage.
    Impossible(&'static str),
    /// The expectations of the stage's calls, in their order.
    Possible(Vec<Expected>),
}

pub(crate) fn row(stage: Stage, fault: Fault) -> Row {
    match stage {
        _ if fault == Fault::TryAgain && stage != Stage::Dns => Row::Impossible(ONLY_NAMES),
        _ if fault == Fault::Service(Service::NoTls) => Row::Impossible(ALWAYS_TLS),
        Stage::Dns => connecting::name(fault),
        Stage::Tcp | Stage::TlsHello => connecting::before_tls(stage, fault),
        Stage::TlsFinished | Stage::Startup | Stage::Password | Stage::Ready => {
            connecting::inside_tls(stage, fault)
        }
        Stage::Idle => session::idle(fault),
        Stage::QuerySent => session::statement(fault, |statement| statement.sent()),
        Stage::RowsHalfRead => session::statement(fault, |statement| statement.half_read()),
        Stage::OutcomeSent => session::outcome_sent(fault),
        Stage::CommitSent => session::commit_sent(fault),
        Stage::CommitApplied => session::commit_applied(fault),
        Stage::ReturnToPool => session::return_to_pool(fault),
    }
}

fn served() -> Expected {
    Outcome::Served.by(Bound::AtOnce)
}

fn cancelled() -> Expected {
    Outcome::Cancelled.by(Bound::Caller)
}

const ONLY_NAMES: &str = "only a name server reports this";
const ALWAYS_TLS: &str = "the client always uses TLS";
const ALREADY_CONNECTED: &str = "the connection is already open";
const NO_STATEMENT: &str = "no statement is in flight";
