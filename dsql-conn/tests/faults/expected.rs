//! What is expected of each cell: the table itself.

use dsql_conn::Reason;

use crate::fault::{Fault, Service};
use crate::seen::{Bound, Expected, Seen};
use crate::stage::Stage;

/// One row of the table.
pub(crate) enum Row {
    /// This fault does not strike at this stage.
    Impossible(&'static str),
    /// What is expected of each of the stage's ways, in their order.
    Possible(Vec<Expected>),
}

pub(crate) fn row(stage: Stage, fault: Fault) -> Row {
    match stage {
        _ if fault == Fault::TryAgain && stage != Stage::Dns => Row::Impossible(ONLY_NAMES),
        _ if fault == Fault::Service(Service::NoTls) => Row::Impossible(ALWAYS_TLS),
        Stage::Dns => name(fault),
        Stage::Tcp | Stage::TlsHello => before_tls(stage, fault),
        Stage::TlsFinished | Stage::Startup | Stage::Password | Stage::Ready => {
            inside_tls(stage, fault)
        }
        Stage::Idle => idle(fault),
        Stage::QuerySent => statement(fault, |statement| statement.sent()),
        Stage::RowsHalfRead => statement(fault, |statement| statement.half_read()),
        Stage::CommitSent => commit_sent(fault),
        Stage::CommitApplied => commit_applied(fault),
        Stage::ReturnToPool => return_to_pool(fault),
    }
}

fn name(fault: Fault) -> Row {
    match fault {
        Fault::Refuse => permanent(Reason::NameResolution),
        Fault::TryAgain => transient(Reason::NameServer),
        Fault::Stall => silent(),
        Fault::Service(_) => Row::Impossible(NO_WORDS_YET),
        _ => Row::Impossible(ONLY_RESOLVERS),
    }
}

fn before_tls(stage: Stage, fault: Fault) -> Row {
    match fault {
        Fault::Refuse if stage == Stage::Tcp => transient(Reason::Unreachable),
        Fault::Service(_) => Row::Impossible(NO_WORDS_YET),
        // Nobody knows a TLS record by such bytes: this is not the cluster's port.
        Fault::Garbage => permanent(Reason::Tls),
        fault => dialing(fault),
    }
}

fn inside_tls(stage: Stage, fault: Fault) -> Row {
    match fault {
        Fault::Garbage => permanent(Reason::Protocol),
        Fault::Service(_) if stage == Stage::TlsFinished => Row::Impossible(NO_WORDS_YET),
        Fault::Service(service) => told_at_login(service),
        fault => dialing(fault),
    }
}

/// What the network may do to any step of opening a connection.
fn dialing(fault: Fault) -> Row {
    match fault {
        Fault::Refuse | Fault::TryAgain => Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof => transient(Reason::Interrupted),
        Fault::Stall | Fault::Crawl => silent(),
        Fault::Trickle => Dial {
            get: served(),
            lasting: served(),
            given_up: Expected::impossible(),
            unpooled: served(),
        }
        .row(),
        Fault::Garbage | Fault::Service(_) => unreachable!("told by the stages"),
    }
}

fn told_at_login(service: Service) -> Row {
    match service {
        // Signed again once: the clock may have been set. These refusals name a distant time.
        Service::SignatureExpired | Service::SignatureNotYetCurrent => Dial {
            get: served(),
            ..Dial::refused(Reason::ClockSkew)
        }
        .row(),
        Service::WakingUp => transient(Reason::WakingUp),
        Service::TooManyConnections => transient(Reason::TooManyConnections),
        Service::RateExceeded => transient(Reason::RateExceeded),
        Service::WrongSignature
        | Service::UnknownAccessKey
        | Service::MalformedToken
        | Service::IamAuthenticationFailed => permanent(Reason::AccessDenied),
        Service::WrongAction => permanent(Reason::WrongAction),
        Service::NotAuthorized | Service::NotGranted => permanent(Reason::NotAuthorized),
        Service::RoleMissing => permanent(Reason::RoleMissing),
        Service::StartupSetting => permanent(Reason::SettingRefused),
        Service::NoServerName => permanent(Reason::ServerNameMissing),
        Service::RoleCannotLogin | Service::DatabaseMissing | Service::ProtocolViolation => {
            permanent(Reason::Refused)
        }
        Service::Unavailable | Service::ShuttingDown => transient(Reason::Unavailable),
        Service::NoTls => unreachable!("told for every stage"),
        Service::DataConflict
        | Service::SchemaConflict
        | Service::TransactionAge
        | Service::TransactionSize
        | Service::TransactionFailed
        | Service::NotInTransaction
        | Service::UnsupportedStatement
        | Service::UnsupportedSetting
        | Service::UnknownType => Row::Impossible(NO_STATEMENT),
    }
}

/// What may pass by itself: waited out, and named when the time is up.
fn transient(reason: Reason) -> Row {
    Dial {
        get: Seen::Served.by(Bound::Backoff),
        lasting: Seen::CheckoutTimeout(Some(reason)).by(Bound::Checkout),
        given_up: Expected::impossible(),
        unpooled: Seen::Connect(reason).by(Bound::Connect),
    }
    .row()
}

/// Noticed by the deadline for opening a connection alone.
fn silent() -> Row {
    let timed_out = Seen::Connect(Reason::TimedOut).by(Bound::Connect);
    Dial {
        get: timed_out.clone(),
        lasting: timed_out.clone(),
        given_up: given_up(),
        unpooled: timed_out,
    }
    .row()
}

/// What trying again would not help against.
fn permanent(reason: Reason) -> Row {
    Dial::refused(reason).row()
}

/// What keeps a connection from being opened.
struct Dial {
    get: Expected,
    lasting: Expected,
    given_up: Expected,
    unpooled: Expected,
}

impl Dial {
    fn refused(reason: Reason) -> Self {
        let refused = Seen::Connect(reason).by(Bound::AtOnce);
        Self {
            get: refused.clone(),
            lasting: refused.clone(),
            given_up: Expected::impossible(),
            unpooled: refused,
        }
    }

