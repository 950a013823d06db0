//! Decides whether a statement may run now. That depends on the transaction, the session's catalog,
//! and pending faults.

use super::Requests;
use crate::faults::{Effect, Stage};
use crate::protocol::ending::Ending;
use crate::protocol::pending::Reply;
use crate::refusal::Refusal;
use crate::server::effect;
use crate::sql::names::Names;
use crate::sql::rules::Kind;

impl Requests<'_> {
    /// Checks whether a statement may join the transaction, and applies faults to a commit.
    pub(super) fn admit(&mut self, kind: Kind, names: &Names) -> Result<Reply, Ending> {
        let commits = kind == Kind::Commit && self.transaction.commits();
        let limit = self.cluster.transaction_age;
        let admitted = match self.is_stale(kind, names) {
            true => Err(Refusal::SchemaChanged),
            false => self
                .transaction
                .admit(kind, self.cluster.uptime.now(), limit),
        };
        match admitted {
            Err(refusal) if commits => Ok(Reply::Instead(refusal)),
            Err(refusal) => Ok(Reply::Refuse(refusal)),
            Ok(()) if commits => self.commit(),
            Ok(()) => Ok(Reply::AsIs),
        }
    }

    /// Returns whether another session changed the schema since this session last read it.
    pub(super) fn is_stale(&self, kind: Kind, names: &Names) -> bool {
        // Statements of a failed transaction do not read the catalog.
        let reads_catalog = !self.transaction.has_failed() || kind == Kind::Rollback;
        let now = self.cluster.uptime.now();
        let schema = &self.cluster.schema;
        reads_catalog && self.catalog.lock().is_stale(kind, names, schema, now)
    }

    /// Takes a statement fault at the first frame of a flight that is part of a statement.
    pub(super) fn statement_fault(&mut self) -> Result<Option<Refusal>, Ending> {
        match std::mem::replace(&mut self.flight.has_statement, true) {
            true => Ok(None),
            false => self.fault(Stage::Statement),
        }
    }

    /// Returns the reply to a COMMIT that would commit something.
    fn commit(&mut self) -> Result<Reply, Ending> {
        if let Some(refusal) = self.fault(Stage::Commit)? {
            return Ok(Reply::Instead(refusal));
        }
        if self.cluster.faults.conflicts_commit() {
            return Ok(Reply::Instead(Refusal::Conflict));
        }
        self.late = self.cluster.faults.commit_is_late();
        let effect = self.cluster.faults.at(Stage::Committed);
        Ok(effect.map_or(Reply::AsIs, Reply::Committed))
    }

    /// Applies the pending fault of a stage. Returns an error that only fails the statement.
    fn fault(&self, stage: Stage) -> Result<Option<Refusal>, Ending> {
        match self.cluster.faults.at(stage) {
            Some(Effect::Refuse(refusal)) if !refusal.is_fatal() => Ok(Some(refusal)),
            Some(effect) => effect::apply(effect, self.pace).map(|()| None),
            None => Ok(None),
        }
    }
}
