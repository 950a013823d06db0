//! The stages at which a fault strikes, and the calls that meet it there.

use dsql_local::Stage as Local;

/// A step in the life of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Dns,
    Tcp,
    TlsHello,
    TlsFinished,
    Startup,
    Password,
    Ready,
    Idle,
    QuerySent,
    RowsHalfRead,
    OutcomeSent,
    CommitSent,
    CommitApplied,
    ReturnToPool,
}

/// The call that meets a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A checkout that opens a connection, and an insert; the fault strikes once.
    Get,
    /// The same while the fault lasts.
    GetWhileItLasts,
    /// A checkout that opens a connection and is cancelled; the fault strikes once.
    GetCancelled,
    /// A connection without a pool while the fault lasts.
    ConnectWhileItLasts,
    /// A checkout that opens a connection, and an insert, with a peer that serves while the fault
    /// lasts in the home Region.
    GetWithPeer,
    /// A checkout of a connection that was used recently, and an insert.
    UsedLately,
    /// A checkout of a connection that is due for a ping, and an insert.
    PingDue,
    /// A statement by itself.
    Statement,
    /// A transaction by hand on a pooled connection.
    ByHand,
    /// `Pool::transaction`; the fault strikes its `BEGIN`, once.
    Begin,
    /// `Pool::transaction`; the fault strikes once.
    Transaction,
    /// `Pool::transaction` while the fault lasts.
    TransactionWhileItLasts,
    /// `Pool::transaction` that is cancelled; the fault strikes once.
    TransactionCancelled,
    /// `Pool::transaction_with` an idempotent policy; the fault strikes once.
    Idempotent,
    /// `Pool::transaction_with` an outcome table; the fault strikes once.
    Recorded,
    /// The same while the fault lasts.
    RecordedWhileItLasts,
    /// A checkout and an insert after a connection was returned with a statement running.
    AfterStatement,
    /// The same after rows were left unread.
    AfterRows,
    /// The same after a transaction was left open.
    AfterBegin,
    /// The same while a `ROLLBACK` is in flight, which the fault strikes.
    AfterRollback,
}