    fn row(self) -> Row {
        Row::Possible(vec![self.get, self.lasting, self.given_up, self.unpooled])
    }
}

/// What is told within a session.
enum Told {
    /// Another run may be spared it, and nothing was applied.
    Conflict(&'static str),
    /// Another run may be spared it. Whether something was applied is open.
    Unavailable(&'static str),
    /// Every run would meet it.
    Refusal(&'static str),
    /// The session's last words.
    Farewell(&'static str),
}

fn told_in_session(service: Service) -> Option<Told> {
    Some(match service {
        Service::DataConflict | Service::SchemaConflict => Told::Conflict("40001"),
        Service::Unavailable => Told::Unavailable("XX000"),
        Service::TransactionAge | Service::TransactionSize => Told::Refusal("54000"),
        Service::TransactionFailed => Told::Refusal("25P02"),
        Service::NotInTransaction => Told::Refusal("25001"),
        Service::UnsupportedStatement | Service::UnsupportedSetting => Told::Refusal("0A000"),
        Service::UnknownType => Told::Refusal("42704"),
        Service::ShuttingDown => Told::Farewell("57P01"),
        Service::ProtocolViolation => Told::Farewell("08P01"),
        _ => return None,
    })
}

fn idle(fault: Fault) -> Row {
    let (used_lately, ping_due) = match fault {
        Fault::Refuse | Fault::TryAgain => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage | Fault::Trickle => (served(), served()),
        Fault::Stall | Fault::Crawl => (given_up(), Seen::Served.by(Bound::Ping)),
        Fault::Service(service) => match told_in_session(service) {
            Some(Told::Farewell(_)) => (served(), served()),
            Some(_) => return Row::Impossible(NO_STATEMENT),
            None => return Row::Impossible(LOGGED_IN),
        },
    };
    Row::Possible(vec![used_lately, ping_due])
}

/// What becomes of a statement that is struck, and of a transaction that it is part of.
struct Statement {
    alone: Expected,
    once: Expected,
    lasting: Expected,
    given_up: Expected,
}

impl Statement {
    /// The transaction fares alike if its `BEGIN` is struck.
    fn sent(self) -> Vec<Expected> {
        let begin = self.once.clone();
        vec![self.alone, begin, self.once, self.lasting, self.given_up]
    }

    /// A query that has nothing to apply.
    fn half_read(self) -> Vec<Expected> {
        vec![self.alone.reading(), self.once, self.lasting, self.given_up]
    }
}

fn statement(fault: Fault, ways: impl FnOnce(Statement) -> Vec<Expected>) -> Row {
    let (alone, once, lasting) = match fault {
        Fault::Refuse | Fault::TryAgain => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage => (lost(), served(), lost()),
        Fault::Stall | Fault::Crawl => (given_up(), timed_out(), timed_out()),
        Fault::Trickle => (served(), served(), served()),
        Fault::Service(service) => match told_in_session(service) {
            None => return Row::Impossible(LOGGED_IN),
            Some(Told::Conflict(code)) => (refused(code), served_later(), conflict()),
            Some(Told::Unavailable(code)) => {
                let lasting = Seen::Refused(code.into()).by(Bound::Backoff);
                (refused(code), served_later(), lasting)
            }
            Some(Told::Refusal(code)) => (refused(code), refused(code), refused(code)),
            Some(Told::Farewell(code)) => (refused(code), served(), refused(code)),
        },
    };
    Row::Possible(ways(Statement {
        alone,
        once,
        lasting,
        given_up: match fault.is_silent() {
            true => given_up(),
            false => Expected::impossible(),
        },
    }))
}

/// What becomes of a transaction whose `COMMIT` is struck.
struct Commit {
    by_hand: Expected,
    once: Expected,
    lasting: Expected,
    given_up: Expected,
    idempotent: Expected,
}

impl Commit {
    /// Nobody knows whether it was applied.
    fn in_doubt(by_hand: Expected) -> Self {
        let unknown = Seen::CommitUnknown.by(Bound::AtOnce);
        Self {
            by_hand,
            once: unknown.clone(),
            lasting: unknown,
            given_up: Expected::impossible(),
            idempotent: served(),
        }
    }

    fn silent() -> Self {
        let unknown = Seen::CommitUnknown.by(Bound::Deadline);
        Self {
            by_hand: given_up(),
            once: unknown.clone(),
            lasting: unknown.clone(),
            given_up: given_up(),
            // There is no time left for another run.
            idempotent: unknown,
        }
    }

    fn refused(code: &'static str) -> Self {
        Self {
            by_hand: refused(code),
            once: refused(code),
            lasting: refused(code),
            given_up: Expected::impossible(),
            idempotent: refused(code),
        }
    }

    fn row(self) -> Row {
        Row::Possible(vec![
            self.by_hand,
            self.once,
            self.lasting,
            self.given_up,
            self.idempotent,
        ])
    }

    /// The same of one that was applied.
    fn applied(self) -> Row {
        Self {
            by_hand: self.by_hand.applied(),
            once: self.once.applied(),
            lasting: self.lasting.applied(),
            given_up: self.given_up.applied(),
            idempotent: self.idempotent.applied(),
        }
        .row()
    }
}

fn commit_sent(fault: Fault) -> Row {
    match fault {
        Fault::Refuse | Fault::TryAgain => Row::Impossible(ALREADY_CONNECTED),
        Fault::Trickle | Fault::Crawl => Row::Impossible(TRICKLES_ARE_ANSWERS),
        Fault::Reset | Fault::Eof | Fault::Garbage => Commit::in_doubt(lost()).row(),
        Fault::Stall => Commit::silent().row(),
        Fault::Service(service) => match told_in_session(service) {
            None => Row::Impossible(LOGGED_IN),
            Some(Told::Conflict(code)) => Commit {
                once: served_later(),
                lasting: conflict(),
                idempotent: served_later(),
                ..Commit::refused(code)
            }
            .row(),
            Some(Told::Unavailable(code) | Told::Farewell(code)) => {
                Commit::in_doubt(refused(code)).row()
            }
            Some(Told::Refusal(code)) => Commit::refused(code).row(),
        },
    }
}

fn commit_applied(fault: Fault) -> Row {
    match fault {
        Fault::Refuse | Fault::TryAgain => Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage => Commit::in_doubt(lost()).applied(),
        Fault::Stall | Fault::Crawl => Commit::silent().applied(),
        Fault::Trickle => Commit {
            by_hand: served(),
            once: served(),
            lasting: served(),
            given_up: Expected::impossible(),
            idempotent: served(),
        }
        .row(),
        Fault::Service(service) => match told_in_session(service) {
            None => Row::Impossible(LOGGED_IN),
            Some(Told::Unavailable(code) | Told::Farewell(code)) => {
                Commit::in_doubt(refused(code)).applied()
            }
            Some(Told::Conflict(_) | Told::Refusal(_)) => Row::Impossible(NOTHING_APPLIED),
        },
    }
}

/// What the next borrower meets after each of these was left behind.
struct Return {
    statement: Expected,
    rows: Expected,
    begin: Expected,
    rollback: Expected,
}

fn return_to_pool(fault: Fault) -> Row {
    let settled = || Seen::Served.by(Bound::Settle);
    let at_once = Return {
        statement: served(),
        rows: served(),
        begin: served(),
        rollback: served(),
    };
    let next = match fault {
        Fault::Refuse | Fault::TryAgain => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage | Fault::Trickle => at_once,
        Fault::Stall | Fault::Crawl => Return {
            statement: settled(),
            rows: settled(),
            // That a transaction is open is known without asking the peer.
            begin: served(),
            rollback: settled(),
        },
        Fault::Service(service) => match told_in_session(service) {
            None => return Row::Impossible(LOGGED_IN),
            Some(Told::Farewell(_)) => at_once,
            Some(_) => Return {
                begin: Expected::impossible(),
                ..at_once
            },
        },
    };
    Row::Possible(vec![next.statement, next.rows, next.begin, next.rollback])
}

fn served() -> Expected {
    Seen::Served.by(Bound::AtOnce)
}

fn served_later() -> Expected {
    Seen::Served.by(Bound::Backoff)
}

fn lost() -> Expected {
    Seen::Lost.by(Bound::AtOnce)
}

fn refused(code: &'static str) -> Expected {
    Seen::Refused(code.into()).by(Bound::AtOnce)
}

fn conflict() -> Expected {
    Seen::Conflict.by(Bound::Backoff)
}

fn timed_out() -> Expected {
    Seen::TransactionTimedOut.by(Bound::Deadline)
}

fn given_up() -> Expected {
    Seen::GivenUp.by(Bound::Caller)
}

const ONLY_NAMES: &str = "only a name server says so";
const ONLY_RESOLVERS: &str =
    "happens between the resolver and its name server, and comes out of it as one of the others";
const NO_WORDS_YET: &str = "the service has no words before the startup packet";
const ALWAYS_TLS: &str = "the client never speaks outside of TLS";
const ALREADY_CONNECTED: &str = "the connection is made";
const NO_STATEMENT: &str = "there is no statement to answer";
const LOGGED_IN: &str = "the login is done";
const TRICKLES_ARE_ANSWERS: &str = "what trickles is an answer, so that `COMMIT` was applied";
const NOTHING_APPLIED: &str = "they say that nothing was applied";
