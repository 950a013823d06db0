//! Which version of the schema there is, and which one a session knows: one that knows an old one fails once.
//! `request` asks before each statement; `reply` tells of what was defined and committed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::rules::Kind;

/// A cluster's schema, by number.
#[derive(Debug)]
pub(crate) struct Schema {
    version: AtomicU64,
    /// Whether sessions notice that it changed.
    noticed: bool,
}

impl Schema {
    pub(crate) fn new(noticed: bool) -> Self {
        Self {
            version: AtomicU64::new(0),
            noticed,
        }
    }

    /// Makes a new version, and returns it.
    pub(crate) fn change(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }
}

/// What a session knows of the schema.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Nothing before the first statement.
    known: Option<u64>,
    /// The transaction has defined something.
    defined: bool,
}

impl Catalog {
    /// Returns whether a statement of this kind meets an old catalog, which is new afterwards.
    /// What opens and what drops a transaction needs no catalog.
    pub(crate) fn is_stale(&mut self, kind: Kind, schema: &Schema) -> bool {
        if matches!(kind, Kind::Begin | Kind::Rollback) {
            return false;
        }
        let version = schema.version();
        let known = self.known.replace(version).unwrap_or(version);
        known != version && schema.noticed
    }

    /// Takes the tag of a statement that completed.
    pub(crate) fn completed(&mut self, tag: &str, schema: &Schema) {
        match tag.split(' ').next() {
            Some("COMMIT") => self.committed(schema),
            Some("ROLLBACK") => self.defined = false,
            Some("CREATE" | "ALTER" | "DROP" | "GRANT" | "REVOKE" | "COMMENT" | "AWS") => {
                self.defined = true;
            }
            _ => {}
        }
    }

    pub(crate) fn failed(&mut self) {
        self.defined = false;
    }

    /// Takes the engine's word that a flight is over: an implicit transaction was committed.
    pub(crate) fn ready(&mut self, status: u8, schema: &Schema) {
        if status == b'I' {
            self.committed(schema);
        }
    }

    fn committed(&mut self, schema: &Schema) {
        if std::mem::take(&mut self.defined) {
            let version = schema.change();
            // Its own definition is no news to a session; what another one did meanwhile is.
            if self.known == Some(version - 1) {
                self.known = Some(version);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_committed_is_news_and_only_once() {
        let schema = Schema::new(true);
        let (mut one, mut two) = (Catalog::default(), Catalog::default());
        let both = |one: &mut Catalog, two: &mut Catalog| {
            [one, two].map(|catalog| catalog.is_stale(Kind::Other, &schema))
        };
        assert_eq!(both(&mut one, &mut two), [false, false]);
        one.completed("CREATE TABLE", &schema);
        assert_eq!(both(&mut one, &mut two), [false, false]);
        one.ready(b'I', &schema);
        assert!(!two.is_stale(Kind::Begin, &schema));
        assert_eq!(both(&mut one, &mut two), [false, true]);
        assert_eq!(both(&mut one, &mut two), [false, false]);
        for end in ["ROLLBACK", "COMMIT"] {
            one.completed("AWS IAM GRANT", &schema);
            one.ready(b'T', &schema);
            one.completed(end, &schema);
            one.ready(b'I', &schema);
            assert_eq!(both(&mut one, &mut two), [false, end == "COMMIT"]);
        }
        one.completed("DROP TABLE", &schema);
        one.failed();
        one.ready(b'I', &schema);
        assert_eq!(both(&mut one, &mut two), [false, false]);
    }
}
