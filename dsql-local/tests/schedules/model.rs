//! Snapshot isolation where the first transaction to commit wins, on three tables in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The tables: `item (id PRIMARY KEY, n, u UNIQUE)`, `parent (id PRIMARY KEY, n)` and
/// `child (id PRIMARY KEY, pid REFERENCES parent)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) item: BTreeMap<i32, (i32, Option<i32>)>,
    pub(crate) parent: BTreeMap<i32, i32>,
    pub(crate) child: BTreeMap<i32, i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Begin,
    Commit,
    Rollback,
    ReadItems,
    ReadFamily,
    InsertItem(i32, Option<i32>),
    AddToItem(i32),
    AddToAll,
    SetUnique(i32, i32),
    MoveItem(i32, i32),
    DeleteItem(i32),
    LockItem(i32),
    ShareItem(i32),
    InsertParent(i32),
    AddToParent(i32),
    DeleteParent(i32),
    InsertChild(i32, i32),
    MoveChild(i32, i32),
    DeleteChild(i32),
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => write!(f, "BEGIN"),
            Self::Commit => write!(f, "COMMIT"),
            Self::Rollback => write!(f, "ROLLBACK"),
            Self::ReadItems => write!(f, "SELECT id, n, u FROM item ORDER BY id"),
            Self::ReadFamily => write!(
                f,
                "SELECT parent.id, n, child.id \
                 FROM public.parent LEFT JOIN public.child ON pid = parent.id \
                 ORDER BY 1, 3"
            ),
            Self::InsertItem(id, None) => write!(f, "INSERT INTO item VALUES ({id}, 0, NULL)"),
            Self::InsertItem(id, Some(u)) => write!(f, "INSERT INTO item VALUES ({id}, 0, {u})"),
            Self::AddToItem(id) => write!(f, "UPDATE public.item SET n = n + 1 WHERE id = {id}"),
            Self::AddToAll => write!(f, "UPDATE item SET n = n + 1"),
            Self::SetUnique(id, u) => write!(f, "UPDATE item SET u = {u} WHERE id = {id}"),
            Self::MoveItem(id, to) => write!(f, "UPDATE item SET id = {to} WHERE id = {id}"),
            Self::DeleteItem(id) => write!(f, "DELETE FROM item WHERE id = {id}"),
            Self::LockItem(id) => write!(
                f,
                "SELECT id, n, u FROM item WHERE id = {id} FOR UPDATE SKIP LOCKED"
            ),
            Self::ShareItem(id) => {
                write!(f, "SELECT id, n, u FROM item WHERE id = {id} FOR KEY SHARE")
            }
            Self::InsertParent(id) => write!(f, "INSERT INTO parent VALUES ({id}, 0)"),
            Self::AddToParent(id) => write!(f, "UPDATE parent SET n = n + 1 WHERE id = {id}"),
            Self::DeleteParent(id) => write!(f, "DELETE FROM parent WHERE id = {id}"),
            Self::InsertChild(id, pid) => write!(f, "INSERT INTO child VALUES ({id}, {pid})"),
            Self::MoveChild(id, pid) => write!(f, "UPDATE child SET pid = {pid} WHERE id = {id}"),
            Self::DeleteChild(id) => write!(f, "DELETE FROM child WHERE id = {id}"),
        }
    }
}

/// Rows, the number of changed rows, or an SQLSTATE.
pub(crate) type Answer = Result<(Vec<String>, u64), &'static str>;

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) committed: Tables,
    log: Vec<Footprint>,
    transactions: BTreeMap<usize, Transaction>,
}

#[derive(Debug, Clone, Default)]
struct Transaction {
    snapshot: Tables,
    tables: Tables,
    /// The length of the log at BEGIN.
    begun: usize,
    failed: bool,
    /// Rows that the transaction inserted.
    own: BTreeSet<(Table, i32)>,
    footprint: Footprint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Item,
    Parent,
    Child,
}

/// What a transaction locked and wrote, by which conflicts are found.
#[derive(Debug, Clone, Default)]
struct Footprint {
    written: BTreeSet<(Table, i32)>,
    /// Deleted, moved, or locked FOR UPDATE: conflicts with transactions that rely on the key.
    strong: BTreeSet<(Table, i32)>,
    shared: BTreeSet<(Table, i32)>,
    keys: BTreeSet<(Table, bool, i32)>,
}

impl Footprint {
    fn conflicts(&self, other: &Self) -> bool {
        !self.written.is_disjoint(&other.written)
            || !self.keys.is_disjoint(&other.keys)
            || !self.strong.is_disjoint(&other.shared)
            || !self.shared.is_disjoint(&other.strong)
    }
}

