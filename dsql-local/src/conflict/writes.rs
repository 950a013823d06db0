//! What a transaction wrote and locked, as net changes of rows.

use std::collections::HashMap;

use serde_json::{Value, json};

/// The net changes of a transaction, in the order in which rows were first touched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writes(Vec<Change>);

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The table's object id.
    pub(crate) table: String,
    /// The id and the `xmin` of the version that the transaction saw, if there was one.
    pub(crate) old: Option<(String, String)>,
    /// The id of the version that it made, if there is one.
    pub(crate) new: Option<String>,
    /// The row that it made or locked.
    pub(crate) image: Option<String>,
    pub(crate) lock: Option<Lock>,
}

/// How a row was locked that was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Update,
    KeyShare,
}

impl Lock {
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Update => "@U",
            Self::KeyShare => "@S",
        }
    }
}

impl Change {
    pub(crate) fn is_of_the_row(&self, other: &Self) -> bool {
        self.table == other.table && self.old.is_some() && self.old == other.old
    }

    pub(crate) fn is_lock(&self) -> bool {
        self.lock.is_some()
    }
}

impl Writes {
    /// Reads the log that the engine's triggers write: `table|old id|old xmin|new id;`.
    pub(crate) fn from_log(log: &str) -> Self {
        let mut changes: Vec<Change> = Vec::new();
        // Where the versions are that the transaction made itself.
        let mut made: HashMap<(&str, &str), usize> = HashMap::new();
        for entry in log.split_terminator(';') {
            let mut parts = entry.split('|');
            let mut part = || parts.next().unwrap_or_default();
            let (table, old, xmin, new) = (part(), part(), part(), part());
            let lock = match new {
                "@U" => Some(Lock::Update),
                "@S" => Some(Lock::KeyShare),
                _ => None,
            };
            let known = made.get(&(table, old)).copied();
            if lock.is_some() {
                // Its own version is locked anyway.
                if known.is_none() {
                    changes.push(Change {
                        table: table.to_owned(),
                        old: Some((old.to_owned(), xmin.to_owned())),
                        new: None,
                        image: None,
                        lock,
                    });
                }
                continue;
            }
            let index = match known {
                Some(index) => {
                    made.remove(&(table, old));
                    index
                }
                None => {
                    changes.push(Change {
                        table: table.to_owned(),
                        old: (!old.is_empty()).then(|| (old.to_owned(), xmin.to_owned())),
                        new: None,
                        image: None,
                        lock: None,
                    });
                    changes.len() - 1
                }
            };
            changes[index].new = (!new.is_empty()).then(|| new.to_owned());
            if !new.is_empty() {
                made.insert((table, new), index);
            }
        }
        // A row that was made and deleted again leaves nothing.
        changes.retain(|change| change.old.is_some() || change.new.is_some());
        Self(changes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn changes(&self) -> &[Change] {
        &self.0
    }

    /// Returns what `dsql_local.images` is asked.
    pub(crate) fn ids(&self) -> String {
        self.json(|change| json!(change.new))
    }

    /// Returns what the engine is to write.
    pub(crate) fn images(&self) -> String {
        self.json(|change| json!(change.image))
    }

    fn json(&self, third: impl Fn(&Change) -> Value) -> String {
        let changes = self.0.iter().map(|change| {
            let (id, xmin) = change.old.as_ref().map(|(id, xmin)| (id, xmin)).unzip();
            let lock = change.lock.map(Lock::mark);
            json!([change.table, id, xmin, third(change), lock])
        });
        Value::Array(changes.collect()).to_string()
    }

    /// Takes the engine's answer: the row of each change in the cluster's tables, and what it holds now.
    pub(crate) fn complete(&mut self, rows: Vec<Vec<Option<String>>>) {
        for (change, row) in self.0.iter_mut().zip(rows) {
            let mut row = row.into_iter();
            let mut cell = || row.next().flatten();
            change.table = cell().unwrap_or_default();
            change.old = cell().zip(cell());
            change.image = cell();
        }
    }

    /// Returns the tables, as an array for the engine.
    pub(crate) fn tables(&self) -> String {
        let tables: Vec<_> = self.0.iter().map(|change| change.table.as_str()).collect();
        format!("{{{}}}", tables.join(","))
    }

    pub(crate) fn into_locks(self) -> Vec<Change> {
        self.0.into_iter().filter(Change::is_lock).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(log: &str) -> Vec<(Option<String>, Option<String>)> {
        let writes = Writes::from_log(log);
        let changes = writes.0.into_iter();
        changes
            .map(|change| (change.old.map(|(id, _)| id), change.new))
            .collect()
    }

    #[test]
    fn versions_between_the_first_and_the_last_are_left_out() {
        let some = |id: &str| Some(id.to_owned());
        for (log, expected) in [
            ("", vec![]),
            ("1|a|9|b;1|b|9|c;", vec![(some("a"), some("c"))]),
            ("1|a|9|b;1|b|9|;", vec![(some("a"), None)]),
            ("1|||b;1|b|9|c;", vec![(None, some("c"))]),
            ("1|||b;1|b|9|;", vec![]),
            (
                "1|a|9|b;2|b|9|c;",
                vec![(some("a"), some("b")), (some("b"), some("c"))],
            ),
            (
                "1|a|9|b;1|b|9|@U;1|c|9|@S;",
                vec![(some("a"), some("b")), (some("c"), None)],
            ),
        ] {
            assert_eq!(net(log), expected, "{log}");
        }
    }
}
