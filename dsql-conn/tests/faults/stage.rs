//! Where a fault strikes, and the ways in which a caller is about to meet it there.

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
    CommitSent,
    CommitApplied,
    ReturnToPool,
}

/// What is called while a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A checkout that has to dial, and an insert; the fault strikes once.
    Get,
    /// The same while the fault lasts.
    GetWhileItLasts,
    /// A checkout that has to dial and that its caller gives up; the fault strikes once.
    GetGivenUp,
    /// A connection without a pool while the fault lasts.
    ConnectWhileItLasts,
    /// A checkout of a connection that was used lately, and an insert.
    UsedLately,
    /// A checkout of a connection that is due for a ping, and an insert.
    PingDue,
    /// A statement by itself.
    Statement,
    /// A transaction by hand on a borrowed connection.
    ByHand,
    /// `Pool::transaction`; the fault strikes its `BEGIN`, once.
    Begin,
    /// `Pool::transaction`; the fault strikes once.
    Transaction,
    /// `Pool::transaction` while the fault lasts.
    TransactionWhileItLasts,
    /// `Pool::transaction` that its caller gives up; the fault strikes once.
    TransactionGivenUp,
    /// `Pool::transaction_with` of a policy that says that the body is idempotent; the fault
    /// strikes once.
    Idempotent,
    /// The next checkout and insert after a statement was left running.
    AfterStatement,
    /// The same after rows were left unread.
    AfterRows,
    /// The same after a transaction was left open.
    AfterBegin,
    /// The same after a transaction of the driver's was dropped, whose `ROLLBACK` is struck.
    AfterRollback,
}

impl Stage {
    pub(crate) const ALL: [Self; 13] = [
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
            Self::CommitSent => "COMMIT sent and not applied",
            Self::CommitApplied => "COMMIT applied and reply lost",
            Self::ReturnToPool => "Return to pool",
        }
    }

    /// What has happened and what has not when the fault strikes.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Dns => {
                "The endpoint's name is being looked up, by `Config::resolver` or the system's resolver. Refused: there is no such \
                 name."
            }
            Self::Tcp => {
                "The TCP connection is being made (refused, silence) or was just accepted (the others); nothing was read."
            }
            Self::TlsHello => "The client's TLS hello was read, and nothing answered.",
            Self::TlsFinished => "The TLS handshake is done, and nothing was read inside of it.",
            Self::Startup => "The startup packet was read.",
            Self::Password => "The token was read.",
            Self::Ready => "The login is good, and the client was not told yet.",
            Self::Idle => {
                "Every connection of the pool rests in it when it is struck. A connection that ends shows that to the client \
                 before the call; one that falls silent shows nothing."
            }
            Self::QuerySent => {
                "The server has read a statement and not run it. By `Pool::transaction` that is its `BEGIN` or a statement of \
                 its body."
            }
            Self::RowsHalfRead => {
                "A row of a query has arrived, and half of the next one. In a transaction an insert came before it."
            }
            Self::CommitSent => "The server has read `COMMIT` and not carried it out.",
            Self::CommitApplied => "The server has carried out `COMMIT` and not said so.",
            Self::ReturnToPool => {
                "A borrower gives the pool's only connection back in a bad state while the fault strikes it. What counts is \
                 the next borrower, and that nothing is left of what the last one did not finish."
            }
        }
    }

    pub(crate) fn ways(self) -> &'static [Way] {
        match self {
            Self::Dns
            | Self::Tcp
            | Self::TlsHello
            | Self::TlsFinished
            | Self::Startup
            | Self::Password
            | Self::Ready => &[
                Way::Get,
                Way::GetWhileItLasts,
                Way::GetGivenUp,
                Way::ConnectWhileItLasts,
            ],
            Self::Idle => &[Way::UsedLately, Way::PingDue],
            Self::QuerySent => &[
                Way::Statement,
                Way::Begin,
                Way::Transaction,
                Way::TransactionWhileItLasts,
                Way::TransactionGivenUp,
            ],
            Self::RowsHalfRead => &[
                Way::Statement,
                Way::Transaction,
                Way::TransactionWhileItLasts,
                Way::TransactionGivenUp,
            ],
            Self::CommitSent | Self::CommitApplied => &[
                Way::ByHand,
                Way::Transaction,
                Way::TransactionWhileItLasts,
                Way::TransactionGivenUp,
                Way::Idempotent,
            ],
            Self::ReturnToPool => &[
                Way::AfterStatement,
                Way::AfterRows,
                Way::AfterBegin,
                Way::AfterRollback,
            ],
        }
    }

    /// Where the local cluster lets the fault strike.
    pub(crate) fn local(self, way: Way) -> Local {
        match self {
            Self::Dns | Self::Tcp => Local::Accept,
            Self::TlsHello => Local::TlsHello,
            Self::TlsFinished => Local::TlsFinished,
            Self::Startup => Local::Startup,
            Self::Password => Local::Password,
            Self::Ready => Local::Ready,
            Self::Idle => Local::Idle,
            Self::QuerySent => Local::Statement,
            Self::RowsHalfRead => Local::Rows,
            Self::CommitSent => Local::Commit,
            Self::CommitApplied => Local::Committed,
            Self::ReturnToPool => match way {
                Way::AfterRows => Local::Rows,
                Way::AfterBegin => Local::Idle,
                _ => Local::Statement,
            },
        }
    }
}

impl Way {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Get => "`Pool::get`, once",
            Self::GetWhileItLasts => "`Pool::get`, while it lasts",
            Self::GetGivenUp => "`Pool::get`, given up",
            Self::ConnectWhileItLasts => "`Config::connect`, while it lasts",
            Self::UsedLately => "used lately",
            Self::PingDue => "idle for `ping_after`",
            Self::Statement => "a statement by `Pool::get`",
            Self::ByHand => "by hand on a borrowed connection",
            Self::Begin => "`Pool::transaction`, at `BEGIN`, once",
            Self::Transaction => "`Pool::transaction`, once",
            Self::TransactionWhileItLasts => "`Pool::transaction`, while it lasts",
            Self::TransactionGivenUp => "`Pool::transaction`, given up",
            Self::Idempotent => "`RetryPolicy::idempotent`, once",
            Self::AfterStatement => "a statement was running",
            Self::AfterRows => "rows were unread",
            Self::AfterBegin => "a transaction was open",
            Self::AfterRollback => "a dropped transaction was rolling back",
        }
    }
}
