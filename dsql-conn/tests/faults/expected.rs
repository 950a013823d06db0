//! What is expected of each cell: the table itself.

use dsql_conn::Reason;

use crate::{
    fault::{Fault, Service},
    seen::{Bound, Expected, Seen},
    stage::Stage,
};

/// One row of the table.
pub(crate) enum Row {
    /// This fault does not strike at this stage.
    Impossible(&'static str),
    /// What is expected of each of the stage's ways, in their order.
    Possible(Vec<Expected>),
}

pub(crate) fn row(stage: Stage, fault: Fault) -> Row {
    match stage {
        Stage::Tcp | Stage::TlsHello => before_tls(stage, fault),
        Stage::TlsFinished | Stage::Startup | Stage::Password | Stage::Ready => {
            inside_tls(stage, fault)
        }
        Stage::Idle => idle(fault),
        Stage::QuerySent => query_sent(fault),
        Stage::RowsHalfRead => rows_half_read(fault),
        Stage::CommitSent => commit_sent(fault),
        Stage::CommitApplied => commit_applied(fault),
        Stage::ReturnToPool => return_to_pool(fault),
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
        Fault::Service(Service::NoTls) => Row::Impossible(ALWAYS_TLS),
        Fault::Service(_) if stage == Stage::TlsFinished => Row::Impossible(NO_WORDS_YET),
        Fault::Service(service) => match told_at_login(service) {
            None => Row::Impossible(ANSWERS_A_STATEMENT),
            // A fresh signature may do, once.
            Some(Reason::TokenExpired) => Row::Possible(vec![
                served(),
                Seen::Connect(Reason::TokenExpired).by(Bound::AtOnce),
                Seen::Connect(Reason::TokenExpired).by(Bound::AtOnce),
            ]),
            Some(reason) if reason.is_transient() => transient(reason),
            Some(reason) => permanent(reason),
        },
        fault => dialing(fault),
    }
}

/// What the network may do to any step of opening a connection.
fn dialing(fault: Fault) -> Row {
    match fault {
        Fault::Refuse => Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof => transient(Reason::Interrupted),
        Fault::Stall | Fault::Crawl => Row::Possible(vec![
            Seen::Served.by(Bound::Connect),
            Seen::CheckoutTimeout(Some(Reason::TimedOut)).by(Bound::Checkout),
            Seen::Connect(Reason::TimedOut).by(Bound::Connect),
        ]),
        Fault::Trickle => Row::Possible(vec![served(), served(), served()]),
        Fault::Garbage | Fault::Service(_) => unreachable!("told by the stages"),
    }
}

/// What may pass by itself: waited out, and named when the time is up.
fn transient(reason: Reason) -> Row {
    Row::Possible(vec![
        Seen::Served.by(Bound::Backoff),
        Seen::CheckoutTimeout(Some(reason)).by(Bound::Checkout),
        Seen::Connect(reason).by(Bound::Connect),
    ])
}

/// What trying again would not help against.
fn permanent(reason: Reason) -> Row {
    Row::Possible(vec![Seen::Connect(reason).by(Bound::AtOnce); 3])
}

fn told_at_login(service: Service) -> Option<Reason> {
    Some(match service {
        Service::SignatureExpired => Reason::TokenExpired,
        Service::SignatureNotYetCurrent
        | Service::WrongSignature
        | Service::UnknownAccessKey
        | Service::MalformedToken
        | Service::IamAuthenticationFailed => Reason::AccessDenied,
        Service::WrongAction => Reason::WrongAction,
        Service::NotAuthorized | Service::NotGranted => Reason::NotAuthorized,
        Service::RoleMissing => Reason::RoleMissing,
        Service::StartupSetting => Reason::SettingRefused,
        Service::NoServerName => Reason::ServerNameMissing,
        Service::WakingUp => Reason::WakingUp,
        Service::TooManyConnections => Reason::TooManyConnections,
        Service::RateExceeded => Reason::RateExceeded,
        Service::RoleCannotLogin
        | Service::DatabaseMissing
        | Service::NoTls
        | Service::ProtocolViolation
        | Service::ShuttingDown => Reason::Refused,
        Service::DataConflict
        | Service::SchemaConflict
        | Service::Unavailable
        | Service::TransactionAge
        | Service::TransactionSize
        | Service::TransactionFailed
        | Service::NotInTransaction
        | Service::UnsupportedStatement
        | Service::UnsupportedSetting
        | Service::UnknownType => return None,
    })
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
    match fault {
        Fault::Refuse => Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage | Fault::Trickle => {
            Row::Possible(vec![served(), served()])
        }
        Fault::Stall | Fault::Crawl => Row::Possible(vec![
            Seen::GivenUp.by(Bound::Caller),
            Seen::Served.by(Bound::Ping),
        ]),
        Fault::Service(service) => match told_in_session(service) {
            Some(Told::Farewell(_)) => Row::Possible(vec![served(), served()]),
            Some(_) => Row::Impossible(ANSWERS_A_STATEMENT),
            None => Row::Impossible(ANSWERS_A_LOGIN),
        },
    }
}

fn query_sent(fault: Fault) -> Row {
    let by_transaction = |once: Expected, lasting: Expected| [once.clone(), once, lasting];
    let (alone, in_transaction) = match fault {
        Fault::Refuse => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage => (
            Seen::Lost.by(Bound::AtOnce),
            by_transaction(served(), Seen::Lost.by(Bound::AtOnce)),
        ),
        Fault::Stall | Fault::Crawl => (
            Seen::GivenUp.by(Bound::Caller),
            by_transaction(timed_out(), timed_out()),
        ),
        Fault::Trickle => (served(), by_transaction(served(), served())),
        Fault::Service(service) => match told_in_session(service) {
            None => return Row::Impossible(ANSWERS_A_LOGIN),
            Some(Told::Conflict(code)) => (
                refused(code),
                by_transaction(
                    Seen::Served.by(Bound::Backoff),
                    Seen::Conflict.by(Bound::Backoff),
                ),
            ),
            Some(Told::Unavailable(code)) => (
                refused(code),
                by_transaction(
                    Seen::Served.by(Bound::Backoff),
                    Seen::Refused(code.into()).by(Bound::Backoff),
                ),
            ),
            Some(Told::Refusal(code)) => {
                (refused(code), by_transaction(refused(code), refused(code)))
            }
            Some(Told::Farewell(code)) => (refused(code), by_transaction(served(), refused(code))),
        },
    };
    Row::Possible([alone].into_iter().chain(in_transaction).collect())
}

fn rows_half_read(fault: Fault) -> Row {
    // As a query that was not run, but for a transaction's BEGIN.
    match query_sent(fault) {
        Row::Impossible(why) => Row::Impossible(why),
        Row::Possible(mut ways) => {
            ways.remove(1);
            ways[0] = ways[0].clone().reading();
            Row::Possible(ways)
        }
    }
}

fn commit_sent(fault: Fault) -> Row {
    let unknown = || Seen::CommitUnknown.by(Bound::AtOnce);
    Row::Possible(match fault {
        Fault::Refuse => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Trickle | Fault::Crawl => return Row::Impossible(TRICKLES_ARE_ANSWERS),
        Fault::Reset | Fault::Eof | Fault::Garbage => {
            vec![Seen::Lost.by(Bound::AtOnce), unknown(), unknown(), served()]
        }
        Fault::Stall => {
            let late = Seen::CommitUnknown.by(Bound::Deadline);
            vec![
                Seen::GivenUp.by(Bound::Caller),
                late.clone(),
                late.clone(),
                late,
            ]
        }
        Fault::Service(service) => match told_in_session(service) {
            None => return Row::Impossible(ANSWERS_A_LOGIN),
            Some(Told::Conflict(code)) => vec![
                refused(code),
                Seen::Served.by(Bound::Backoff),
                Seen::Conflict.by(Bound::Backoff),
                Seen::Served.by(Bound::Backoff),
            ],
            Some(Told::Unavailable(code) | Told::Farewell(code)) => {
                vec![refused(code), unknown(), unknown(), served()]
            }
            Some(Told::Refusal(code)) => vec![refused(code); 4],
        },
    })
}

fn commit_applied(fault: Fault) -> Row {
    let unknown = || Seen::CommitUnknown.by(Bound::AtOnce).applied();
    Row::Possible(match fault {
        Fault::Refuse => return Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof | Fault::Garbage => vec![
            Seen::Lost.by(Bound::AtOnce).applied(),
            unknown(),
            unknown(),
            served(),
        ],
        Fault::Stall | Fault::Crawl => {
            let late = Seen::CommitUnknown.by(Bound::Deadline).applied();
            vec![
                Seen::GivenUp.by(Bound::Caller).applied(),
                late.clone(),
                late.clone(),
                late,
            ]
        }
        Fault::Trickle => vec![served(); 4],
        Fault::Service(service) => match told_in_session(service) {
            None => return Row::Impossible(ANSWERS_A_LOGIN),
            Some(Told::Unavailable(code) | Told::Farewell(code)) => {
                vec![refused(code).applied(), unknown(), unknown(), served()]
            }
            Some(Told::Conflict(_) | Told::Refusal(_)) => {
                return Row::Impossible(VOUCHES_FOR_NOTHING_APPLIED);
            }
        },
    })
}

fn return_to_pool(fault: Fault) -> Row {
    let settled = || Seen::Served.by(Bound::Settle);
    Row::Possible(match fault {
        Fault::Refuse => return Row::Impossible(ALREADY_CONNECTED),
        // A transaction that is open is seen to be without asking the peer.
        Fault::Stall | Fault::Crawl => vec![settled(), settled(), served(), settled()],
        Fault::Service(service) => match told_in_session(service) {
            None => return Row::Impossible(ANSWERS_A_LOGIN),
            Some(_) => vec![served(); 4],
        },
        Fault::Reset | Fault::Eof | Fault::Garbage | Fault::Trickle => vec![served(); 4],
    })
}

fn served() -> Expected {
    Seen::Served.by(Bound::AtOnce)
}

fn refused(code: &'static str) -> Expected {
    Seen::Refused(code.into()).by(Bound::AtOnce)
}

fn timed_out() -> Expected {
    Seen::TransactionTimedOut.by(Bound::Deadline)
}

const NO_WORDS_YET: &str = "the service has no words before the startup packet";
const ALWAYS_TLS: &str = "the client never speaks outside of TLS";
const ALREADY_CONNECTED: &str = "the connection is made";
const ANSWERS_A_STATEMENT: &str = "answers a statement";
const ANSWERS_A_LOGIN: &str = "answers a login";
const TRICKLES_ARE_ANSWERS: &str = "what trickles is an answer, so that `COMMIT` was applied";
const VOUCHES_FOR_NOTHING_APPLIED: &str = "says that nothing was applied";