impl Model {
    pub(crate) fn run(&mut self, session: usize, op: Op) -> Answer {
        if op == Op::Begin {
            let begun = self.log.len();
            let committed = &self.committed;
            self.transactions
                .entry(session)
                .or_insert_with(|| Transaction {
                    snapshot: committed.clone(),
                    tables: committed.clone(),
                    begun,
                    ..Transaction::default()
                });
            return Ok((vec![], 0));
        }
        if let Some(transaction) = self.transactions.get_mut(&session) {
            if matches!(op, Op::Commit | Op::Rollback) {
                let transaction = self.transactions.remove(&session).unwrap();
                return match op {
                    Op::Commit if !transaction.failed => self.commit(transaction),
                    _ => Ok((vec![], 0)),
                };
            }
            if transaction.failed {
                return Err("25P02");
            }
            let answer = transaction.apply(op);
            transaction.failed = answer.is_err();
            return answer;
        }
        let mut transaction = Transaction {
            snapshot: self.committed.clone(),
            tables: self.committed.clone(),
            begun: self.log.len(),
            ..Transaction::default()
        };
        let answer = transaction.apply(op)?;
        self.commit(transaction)?;
        Ok(answer)
    }

    pub(crate) fn is_open(&self, session: usize) -> bool {
        self.transactions.contains_key(&session)
    }

    fn commit(&mut self, transaction: Transaction) -> Answer {
        let footprint = transaction.footprint();
        if self.log[transaction.begun..]
            .iter()
            .any(|other| footprint.conflicts(other))
        {
            return Err("40001");
        }
        // Applies the changed rows, none of which another transaction changed.
        merge(
            &mut self.committed.item,
            &transaction.snapshot.item,
            &transaction.tables.item,
        );
        merge(
            &mut self.committed.parent,
            &transaction.snapshot.parent,
            &transaction.tables.parent,
        );
        merge(
            &mut self.committed.child,
            &transaction.snapshot.child,
            &transaction.tables.child,
        );
        self.log.push(footprint);
        Ok((vec![], 0))
    }
}

fn merge<T: Clone + PartialEq>(
    into: &mut BTreeMap<i32, T>,
    before: &BTreeMap<i32, T>,
    after: &BTreeMap<i32, T>,
) {
    for id in before.keys().chain(after.keys()) {
        match after.get(id) {
            Some(row) if before.get(id) != Some(row) => {
                into.insert(*id, row.clone());
            }
            None => {
                into.remove(id);
            }
            _ => {}
        }
    }
}

impl Transaction {
    fn write(&mut self, table: Table, id: i32, strong: bool) {
        if !self.own.contains(&(table, id)) {
            self.footprint.written.insert((table, id));
            if strong {
                self.footprint.strong.insert((table, id));
            }
        }
    }

    fn footprint(&self) -> Footprint {
        let mut footprint = self.footprint.clone();
        for (id, (_, u)) in &self.tables.item {
            let before = self.snapshot.item.get(id);
            let own = self.own.contains(&(Table::Item, *id));
            if own {
                footprint.keys.insert((Table::Item, false, *id));
            }
            if let Some(u) = u
                && (own || before.is_some_and(|before| before.1 != Some(*u)))
            {
                footprint.keys.insert((Table::Item, true, *u));
            }
        }
        let families = [
            (Table::Parent, &self.tables.parent),
            (Table::Child, &self.tables.child),
        ];
        for (table, rows) in families {
            let own = rows.keys().filter(|id| self.own.contains(&(table, **id)));
            footprint.keys.extend(own.map(|id| (table, false, *id)));
        }
        for (id, pid) in &self.tables.child {
            let written = self.own.contains(&(Table::Child, *id))
                || self.footprint.written.contains(&(Table::Child, *id));
            if written && !self.own.contains(&(Table::Parent, *pid)) {
                footprint.shared.insert((Table::Parent, *pid));
            }
        }
        footprint
    }

