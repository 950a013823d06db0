//! Compares the workers' results with the ledger and the accounts.

use std::collections::{BTreeMap, HashMap};

use crate::bank::{Books, Opening, Transfer};
use crate::journal::{Entry, Outcome};

/// The result, with the numbers of transfers and accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Reported as committed, and in the ledger once.
    pub committed: u64,
    /// Reported as not committed, and not in the ledger.
    pub not_committed: u64,
    /// Reported as unknown, and in the ledger once.
    pub unknown_applied: u64,
    /// Reported as unknown, and not in the ledger.
    pub unknown_absent: u64,
    /// Reported as committed, and not in the ledger.
    pub lost: Vec<i64>,
    /// In the ledger more than once, whatever was reported.
    pub doubled: Vec<i64>,
    /// Reported as not committed, and in the ledger.
    pub phantom: Vec<i64>,
    /// In the ledger, but no worker's transfer, or with other accounts or another amount.
    pub foreign: Vec<i64>,
    /// Accounts whose balance differs from the ledger's, or that are missing.
    pub off_balance: Vec<i64>,
    /// The change of the sum of all accounts.
    pub total_change: i64,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_sound(&self) -> bool {
        let broken = [
            &self.lost,
            &self.doubled,
            &self.phantom,
            &self.foreign,
            &self.off_balance,
        ];
        broken.iter().all(|numbers| numbers.is_empty()) && self.total_change == 0
    }
}

