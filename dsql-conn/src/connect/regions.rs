//! Opens connections to a cluster of one or two Regions.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout};

use super::failover::{Failover, Place};
use super::{Connector, Opened, Progress};
use crate::error::ConnectError;
use crate::reason::Reason;

/// The home Region of a cluster, and its other one if it has two.
pub(crate) struct Regions {
    pub(crate) home: Connector,
    away: Option<Away>,
}

/// The other Region.
struct Away {
    peer: Connector,
    failover: Failover,
}

/// A probe of the home Region. If it is dropped early, it counts as failed.
struct Probe<'a> {
    regions: &'a Regions,
    failover: &'a Failover,
    answered: bool,
}

impl Regions {
    pub(crate) fn new(home: Connector) -> Self {
        let away = home.of_peer().map(|peer| Away {
            peer,
            failover: Failover::default(),
        });
        Self { home, away }
    }

    /// Opens a connection in the Region that serves, or in the other one if the first fails or is
    /// slow.
    pub(crate) async fn open(&self, progress: &Progress) -> Result<(Opened, Place), ConnectError> {
        let within = self.home.config.connect_deadline();
        let Some(Away { failover, .. }) = &self.away else {
            let opened = self.home.open(progress, within).await?;
            return Ok((opened, Place::Home));
        };
        let opened = self.either(failover.serving(), progress, within).await;
        let (opened, place) = opened.map_err(|error| error.tried(progress.failures()))?;
        if failover.served(place, self.home.config.now(), rand::random()) {
            self.moved(place);
        }
        Ok((opened, place))
    }

    /// Opens a connection to the first Region, and at the same time to the other one if the first
    /// has failed or has not answered in time.
    async fn either(
        &self,
        first: Place,
        progress: &Progress,
        within: Duration,
    ) -> Result<(Opened, Place), ConnectError> {
        let began = Instant::now();
        let mut opening = pin!(self.connector(first).open(progress, within));
        let mut failed = tokio::select! {
            biased;
            opened = &mut opening => match opened {
                Ok(opened) => return Ok((opened, first)),
                Err(error) if !may_work_elsewhere(error.reason()) => return Err(error),
                Err(error) => Some(error),
            },
            () = self.is_slow(progress) => None,
        };
        let left = within.saturating_sub(began.elapsed());
        let other_progress = progress.in_other_region();
        let other = self.connector(first.other());
        let mut other_opening = pin!(other.open(&other_progress, left));
        let mut other_failed = None;
        loop {
            tokio::select! {
                biased;
                opened = &mut opening, if failed.is_none() => match opened {
                    Ok(opened) => return Ok((opened, first)),
                    // The Region replies, and refuses.
                    Err(error) if !may_work_elsewhere(error.reason()) => return Err(error),
                    Err(error) => failed = Some(error),
                },
                opened = &mut other_opening, if other_failed.is_none() => match opened {
                    Ok(opened) => return Ok((opened, first.other())),
                    Err(error) => other_failed = Some(error),
                },
            }
            if let (Some(error), Some(other)) = (&failed, &other_failed) {
                return Err(error.clone().beside(other));
            }
        }
    }

    /// Waits until the first Region has failed once, or has taken too long.
    async fn is_slow(&self, progress: &Progress) {
        let has_failed = async { while !may_work_elsewhere(progress.failure().await.reason()) {} };
        tokio::select! {
            () = has_failed => {}
            () = sleep(self.home.config.failover_after) => {}
        }
    }

    /// Returns whether the home Region is to be tried now. If so, the caller runs
    /// [`probe`](Self::probe).
    pub(crate) fn begins_probe(&self, now: SystemTime) -> bool {
        let away = self.away.as_ref();
        away.is_some_and(|away| away.failover.begin_probe(now))
    }

    /// Finds out whether the home Region serves again.
    pub(crate) async fn probe(&self) {
        let Some(Away { failover, .. }) = &self.away else {
            return;
        };
        let mut probe = Probe {
            regions: self,
            failover,
            answered: false,
        };
        let progress = Progress::default();
        let opened = timeout(PROBE_TIMEOUT, self.home.open(&progress, PROBE_TIMEOUT));
        probe.answered = matches!(opened.await, Ok(Ok(_)));
    }

    /// Returns whether a connection to this Region is to be replaced. `unit` is the connection's
    /// random number from 0 to 1.
    pub(crate) fn is_over(&self, place: Place, now: SystemTime, unit: f64) -> bool {
        match (place, &self.away) {
            (Place::Peer, Some(away)) => away.failover.is_over(now, unit),
            (Place::Home, _) | (_, None) => false,
        }
    }

    /// Reports that this Region serves new connections from now on.
    fn moved(&self, place: Place) {
        let region = self.connector(place).config.endpoint.region();
        self.home.meter.moved(region, place == Place::Home);
    }

    /// Returns how often the peer took over, and how often the home Region took over again.
    pub(crate) fn moves(&self) -> (u64, u64) {
        let away = self.away.as_ref();
        away.map_or((0, 0), |away| away.failover.moves())
    }

    pub(crate) fn connector(&self, place: Place) -> &Connector {
        match (place, &self.away) {
            (Place::Peer, Some(away)) => &away.peer,
            (Place::Home, _) | (_, None) => &self.home,
        }
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let now = self.regions.home.config.now();
        if self.failover.probed(self.answered, now, rand::random()) {
            self.regions.moved(Place::Home);
        }
    }
}

/// Returns whether the other Region may accept a connection that this one did not: it has another
/// network, but the same identities and roles.
fn may_work_elsewhere(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NameResolution
            | Reason::NameServer
            | Reason::Unreachable
            | Reason::Interrupted
            | Reason::Unavailable
            | Reason::WakingUp
            | Reason::TimedOut
    )
}

/// A home Region that takes longer has not recovered.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
