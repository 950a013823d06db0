//! Expectations of faults that strike while a connection is being opened.

use dsql_conn::Reason;

use super::{ALREADY_CONNECTED, NO_STATEMENT, Row, cancelled, served};
use crate::fault::{Fault, Service};
use crate::outcome::{Bound, Expected, Outcome};
use crate::stage::Stage;

pub(super) fn name(fault: Fault) -> Row {
    match fault {
        Fault::Refuse => permanent(Reason::NameResolution),
        Fault::TryAgain => transient(Reason::NameServer),
        Fault::Stall => silent(),
        Fault::Service(_) => Row::Impossible(BEFORE_STARTUP),
        _ => Row::Impossible(ONLY_RESOLVERS),
    }
}

pub(super) fn before_tls(stage: Stage, fault: Fault) -> Row {
    match fault {
        Fault::Refuse if stage == Stage::Tcp => transient(Reason::Unreachable),
        Fault::Service(_) => Row::Impossible(BEFORE_STARTUP),
        // The bytes are not a TLS record, so this port is not the cluster's.
        Fault::Garbage => permanent(Reason::Protocol),
        fault => network_fault(fault),
    }
}

pub(super) fn inside_tls(stage: Stage, fault: Fault) -> Row {
    match fault {
        Fault::Garbage => permanent(Reason::Protocol),
        Fault::Service(_) if stage == Stage::TlsFinished => Row::Impossible(BEFORE_STARTUP),
        Fault::Service(service) => login_refusal(service),
        fault => network_fault(fault),
    }
}

/// Network faults that may strike any step of opening a connection.
fn network_fault(fault: Fault) -> Row {
    match fault {
        Fault::Refuse | Fault::TryAgain => Row::Impossible(ALREADY_CONNECTED),
        Fault::Reset | Fault::Eof => transient(Reason::Interrupted),
        Fault::Stall | Fault::Crawl => silent(),
        Fault::Trickle => Connecting {
            get: served(),
            lasting: served(),
            cancelled: Expected::impossible(),
            without_pool: served(),
            with_peer: Expected::impossible(),
        }
        .row(),
        Fault::Garbage | Fault::Service(_) => unreachable!("the stages handle these"),
    }
}

fn login_refusal(service: Service) -> Row {
    match service {
        // The client signs again once: its clock may have been set since. These refusals name a
        // distant time.
        Service::SignatureExpired | Service::SignatureNotYetCurrent => Connecting {
            get: served(),
            ..Connecting::refused(Reason::ClockSkew)
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
        Service::DatabaseMissing => permanent(Reason::DatabaseMissing),
        Service::RoleCannotLogin | Service::ProtocolViolation => permanent(Reason::Refused),
        Service::Unavailable | Service::ShuttingDown => transient(Reason::Unavailable),
        Service::NoTls => unreachable!("handled for every stage"),
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

/// Retried until the deadline, whose error names the reason.
fn transient(reason: Reason) -> Row {
    Connecting {
        get: Outcome::Served.by(Bound::Backoff),
        lasting: Outcome::CheckoutTimeout(Some(reason)).by(Bound::Checkout),
        cancelled: Expected::impossible(),
        without_pool: Outcome::Connect(reason).by(Bound::Connect),
        with_peer: match reason {
            // These limits belong to an account or a cluster, not to a Region.
            Reason::RateExceeded | Reason::TooManyConnections => {
                Outcome::CheckoutTimeout(Some(reason)).by(Bound::Checkout)
            }
            _ => served(),
        },
    }
    .row()
}

/// Only `connect_timeout` ends the attempt.
fn silent() -> Row {
    let timed_out = Outcome::Connect(Reason::TimedOut).by(Bound::Connect);
    Connecting {
        get: timed_out.clone(),
        lasting: timed_out.clone(),
        cancelled: cancelled(),
        without_pool: timed_out,
        with_peer: Outcome::Served.by(Bound::Failover),
    }
    .row()
}

/// Returned at once: a retry cannot help.
fn permanent(reason: Reason) -> Row {
    Connecting::refused(reason).row()
}

/// The expectations of the calls that open a connection.
struct Connecting {
    get: Expected,
    lasting: Expected,
    cancelled: Expected,
    without_pool: Expected,
    with_peer: Expected,
}

impl Connecting {
    fn refused(reason: Reason) -> Self {
        let refused = Outcome::Connect(reason).by(Bound::AtOnce);
        Self {
            get: refused.clone(),
            lasting: refused.clone(),
            cancelled: Expected::impossible(),
            without_pool: refused.clone(),
            with_peer: match reason {
                Reason::NameResolution => served(),
                _ => refused,
            },
        }
    }

    fn row(self) -> Row {
        Row::Possible(vec![
            self.get,
            self.lasting,
            self.cancelled,
            self.without_pool,
            self.with_peer,
        ])
    }
}

const ONLY_RESOLVERS: &str = "happens between the resolver and its name server; the resolver \
                              reports it as one of the others";
const BEFORE_STARTUP: &str = "the service reports no errors before the startup packet";
