//! The rows that a transaction wrote and locked, as net changes.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

/// The net changes of a transaction, in the order in which rows were first touched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writes(Vec<Change>);

/// The versions in a snapshot from which later commits made new ones, by table and new id.
///
/// An id is not reused for another row while the snapshot is open: the engine keeps the versions
/// that were written after it.
#[derive(Debug, Default)]
pub(crate) struct Origins(HashMap<(String, String), (String, String)>);

/// The net change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The table's object id.
    pub(crate) table: String,
    /// The id and the `xmin` of the version in the snapshot, if the row existed.
    pub(crate) old: Option<(String, String)>,
    /// The id of the version that the transaction wrote, unless it deleted the row.
    pub(crate) new: Option<String>,
    /// The row that the transaction wrote or locked.
    pub(crate) image: Option<String>,
    /// The unique keys of the written version. `None` for a key that contains a null.
    pub(crate) keys: Vec<Option<String>>,
    pub(crate) lock: Option<Lock>,
}

/// How a row was locked by SELECT.
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
    /// Returns whether only one of two transactions can commit these changes to a row that both
    /// saw. `None` means that it depends on whether an update changed the key.
    pub(crate) fn excludes(&self, other: &Self) -> Option<bool> {
        if self.table != other.table || self.old.is_none() || self.old != other.old {
            return Some(false);
        }
        let (shared, change) = match (self.lock, other.lock) {
            (Some(Lock::KeyShare), Some(Lock::KeyShare)) => return Some(false),
            (Some(Lock::KeyShare), _) => (self, other),
            (_, Some(Lock::KeyShare)) => (other, self),
            _ => return Some(true),
        };
        let is_update = shared.image.is_some() && change.image.is_some() && change.lock.is_none();
        (!is_update).then_some(true)
    }
}