    fn apply(&mut self, op: Op) -> Answer {
        let changed = |count: usize| Ok((vec![], count as u64));
        match op {
            Op::Begin | Op::Commit | Op::Rollback => changed(0),
            Op::ReadItems => Ok((self.items(|_| true), 0)),
            Op::ReadFamily => {
                let mut rows = Vec::new();
                for (id, n) in &self.tables.parent {
                    let children = self.tables.child.iter().filter(|(_, pid)| *pid == id);
                    let mut children: Vec<_> = children.map(|(id, _)| id.to_string()).collect();
                    if children.is_empty() {
                        children.push("null".to_owned());
                    }
                    rows.extend(children.iter().map(|child| format!("{id} {n} {child}")));
                }
                Ok((rows, 0))
            }
            Op::InsertItem(id, u) => {
                let taken = self
                    .tables
                    .item
                    .values()
                    .any(|(_, other)| u.is_some() && *other == u);
                if self.tables.item.contains_key(&id) || taken {
                    return Err("23505");
                }
                self.tables.item.insert(id, (0, u));
                self.own.insert((Table::Item, id));
                changed(1)
            }
            Op::AddToItem(id) => {
                let Some(row) = self.tables.item.get_mut(&id) else {
                    return changed(0);
                };
                row.0 += 1;
                self.write(Table::Item, id, false);
                changed(1)
            }
            Op::AddToAll => {
                let ids: Vec<_> = self.tables.item.keys().copied().collect();
                for id in &ids {
                    self.apply(Op::AddToItem(*id))?;
                }
                changed(ids.len())
            }
            Op::SetUnique(id, u) => {
                let mut others = self.tables.item.iter().filter(|(other, _)| **other != id);
                let taken = others.any(|(_, (_, other))| *other == Some(u));
                let Some(row) = self.tables.item.get_mut(&id) else {
                    return changed(0);
                };
                if taken {
                    return Err("23505");
                }
                row.1 = Some(u);
                self.write(Table::Item, id, false);
                changed(1)
            }
            Op::MoveItem(id, to) => {
                let Some(row) = self.tables.item.get(&id).copied() else {
                    return changed(0);
                };
                if id == to {
                    self.write(Table::Item, id, false);
                    return changed(1);
                }
                if self.tables.item.contains_key(&to) {
                    return Err("23505");
                }
                self.write(Table::Item, id, true);
                self.tables.item.remove(&id);
                self.own.remove(&(Table::Item, id));
                self.tables.item.insert(to, row);
                self.own.insert((Table::Item, to));
                changed(1)
            }
            Op::DeleteItem(id) => {
                if self.tables.item.remove(&id).is_none() {
                    return changed(0);
                }
                self.write(Table::Item, id, true);
                self.own.remove(&(Table::Item, id));
                changed(1)
            }
            Op::LockItem(id) | Op::ShareItem(id) => {
                let rows = self.items(|other| other == id);
                let row = (Table::Item, id);
                // A lock adds nothing to a row that the transaction wrote.
                let is_written = self.own.contains(&row) || self.footprint.written.contains(&row);
                if !rows.is_empty() && !is_written {
                    if matches!(op, Op::LockItem(_)) {
                        self.write(Table::Item, id, true);
                    } else {
                        self.footprint.shared.insert((Table::Item, id));
                    }
                }
                Ok((rows, 0))
            }
            Op::InsertParent(id) => {
                if self.tables.parent.contains_key(&id) {
                    return Err("23505");
                }
                self.tables.parent.insert(id, 0);
                self.own.insert((Table::Parent, id));
                changed(1)
            }
            Op::AddToParent(id) => {
                let Some(n) = self.tables.parent.get_mut(&id) else {
                    return changed(0);
                };
                *n += 1;
                self.write(Table::Parent, id, false);
                changed(1)
            }
            Op::DeleteParent(id) => {
                if !self.tables.parent.contains_key(&id) {
                    return changed(0);
                }
                if self.tables.child.values().any(|pid| *pid == id) {
                    return Err("23503");
                }
                self.tables.parent.remove(&id);
                self.write(Table::Parent, id, true);
                self.own.remove(&(Table::Parent, id));
                changed(1)
            }
            Op::InsertChild(id, pid) => {
                if self.tables.child.contains_key(&id) {
                    return Err("23505");
                }
                if !self.tables.parent.contains_key(&pid) {
                    return Err("23503");
                }
                self.tables.child.insert(id, pid);
                self.own.insert((Table::Child, id));
                changed(1)
            }
            Op::MoveChild(id, pid) => {
                if !self.tables.child.contains_key(&id) {
                    return changed(0);
                }
                if !self.tables.parent.contains_key(&pid) {
                    return Err("23503");
                }
                self.tables.child.insert(id, pid);
                self.write(Table::Child, id, false);
                changed(1)
            }
            Op::DeleteChild(id) => {
                if self.tables.child.remove(&id).is_none() {
                    return changed(0);
                }
                self.write(Table::Child, id, true);
                self.own.remove(&(Table::Child, id));
                changed(1)
            }
        }
    }

    fn items(&self, wanted: impl Fn(i32) -> bool) -> Vec<String> {
        let rows = self.tables.item.iter().filter(|(id, _)| wanted(**id));
        rows.map(|(id, (n, u))| {
            let u = u.map_or_else(|| "null".to_owned(), |u| u.to_string());
            format!("{id} {n} {u}")
        })
        .collect()
    }
}
