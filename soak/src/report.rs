//! The report of a run.

use std::fmt;
use std::time::Duration;

use dsql_conn::Stats;

use crate::hazard::Hazard;
use crate::isolation::Findings;
use crate::reconcile::Verdict;
use crate::retries::Cause;
use crate::tally::Tally;

/// The report of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The settings of the run.
    pub seed: u64,
    /// How long the workers ran.
    pub worked: Duration,
    /// The result of the comparison.
    pub verdict: Verdict,
    /// The results of all calls.
    pub tally: Tally,
    /// How many attempts of transactions on lists were checked for anomalies, and what was found.
    pub checked: (usize, Findings),
    /// The results whose promise was broken.
    pub broken: Vec<String>,
    /// The number of attempts.
    pub runs: u64,
    /// The number of retries, by cause.
    pub retries: Vec<(Cause, u64)>,
    /// How often each hazard was observed.
    pub seen: Vec<(Hazard, u64)>,
    /// How many connections could be checked out at the same time at the end.
    pub lendable: u32,
    /// How many sockets stayed open after the pool was closed.
    pub left_open: u64,
    /// The pool's own statistics.
    pub pool: Stats,
}

impl Report {
    /// Whether every promise was kept, all slots are free and nothing was left over.
    pub fn is_sound(&self) -> bool {
        let Self { tally, checked, .. } = self;
        self.verdict.is_sound()
            && tally.recorded.unknown == 0
            && checked.1.kinds.is_empty()
            && self.lendable == self.pool.max_size
            && self.left_open == 0
    }

    /// The hazards that were not observed.
    pub fn unseen(&self) -> Vec<Hazard> {
        let unseen = self.seen.iter().filter(|(_, times)| *times == 0);
        unseen.map(|(hazard, _)| *hazard).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: u64 = self.tally.total();
        let seconds = self.worked.as_secs_f64();
        let rate = operations as f64 / seconds.max(f64::MIN_POSITIVE);
        writeln!(
            f,
            "operations: {operations} in {seconds:.1} s, {rate:.0} a second"
        )?;
        let mut answers: Vec<_> = self.tally.answers.iter().collect();
        answers.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        for (kind, times) in answers {
            writeln!(f, "{times:>9}  {kind}")?;
        }

        let retries: u64 = self.retries.iter().map(|(_, times)| times).sum();
        writeln!(f, "retries: {retries} of {} attempts", self.runs)?;
        for (cause, times) in &self.retries {
            writeln!(f, "{times:>9}  {cause}")?;
        }

        writeln!(f, "faults seen")?;
        for (hazard, times) in &self.seen {
            writeln!(f, "{times:>9}  {hazard}")?;
        }

        writeln!(f, "{:?}", self.pool)?;
        writeln!(
            f,
            "connections checked out at the same time at the end: {} of {}; sockets left open: {}",
            self.lendable, self.pool.max_size, self.left_open
        )?;

        let Verdict {
            committed,
            not_committed,
            unknown_applied,
            unknown_absent,
            lost,
            doubled,
            phantom,
            foreign,
            off_balance,
            total_change,
        } = &self.verdict;
        writeln!(f, "committed, in the ledger once: {committed}")?;
        writeln!(f, "not committed, and absent: {not_committed}")?;
        writeln!(
            f,
            "unknown: {}, of which {unknown_applied} applied and {unknown_absent} absent",
            unknown_applied + unknown_absent
        )?;
        writeln!(f, "unknown with a table: {}", self.tally.recorded)?;
        writeln!(f, "unknown without a table: {}", self.tally.plain)?;
        let (
            attempts,
            Findings {
                kinds,
                explanations,
            },
        ) = &self.checked;
        writeln!(f, "anomalies: {} in {attempts} attempts", kinds.len())?;
        for explanation in explanations {
            writeln!(f, "{explanation}")?;
        }
        writeln!(f, "lost: {}", lost.len())?;
        writeln!(f, "doubled: {}", doubled.len())?;
        writeln!(f, "applied in spite of an error: {}", phantom.len())?;
        writeln!(f, "in the ledger, and no worker's: {}", foreign.len())?;
        writeln!(f, "accounts with a wrong balance: {}", off_balance.len())?;
        writeln!(f, "total changed by: {total_change}")?;
        for broken in &self.broken {
            writeln!(f, "broken: {broken}")?;
        }
        let unseen: Vec<_> = self.unseen().iter().map(Hazard::to_string).collect();
        if !unseen.is_empty() {
            writeln!(f, "faults never observed: {}", unseen.join(", "))?;
        }
        write!(f, "seed: {}", self.seed)
    }
}