/// Compares the final state with the journals of all workers, which have one entry for each
/// transfer.
pub fn reconcile(journal: &[Entry], books: &Books, opening: Opening) -> Verdict {
    let mut verdict = Verdict::default();

    let mut rows: HashMap<i64, Vec<&Transfer>> = HashMap::new();
    for row in &books.ledger {
        rows.entry(row.id).or_default().push(row);
    }
    for Entry {
        transfer, answer, ..
    } in journal
    {
        let applied = rows.remove(&transfer.id).unwrap_or_default();
        if applied.iter().any(|row| *row != transfer) {
            verdict.foreign.push(transfer.id);
        }
        if applied.len() > 1 {
            verdict.doubled.push(transfer.id);
        }
        match (answer.outcome, applied.len()) {
            (Outcome::Committed, 0) => verdict.lost.push(transfer.id),
            (Outcome::NotCommitted, 0) => verdict.not_committed += 1,
            (Outcome::Unknown, 0) => verdict.unknown_absent += 1,
            (Outcome::Committed, 1) => verdict.committed += 1,
            (Outcome::NotCommitted, _) => verdict.phantom.push(transfer.id),
            (Outcome::Unknown, 1) => verdict.unknown_applied += 1,
            (Outcome::Committed | Outcome::Unknown, _) => {}
        }
    }
    verdict.foreign.extend(rows.into_keys());
    verdict.foreign.sort_unstable();

    let mut expected: BTreeMap<i64, i64> = (1..=opening.accounts)
        .map(|account| (account, opening.balance))
        .collect();
    for row in &books.ledger {
        *expected.entry(row.from).or_default() -= row.amount;
        *expected.entry(row.to).or_default() += row.amount;
    }
    for (account, balance) in &books.balances {
        if expected.remove(account) != Some(*balance) {
            verdict.off_balance.push(*account);
        }
    }
    verdict.off_balance.extend(expected.into_keys());
    let total: i64 = books.balances.iter().map(|(_, balance)| balance).sum();
    verdict.total_change = total - opening.accounts * opening.balance;
    verdict
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::journal::CallResult;

    const OPENING: Opening = Opening {
        accounts: 5,
        balance: 100,
    };

    /// A journal, and the final state of a bank in which each transfer was applied as often as
    /// stated.
    fn bank(applied: &[(Outcome, usize)]) -> (Vec<Entry>, Books) {
        let mut journal = Vec::new();
        let mut ledger = Vec::new();
        for (index, (outcome, times)) in applied.iter().enumerate() {
            let id = i64::try_from(index).unwrap();
            let transfer = Transfer {
                id,
                from: id % 5 + 1,
                to: (id + 1) % 5 + 1,
                amount: id + 1,
            };
            journal.push(Entry {
                transfer,
                usage: "test",
                answer: CallResult::new(*outcome, "test"),
            });
            ledger.extend(std::iter::repeat_n(transfer, *times));
        }
        let balances = balances(&ledger);
        (journal, Books { ledger, balances })
    }

    fn balances(ledger: &[Transfer]) -> Vec<(i64, i64)> {
        let balance = |account| {
            let change = |row: &Transfer| {
                row.amount * (i64::from(row.to == account) - i64::from(row.from == account))
            };
            OPENING.balance + ledger.iter().map(change).sum::<i64>()
        };
        (1..=OPENING.accounts)
            .map(|account| (account, balance(account)))
            .collect()
    }

    #[test]
    fn every_promise_has_its_own_breach() {
        let (journal, books) = bank(&[
            (Outcome::Committed, 0),
            (Outcome::Committed, 1),
            (Outcome::Committed, 2),
            (Outcome::NotCommitted, 0),
            (Outcome::NotCommitted, 1),
            (Outcome::NotCommitted, 2),
            (Outcome::Unknown, 0),
            (Outcome::Unknown, 1),
            (Outcome::Unknown, 2),
        ]);
        let verdict = reconcile(&journal, &books, OPENING);
        let expected = Verdict {
            committed: 1,
            not_committed: 1,
            unknown_applied: 1,
            unknown_absent: 1,
            lost: vec![0],
            doubled: vec![2, 5, 8],
            phantom: vec![4, 5],
            ..Verdict::default()
        };
        assert_eq!(verdict, expected);
        assert!(!verdict.is_sound());
    }

    #[test]
    fn a_row_that_no_worker_wrote_is_foreign() {
        let (journal, mut books) = bank(&[(Outcome::Committed, 1), (Outcome::Committed, 1)]);
        books.ledger[0].id = 77;
        books.ledger[1].amount += 1;
        books.balances = balances(&books.ledger);
        let verdict = reconcile(&journal, &books, OPENING);
        assert_eq!((verdict.lost, verdict.foreign), (vec![0], vec![1, 77]));
        assert!(verdict.off_balance.is_empty());
    }

    #[test]
    fn money_that_moved_without_a_row_shows_on_its_accounts() {
        let (journal, mut books) = bank(&[(Outcome::Committed, 1)]);
        books.balances[2].1 -= 7;
        let verdict = reconcile(&journal, &books, OPENING);
        assert_eq!((verdict.off_balance, verdict.total_change), (vec![3], -7));
        books.balances.pop();
        let verdict = reconcile(&journal, &books, OPENING);
        assert_eq!(verdict.off_balance, [3, 5]);
    }

    fn kept_promise() -> impl Strategy<Value = (Outcome, usize)> {
        prop_oneof![
            Just((Outcome::Committed, 1)),
            Just((Outcome::NotCommitted, 0)),
            (0..=1_usize).prop_map(|times| (Outcome::Unknown, times)),
        ]
    }

    proptest! {
        #[test]
        fn kept_promises_are_sound(applied in vec(kept_promise(), 0..50)) {
            let (journal, books) = bank(&applied);
            let verdict = reconcile(&journal, &books, OPENING);
            prop_assert!(verdict.is_sound(), "{verdict:?}");
            let unknown = verdict.unknown_applied + verdict.unknown_absent;
            let counted = verdict.committed + verdict.not_committed + unknown;
            prop_assert_eq!(counted, applied.len() as u64);
        }

        #[test]
        fn one_row_too_many_or_too_few_is_found(
            applied in vec(kept_promise(), 1..50),
            which: Index,
            adds: bool,
        ) {
            let (outcome, times) = applied[which.index(applied.len())];
            let number = vec![i64::try_from(which.index(applied.len())).unwrap()];
            prop_assume!(adds || times > 0);
            let mut broken = applied.clone();
            broken[which.index(applied.len())].1 = if adds { times + 1 } else { times - 1 };
            let (journal, books) = bank(&broken);
            let Verdict { lost, doubled, phantom, .. } = reconcile(&journal, &books, OPENING);
            let none = Vec::new;
            let expected = match (outcome, times, adds) {
                (Outcome::Committed, _, false) => (number, none(), none()),
                (Outcome::NotCommitted, _, _) => (none(), none(), number),
                (_, 1, true) => (none(), number, none()),
                // Unknown allows both.
                _ => (none(), none(), none()),
            };
            prop_assert_eq!((lost, doubled, phantom), expected);
        }

        #[test]
        fn balances_that_do_not_add_up_are_found(
            applied in vec(kept_promise(), 0..50),
            account in 0..5_usize,
            by in 1..100_i64,
        ) {
            let (journal, mut books) = bank(&applied);
            books.balances[account].1 += by;
            let verdict = reconcile(&journal, &books, OPENING);
            prop_assert_eq!(verdict.off_balance, [i64::try_from(account).unwrap() + 1]);
            prop_assert_eq!(verdict.total_change, by);
        }
    }
}
