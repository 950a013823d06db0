//! What a run came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dsql_conn::Stats;

use crate::hazard::Hazard;
use crate::reconcile::Verdict;
use crate::retries::Cause;

/// What a run came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// What the run began with.
    pub seed: u64,
    /// How long the workers worked.
    pub worked: Duration,
    /// What the reconciliation said.
    pub verdict: Verdict,
    /// How many answers of each kind the workers got.
    pub answers: BTreeMap<String, u64>,
    /// What was answered to the transfers whose promise was broken.
    pub broken: Vec<String>,
    /// How often bodies ran.
    pub runs: u64,
    /// How often bodies ran again, by cause.
    pub retries: Vec<(Cause, u64)>,
    /// How often each hazard was seen to happen.
    pub seen: Vec<(Hazard, u64)>,
    /// How many of the pool's places could be lent at once when all was over.
    pub lendable: u32,
    /// How many sockets were still open after the pool was closed.
    pub left_open: u64,
    /// The pool's own count.
    pub pool: Stats,
}

impl Report {
    /// Whether every promise was kept, the pool is whole and nothing was left behind.
    pub fn is_sound(&self) -> bool {
        self.verdict.is_sound() && self.lendable == self.pool.max_size && self.left_open == 0
    }

    /// Which hazards were not seen to happen.
    pub fn unseen(&self) -> Vec<Hazard> {
        let unseen = self.seen.iter().filter(|(_, times)| *times == 0);
        unseen.map(|(hazard, _)| *hazard).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: u64 = self.answers.values().sum();
        let seconds = self.worked.as_secs_f64();
        let rate = operations as f64 / seconds.max(f64::MIN_POSITIVE);
        writeln!(
            f,
            "operations: {operations} in {seconds:.1} s, {rate:.0} a second"
        )?;
        let mut answers: Vec<_> = self.answers.iter().collect();
        answers.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        for (kind, times) in answers {
            writeln!(f, "{times:>9}  {kind}")?;
        }

        let retries: u64 = self.retries.iter().map(|(_, times)| times).sum();
        writeln!(f, "retries: {retries} of {} runs of a body", self.runs)?;
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
            "places lent at once at the end: {} of {}; sockets left open: {}",
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
        writeln!(f, "committed, and there once: {committed}")?;
        writeln!(f, "not committed, and absent: {not_committed}")?;
        writeln!(
            f,
            "unknown: {}, of which {unknown_applied} applied and {unknown_absent} absent",
            unknown_applied + unknown_absent
        )?;
        writeln!(f, "lost: {}", lost.len())?;
        writeln!(f, "doubled: {}", doubled.len())?;
        writeln!(f, "applied in spite of an error: {}", phantom.len())?;
        writeln!(f, "in the ledger, and nobody's: {}", foreign.len())?;
        writeln!(f, "accounts off balance: {}", off_balance.len())?;
        writeln!(f, "total changed by: {total_change}")?;
        for broken in &self.broken {
            writeln!(f, "broken: {broken}")?;
        }
        let unseen: Vec<_> = self.unseen().iter().map(Hazard::to_string).collect();
        if !unseen.is_empty() {
            writeln!(f, "faults never seen: {}", unseen.join(", "))?;
        }
        write!(f, "seed: {}", self.seed)
    }
}
