//! The ways to make a transfer: correct uses of a transaction, and misuses.

use rand::RngExt;
use rand::rngs::StdRng;

/// A way to make a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// One statement after the other.
    Plain,
    /// As many concurrent statements as possible, and more attempts at conflicts.
    AtOnce,
    /// With a unique key and an idempotent policy.
    Idempotent,
    /// With a unique key that makes a second attempt fail, and an idempotent policy.
    Stumbling,
    /// With a unique key, by a caller who repeats the call until the outcome is known.
    Keyed,
    /// A single statement without a transaction that adds a ledger row. It is lost if the
    /// connection still has another user's open transaction.
    Single,
    /// The body writes, then returns an error of its own.
    Refusing,
    /// The body ignores the error of a statement.
    Swallowing,
    /// The caller cancels the call after a while.
    Impatient,
    /// The policy has a short deadline.
    Hurried,
    /// By hand on a connection that is returned with its transaction open.
    Abandoning,
    /// A single statement, right after a connection was returned with `BEGIN` in the driver's
    /// queue.
    Beginning,
    /// The body leaks its handle, which then tries to commit.
    Escaping,
    /// The body itself commits, so it must not be retried.
    Committing,
    /// The body itself rolls back.
    RollingBack,
}

impl Usage {
    /// Draws one; correct uses are more frequent.
    pub(crate) fn draw(rng: &mut StdRng) -> Self {
        let mut drawn = rng.random_range(0..WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (usage, weight) in WEIGHTS {
            if drawn < weight {
                return usage;
            }
            drawn -= weight;
        }
        Self::Plain
    }

    pub(crate) fn moves_money(self) -> bool {
        !matches!(self, Self::Single | Self::Beginning)
    }

    /// Whether an outcome table can settle it. It cannot without a transaction of the policy, with
    /// a body that commits, and with a caller who does not wait.
    pub(crate) fn can_be_recorded(self) -> bool {
        !matches!(
            self,
            Self::Keyed
                | Self::Single
                | Self::Impatient
                | Self::Abandoning
                | Self::Beginning
                | Self::Committing
        )
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::AtOnce => "at once",
            Self::Idempotent => "idempotent",
            Self::Stumbling => "stumbling",
            Self::Keyed => "keyed",
            Self::Single => "single",
            Self::Refusing => "refusing",
            Self::Swallowing => "swallowing",
            Self::Impatient => "impatient",
            Self::Hurried => "hurried",
            Self::Abandoning => "abandoning",
            Self::Beginning => "beginning",
            Self::Escaping => "escaping",
            Self::Committing => "committing",
            Self::RollingBack => "rolling back",
        }
    }
}

/// The relative frequency of each.
const WEIGHTS: [(Usage, u32); 15] = [
    (Usage::Plain, 30),
    (Usage::Stumbling, 4),
    (Usage::AtOnce, 15),
    (Usage::Idempotent, 10),
    (Usage::Keyed, 4),
    (Usage::Single, 8),
    (Usage::Refusing, 5),
    (Usage::Swallowing, 5),
    (Usage::Impatient, 6),
    (Usage::Hurried, 2),
    (Usage::Abandoning, 2),
    (Usage::Beginning, 3),
    (Usage::Escaping, 2),
    (Usage::Committing, 2),
    (Usage::RollingBack, 2),
];
