//! The locked state of a pool: slots, idle connections, waiters and openings.
//!
//! Everything here is synchronous and calls nothing that could wait or lock.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::time::{Instant, SystemTime};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::handover::Handover;
use crate::connect::{Aborter, Progress};
use crate::connection::Connection;
use crate::error::ConnectError;
use crate::telemetry::Population;

pub(super) struct Slots {
    max: usize,
    /// The number of slots that open connections and openings have taken.
    taken: usize,
    /// Ready for the next checkout, the most recently used last.
    pub(super) idle: Vec<Connection>,
    /// Returned with a statement in flight or rows unread; the oldest first.
    pub(super) unsettled: VecDeque<Unsettled>,
    /// By ticket, the longest waiting first.
    waiters: VecDeque<Waiter>,
    pub(super) openings: Vec<Opening>,
    /// Every open connection.
    pub(super) open: HashMap<usize, Aborter>,
    pub(super) last_failure: Option<(Instant, ConnectError)>,
    /// How many expired connections were closed and have no successor yet.
    pub(super) successors: usize,
    next_number: u64,
    /// The numbers that the gauges have.
    gauged: Population,
}

/// A connection that checkouts skip until it settles.
pub(super) struct Unsettled {
    pub(super) connection: Connection,
    /// A checkout waited for it, and it did not settle in time.
    pub(super) was_awaited: bool,
}

/// A checkout that waits in the queue.
pub(super) struct Waiter {
    ticket: u64,
    pub(super) since: Instant,
    /// Its ping is in flight: it needs no other idle connection, which may need a ping as well.
    is_pinging: bool,
    pub(super) handover: oneshot::Sender<Handover>,
}

/// A connection that is being opened.
pub(super) struct Opening {
    pub(super) number: u64,
    /// The checkout that started it.
    pub(super) ticket: Option<u64>,
    /// By the wall clock: timers stand still while a Lambda function is frozen.
    pub(super) deadline: SystemTime,
    pub(super) progress: Progress,
    /// Set once the task was spawned.
    pub(super) task: Option<AbortHandle>,
}