impl Writes {
    /// Reads the rows of `dsql_writes`: one log entry each.
    pub(crate) fn from_rows(rows: Vec<Vec<Option<String>>>) -> Self {
        let mut entries: Vec<_> = rows.into_iter().filter_map(Entry::from_row).collect();
        // Entries for rows that foreign keys refer to have no position, and come last.
        entries.sort_by_key(|entry| entry.at.unwrap_or(u64::MAX));
        let mut changes: Vec<Change> = Vec::new();
        // The index of the change that wrote each version.
        let mut made: HashMap<(String, String), usize> = HashMap::new();
        for entry in entries {
            let known = entry.old_id.map(|id| (entry.relation.clone(), id));
            let known = known.and_then(|known| match entry.change.lock {
                Some(_) => made.get(&known).copied(),
                None => made.remove(&known),
            });
            let index = match known {
                Some(index) if entry.change.lock.is_none() => {
                    changes[index].new = entry.change.new;
                    changes[index].image = entry.change.image;
                    changes[index].keys = entry.change.keys;
                    index
                }
                // The transaction's own version needs no lock.
                Some(_) => continue,
                None => {
                    changes.push(entry.change);
                    changes.len() - 1
                }
            };
            if let Some(new) = changes[index].new.clone() {
                made.insert((entry.relation, new), index);
            }
        }
        // A lock adds nothing to a write of the same row, except FOR UPDATE to an update that
        // leaves the key: such an update alone does not exclude FOR KEY SHARE.
        let written: HashMap<_, _> = changes
            .iter()
            .filter(|change| change.lock.is_none())
            .map(|change| {
                let row = (change.table.clone(), change.old.clone());
                (row, change.new.is_some())
            })
            .collect();
        changes.retain(|change| {
            let write = written.get(&(change.table.clone(), change.old.clone()));
            match (change.lock, write) {
                (Some(Lock::Update), Some(is_update)) => *is_update,
                (Some(Lock::KeyShare), Some(_)) => false,
                (Some(_), None) | (None, _) => true,
            }
        });
        // A row that was inserted and deleted again has no net change.
        changes.retain(|change| change.old.is_some() || change.new.is_some());
        Self(changes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a key may be free now that an older snapshot still contains. Assumes that
    /// updates of tables with one unique key do not change it.
    pub(crate) fn may_free_keys(&self) -> bool {
        let mut written = self.0.iter().filter(|change| change.lock.is_none());
        written
            .any(|change| change.old.is_some() && (change.new.is_none() || change.keys.len() != 1))
    }

    /// Returns the changes with the versions that a snapshot contains in place of later ones.
    /// `origins` holds those of the earlier commits, and gets those of this one.
    pub(crate) fn since_snapshot(&self, origins: &mut Origins) -> Self {
        let changes = self.0.iter().map(|change| {
            let version = |id: &str| (change.table.clone(), id.to_owned());
            let old = change
                .old
                .as_ref()
                .map(|old| origins.0.get(&version(&old.0)).unwrap_or(old).clone());
            if let (Some(old), Some(new)) = (&old, &change.new) {
                origins.0.insert(version(new), old.clone());
            }
            Change {
                old,
                ..change.clone()
            }
        });
        Self(changes.collect())
    }

    /// Returns the pairs of changes to the same row that may conflict.
    pub(crate) fn same_rows(&self, other: &Self) -> Vec<(Change, Change)> {
        let pairs = self
            .0
            .iter()
            .flat_map(|one| other.0.iter().map(move |two| (one, two)));
        pairs
            .filter(|(one, two)| one.excludes(two) != Some(false))
            .map(|(one, two)| (one.clone(), two.clone()))
            .collect()
    }

    /// Returns whether both wrote the same key.
    pub(crate) fn share_keys(&self, other: &Self) -> bool {
        let keys: HashSet<_> = self
            .0
            .iter()
            .flat_map(|change| change.keys.iter().flatten())
            .collect();
        other
            .0
            .iter()
            .flat_map(|change| change.keys.iter().flatten())
            .any(|key| keys.contains(key))
    }

    /// Returns the changes as JSON for the engine.
    pub(crate) fn images(&self) -> String {
        let changes = self.0.iter().map(|change| {
            let (id, xmin) = change.old.as_ref().map(|(id, xmin)| (id, xmin)).unzip();
            let lock = change.lock.map(Lock::mark);
            json!([change.table, id, xmin, change.image, lock])
        });
        Value::Array(changes.collect()).to_string()
    }

    /// Returns the tables as an array literal for the engine.
    pub(crate) fn tables(&self) -> String {
        let tables: Vec<_> = self.0.iter().map(|change| change.table.as_str()).collect();
        format!("{{{}}}", tables.join(","))
    }
}

/// One log entry.
struct Entry {
    at: Option<u64>,
    relation: String,
    old_id: Option<String>,
    change: Change,
}

impl Entry {
    fn from_row(row: Vec<Option<String>>) -> Option<Self> {
        let [
            at,
            relation,
            old_id,
            new,
            table,
            base_id,
            base_xmin,
            image,
            keys,
            lock,
        ] = <[Option<String>; 10]>::try_from(row).ok()?;
        Some(Self {
            at: at.and_then(|at| at.parse().ok()),
            relation: relation.unwrap_or_default(),
            old_id,
            change: Change {
                table: table?,
                old: base_id.zip(base_xmin),
                new,
                image,
                keys: keys
                    .and_then(|keys| serde_json::from_str(&keys).ok())
                    .unwrap_or_default(),
                lock: match lock.as_deref() {
                    Some("@U") => Some(Lock::Update),
                    Some(_) => Some(Lock::KeyShare),
                    None => None,
                },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the net changes of entries like `table|old|new` or `table|old|@U`.
    fn net(log: &str) -> Vec<(Option<String>, Option<String>)> {
        let rows = log.split_terminator(';').zip(1..).map(|(entry, at)| {
            let mut parts = entry.split('|');
            let mut part = || {
                parts
                    .next()
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
            };
            let (table, old, new) = (part(), part(), part());
            let (lock, new) = match new {
                Some(mark) if mark.starts_with('@') => (Some(mark), None),
                new => (None, new),
            };
            let xmin = old.is_some().then(|| "9".to_owned());
            let (base, at) = (old.clone(), Some(format!("{at}")));
            vec![
                at,
                table.clone(),
                old,
                new,
                table,
                base,
                xmin,
                None,
                None,
                lock,
            ]
        });
        let writes = Writes::from_rows(rows.collect());
        let changes = writes.0.into_iter();
        changes
            .map(|change| (change.old.map(|(id, _)| id), change.new))
            .collect()
    }

    #[test]
    fn only_the_first_and_last_version_count() {
        let some = |id: &str| Some(id.to_owned());
        for (log, expected) in [
            ("", vec![]),
            ("1|a|b;1|b|c", vec![(some("a"), some("c"))]),
            ("1|a|b;1|b|", vec![(some("a"), None)]),
            ("1||b;1|b|c", vec![(None, some("c"))]),
            ("1||b;1|b|", vec![]),
            (
                "1|a|b;2|b|c",
                vec![(some("a"), some("b")), (some("b"), some("c"))],
            ),
            (
                "1|a|b;1|b|@U;1|c|@S",
                vec![(some("a"), some("b")), (some("c"), None)],
            ),
            ("1|a|@S;1|a|b", vec![(some("a"), some("b"))]),
            ("1|a|@U;1|a|", vec![(some("a"), None)]),
            (
                "1|a|@U;1|a|b",
                vec![(some("a"), None), (some("a"), some("b"))],
            ),
        ] {
            assert_eq!(net(log), expected, "{log}");
        }
    }

    #[test]
    fn a_lock_of_a_later_version_meets_the_snapshots_version() {
        let lock = |id: &str, lock: Lock| Change {
            table: "1".to_owned(),
            old: Some((id.to_owned(), "9".to_owned())),
            new: None,
            image: Some("(1)".to_owned()),
            keys: Vec::new(),
            lock: Some(lock),
        };
        let update = Change {
            new: Some("b".to_owned()),
            lock: None,
            ..lock("a", Lock::Update)
        };
        let mut origins = Origins::default();
        let _update = Writes(vec![update]).since_snapshot(&mut origins);
        let locked = Writes(vec![lock("b", Lock::Update)]).since_snapshot(&mut origins);
        let snapshot = Writes(vec![lock("a", Lock::KeyShare)]);
        let pairs = locked.same_rows(&snapshot);
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].0.excludes(&pairs[0].1), Some(true));
    }
}