impl Stage {
    pub(crate) const ALL: [Self; 14] = [
        Self::Dns,
        Self::Tcp,
        Self::TlsHello,
        Self::TlsFinished,
        Self::Startup,
        Self::Password,
        Self::Ready,
        Self::Idle,
        Self::QuerySent,
        Self::RowsHalfRead,
        Self::OutcomeSent,
        Self::CommitSent,
        Self::CommitApplied,
        Self::ReturnToPool,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Dns => "DNS",
            Self::Tcp => "TCP",
            Self::TlsHello => "TLS hello",
            Self::TlsFinished => "TLS finished",
            Self::Startup => "Startup",
            Self::Password => "Password",
            Self::Ready => "Ready",
            Self::Idle => "Idle",
            Self::QuerySent => "Query sent",
            Self::RowsHalfRead => "Rows half read",
            Self::OutcomeSent => "Outcome sent",
            Self::CommitSent => "COMMIT sent and not applied",
            Self::CommitApplied => "COMMIT applied and reply lost",
            Self::ReturnToPool => "Return to pool",
        }
    }

    /// What has happened, and what has not, when the fault strikes.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Dns => {
                "The endpoint's name is being resolved, by `Config::resolver` or the system's \
                 resolver. Refused: the name does not exist."
            }
            Self::Tcp => {
                "The TCP connection is being opened (refused, silence) or was just accepted (all \
                 others). The server has read nothing."
            }
            Self::TlsHello => "The server has read the client's TLS hello and not answered.",
            Self::TlsFinished => "The TLS handshake is done. The server has read nothing else.",
            Self::Startup => "The server has read the startup packet.",
            Self::Password => "The server has read the token.",
            Self::Ready => "The server has accepted the login and not answered yet.",
            Self::Idle => {
                "All connections of the pool are idle. The client notices before the call that a \
                 connection ended, but not that it fell silent."
            }
            Self::QuerySent => {
                "The server has read a statement and not run it. For `Pool::transaction` this is \
                 `BEGIN` or a statement of the body."
            }
            Self::RowsHalfRead => {
                "One row of a query has arrived, and half of the next. In a transaction, an insert \
                 came before the query."
            }
            Self::OutcomeSent => {
                "The server has read the row for the outcome table and not inserted it. `COMMIT` \
                 is in the same flight."
            }
            Self::CommitSent => "The server has read `COMMIT` and not run it.",
            Self::CommitApplied => "The server has run `COMMIT` and not replied.",
            Self::ReturnToPool => {
                "The pool's only connection is returned in a bad state while the fault strikes. \
                 The cell checks the next checkout, and that nothing of the unfinished work \
                 remains."
            }
        }
    }

    pub(crate) fn calls(self) -> &'static [Call] {
        match self {
            Self::Dns
            | Self::Tcp
            | Self::TlsHello
            | Self::TlsFinished
            | Self::Startup
            | Self::Password
            | Self::Ready => &[
                Call::Get,
                Call::GetWhileItLasts,
                Call::GetCancelled,
                Call::ConnectWhileItLasts,
                Call::GetWithPeer,
            ],
            Self::Idle => &[Call::UsedLately, Call::PingDue],
            Self::QuerySent => &[
                Call::Statement,
                Call::Begin,
                Call::Transaction,
                Call::TransactionWhileItLasts,
                Call::TransactionCancelled,
            ],
            Self::RowsHalfRead => &[
                Call::Statement,
                Call::Transaction,
                Call::TransactionWhileItLasts,
                Call::TransactionCancelled,
            ],
            Self::OutcomeSent => &[Call::Recorded, Call::RecordedWhileItLasts],
            Self::CommitSent | Self::CommitApplied => &[
                Call::ByHand,
                Call::Transaction,
                Call::TransactionWhileItLasts,
                Call::TransactionCancelled,
                Call::Idempotent,
                Call::Recorded,
            ],
            Self::ReturnToPool => &[
                Call::AfterStatement,
                Call::AfterRows,
                Call::AfterBegin,
                Call::AfterRollback,
            ],
        }
    }

    /// Where the local cluster injects the fault.
    pub(crate) fn local(self, call: Call) -> Local {
        match self {
            Self::Dns | Self::Tcp => Local::Accept,
            Self::TlsHello => Local::TlsHello,
            Self::TlsFinished => Local::TlsFinished,
            Self::Startup => Local::Startup,
            Self::Password => Local::Password,
            Self::Ready => Local::Ready,
            Self::Idle => Local::Idle,
            Self::QuerySent | Self::OutcomeSent => Local::Statement,
            Self::RowsHalfRead => Local::Rows,
            Self::CommitSent => Local::Commit,
            Self::CommitApplied => Local::Committed,
            Self::ReturnToPool => match call {
                Call::AfterRows => Local::Rows,
                Call::AfterBegin => Local::Idle,
                _ => Local::Statement,
            },
        }
    }
}

impl Call {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Get => "`Pool::get`, once",
            Self::GetWhileItLasts => "`Pool::get`, while the fault lasts",
            Self::GetCancelled => "`Pool::get`, given up",
            Self::ConnectWhileItLasts => "`Config::connect`, while the fault lasts",
            Self::GetWithPeer => "`Pool::get` with `Config::peer`, while the fault lasts at home",
            Self::UsedLately => "used lately",
            Self::PingDue => "idle for `ping_after`",
            Self::Statement => "a statement by `Pool::get`",
            Self::ByHand => "by hand on a pooled connection",
            Self::Begin => "`Pool::transaction`, at `BEGIN`, once",
            Self::Transaction => "`Pool::transaction`, once",
            Self::TransactionWhileItLasts => "`Pool::transaction`, while the fault lasts",
            Self::TransactionCancelled => "`Pool::transaction`, given up",
            Self::Idempotent => "`RetryPolicy::idempotent`, once",
            Self::Recorded => "`RetryPolicy::outcomes`, once",
            Self::RecordedWhileItLasts => "`RetryPolicy::outcomes`, while the fault lasts",
            Self::AfterStatement => "a statement was running",
            Self::AfterRows => "rows were unread",
            Self::AfterBegin => "a transaction was open",
            Self::AfterRollback => "a dropped transaction was rolling back",
        }
    }
}