impl Slots {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            taken: 0,
            idle: Vec::new(),
            unsettled: VecDeque::new(),
            waiters: VecDeque::new(),
            openings: Vec::new(),
            open: HashMap::new(),
            last_failure: None,
            successors: 0,
            next_number: 0,
            gauged: Population::default(),
        }
    }

    /// Returns a number that is unique in this pool.
    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Takes the most recently used idle connection, unless another checkout waits for one.
    pub(super) fn pop_idle(&mut self) -> Option<Connection> {
        match self.waiters.iter().all(|waiter| waiter.is_pinging) {
            true => self.idle.pop(),
            false => None,
        }
    }

    /// Takes the most recently used idle connection, and the waiter that has waited for one
    /// longest.
    pub(super) fn match_idle(&mut self) -> Option<(Connection, Waiter)> {
        let at = self.waiters.iter().position(|waiter| !waiter.is_pinging)?;
        let connection = self.idle.pop()?;
        let waiter = self.waiters.remove(at)?;
        Some((connection, waiter))
    }

    /// Takes a connection that was set aside: one that has settled, else the oldest one that no
    /// checkout has waited for. Without a free slot, the oldest one.
    pub(super) fn pop_unsettled(&mut self) -> Option<Connection> {
        let has_free_slot = self.has_free_slot();
        let is_settled = |unsettled: &Unsettled| unsettled.connection.watch().is_settled();
        let is_worth_it = |unsettled: &Unsettled| !unsettled.was_awaited || !has_free_slot;
        let at = match self.unsettled.iter().position(is_settled) {
            Some(at) => at,
            None => self.unsettled.iter().position(is_worth_it)?,
        };
        let unsettled = self.unsettled.remove(at)?;
        Some(unsettled.connection)
    }

    pub(super) fn has_free_slot(&self) -> bool {
        self.taken < self.max
    }

    /// Returns whether more slots are taken than the pool has. A connection that is opened during a
    /// ping takes an extra slot.
    pub(super) fn is_over_capacity(&self) -> bool {
        self.taken > self.max
    }

    /// Takes a slot, even beyond the pool's size.
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    pub(super) fn free(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// Adds a waiter to the queue, in the order of the tickets.
    pub(super) fn enter(
        &mut self,
        ticket: u64,
        since: Instant,
        is_pinging: bool,
    ) -> oneshot::Receiver<Handover> {
        let (handover, receiver) = oneshot::channel();
        let at = self
            .waiters
            .partition_point(|waiter| waiter.ticket < ticket);
        let waiter = Waiter {
            ticket,
            since,
            is_pinging,
            handover,
        };
        self.waiters.insert(at, waiter);
        receiver
    }

    /// Removes a waiter that leaves the queue.
    pub(super) fn leave(&mut self, ticket: u64) {
        if let Ok(at) = self
            .waiters
            .binary_search_by_key(&ticket, |waiter| waiter.ticket)
        {
            self.waiters.remove(at);
        }
    }

    /// Removes and returns the waiter that has waited longest.
    pub(super) fn next_waiter(&mut self) -> Option<Waiter> {
        self.waiters.pop_front()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Returns whether there are more waiters than openings, and a slot for another opening.
    pub(super) fn wants_opening(&self) -> bool {
        self.has_free_slot() && self.waiters.len() > self.openings.len()
    }

    /// Returns how many connections are checked out.
    pub(super) fn in_use(&self) -> usize {
        let resting = self.idle.len() + self.unsettled.len();
        self.open.len().saturating_sub(resting)
    }

    pub(super) fn population(&self) -> Population {
        Population {
            idle: self.idle.len(),
            used: self.open.len().saturating_sub(self.idle.len()),
            waiting: self.waiters.len(),
        }
    }

    /// Returns the population, if it has changed since the last call.
    pub(super) fn changed(&mut self) -> Option<Population> {
        let population = self.population();
        (population != self.gauged).then(|| {
            self.gauged = population;
            population
        })
    }

    /// Removes an opening that ended or is not needed any more, and returns it.
    pub(super) fn end_opening(&mut self, is_it: impl Fn(&Opening) -> bool) -> Option<Opening> {
        let at = self.openings.iter().position(is_it)?;
        Some(self.openings.swap_remove(at))
    }

    /// Aborts the openings whose deadline has passed.
    pub(super) fn abort_overdue(&self, now: SystemTime) {
        for opening in &self.openings {
            if opening.deadline <= now
                && let Some(task) = &opening.task
            {
                task.abort();
            }
        }
    }

    /// Removes and returns the waiters that get the error of a failed opening while no connection
    /// is in use. If the failure is permanent, these are all waiters. Otherwise they are the waiter
    /// that started the opening, and those that have waited for as long as one opening may take.
    pub(super) fn take_failed(
        &mut self,
        ticket: Option<u64>,
        is_permanent: bool,
        waiting_since: impl Fn(Instant) -> bool,
    ) -> Vec<Waiter> {
        let waiters = mem::take(&mut self.waiters);
        let (failed, waiting) = waiters.into_iter().partition(|waiter| {
            is_permanent || Some(waiter.ticket) == ticket || waiting_since(waiter.since)
        });
        self.waiters = waiting;
        Vec::from(failed)
    }

    /// Removes everything that is not in use. The returned value must be dropped without the lock.
    pub(super) fn drain(&mut self) -> Drained {
        for opening in &self.openings {
            if let Some(task) = &opening.task {
                task.abort();
            }
        }
        let unsettled = self
            .unsettled
            .drain(..)
            .map(|unsettled| unsettled.connection);
        let connections: Vec<_> = self.idle.drain(..).chain(unsettled).collect();
        for connection in &connections {
            self.open.remove(&connection.id());
        }
        self.taken = self.taken.saturating_sub(connections.len());
        Drained {
            _waiters: mem::take(&mut self.waiters),
            connections,
        }
    }
}

/// The waiters and connections that a closing pool drops.
pub(super) struct Drained {
    _waiters: VecDeque<Waiter>,
    pub(super) connections: Vec<Connection>,
}
