//! The session's explicit transaction: where it runs, and when it begins and ends.

use bytes::BytesMut;

use super::Guard;
use crate::conflict::flight::{self, Segment};
use crate::conflict::rename::Copied;
use crate::conflict::writes::Writes;
use crate::protocol::ending::Ending;

/// An explicit transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) place: Place,
    /// The transaction has its savepoint [`PIN`].
    pub(super) is_pinned: bool,
    /// The transaction locked rows by SELECT while it was the only session.
    pub(super) has_unnoted_locks: bool,
}

/// Where a transaction's writes are.
#[derive(Debug)]
pub(super) enum Place {
    /// In the engine's tables.
    Tables,
    /// In memory, since the transaction was moved aside.
    Aside(Writes),
    /// In copies of the tables.
    Copies(Copied),
}

impl Guard<'_> {
    pub(super) async fn begin(&mut self, segment: &Segment) -> Result<bool, Ending> {
        let mut out = BytesMut::new();
        segment.put(&mut out);
        flight::put_query(&mut out, PIN);
        // Call this before the snapshot is taken: commits after this point count as later.
        self.member.begin();
        let answer = self.round_trip(&out).await?;
        let pinned = self.engine.answer().await?;
        if answer.status == b'T' {
            self.transaction_began(pinned.error.is_none());
        } else {
            self.member.end();
        }
        Ok(self.accept(answer, 0, segment))
    }

    fn transaction_began(&mut self, is_pinned: bool) {
        self.member.begin();
        self.transaction = Some(Transaction {
            place: Place::Tables,
            is_pinned,
            has_unnoted_locks: false,
        });
    }

    pub(super) fn transaction_ended(&mut self) {
        self.transaction = None;
        self.member.end();
    }

    /// Waits until no reply is pending for what was sent.
    pub(super) async fn quiesce(&mut self) {
        loop {
            let replied = self.replied.notified();
            {
                let exchange = self.exchange.lock();
                if exchange.pending.ready_count() <= self.unsent {
                    if std::mem::take(&mut self.is_uncertain) {
                        self.status = exchange.status;
                    }
                    break;
                }
            }
            replied.await;
        }
        self.follow_status();
    }

    /// Adopts a transaction that began or ended by a text that the guard did not recognize.
    pub(super) fn follow_status(&mut self) {
        match (&self.transaction, self.status) {
            (Some(_), b'I') => self.transaction_ended(),
            (None, b'T' | b'E') => self.transaction_began(false),
            _ => {}
        }
    }
}

/// Takes the snapshot, and sets the savepoint that keeps it through rollbacks of statements.
const PIN: &str = "SELECT;SAVEPOINT dsql_local_begin";
pub(super) const UNPIN: &str = "ROLLBACK TO SAVEPOINT dsql_local_begin";
