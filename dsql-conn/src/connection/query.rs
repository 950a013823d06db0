//! What the statement methods take.

use tokio_postgres::Statement;

pub(super) use self::sealed::Kind;

/// What a statement method of [`Connection`](crate::Connection) takes: the text of a query, or a
/// prepared statement.
pub trait Query: sealed::Sealed + Sync {}

impl Query for str {}
impl Query for String {}
impl Query for Statement {}

#[expect(
    unnameable_types,
    reason = "the trait is closed: it covers what the driver can run"
)]
mod sealed {
    use tokio_postgres::Statement;

    pub trait Sealed {
        fn kind(&self) -> Kind<'_>;
    }

    #[derive(Debug)]
    pub enum Kind<'a> {
        Text(&'a str),
        Prepared(&'a Statement),
    }

    impl Sealed for str {
        fn kind(&self) -> Kind<'_> {
            Kind::Text(self)
        }
    }

    impl Sealed for String {
        fn kind(&self) -> Kind<'_> {
            Kind::Text(self)
        }
    }

    impl Sealed for Statement {
        fn kind(&self) -> Kind<'_> {
            Kind::Prepared(self)
        }
    }
}
