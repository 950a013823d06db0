//! What the cluster and the relay observe of one program.

use std::error::Error;
use std::time::SystemTime;

use benches::{Relay, Site, Took};
use dsql_local::{ConnectionLog, Counts};

use crate::sample::Sample;

/// Observes the cluster and the relay from before a program starts.
pub(crate) struct Observer<'a> {
    site: &'a Site,
    relay: &'a Relay,
    counts: Counts,
    connections: usize,
}

impl<'a> Observer<'a> {
    pub(crate) fn new(site: &'a Site, relay: &'a Relay) -> Self {
        relay.take();
        Self {
            site,
            relay,
            counts: site.cluster.counts(),
            connections: site.cluster.connections().len(),
        }
    }

    /// Splits the time until the first row into phases.
    pub(crate) fn sample(self, took: Took, answered: SystemTime) -> Result<Sample, Box<dyn Error>> {
        let passages = self.relay.take();
        let [passage] = &passages[..] else {
            return Err(format!("there were {} connections", passages.len()).into());
        };
        let round_trip = self.relay.round_trip();
        let phases = passage.phases(round_trip, took.started(), answered);
        // The cluster counts requests, the relay counts waits. Requests sent together share one
        // wait, and the client's own work is no round trip.
        let asked = self.asked();
        let waits = match round_trip.is_zero() {
            true => asked,
            false => passage.waits(round_trip, answered),
        };
        Ok(Sample {
            wall: answered.duration_since(took.started())?,
            cpu: took.cpu(),
            peak_kib: took.peak_kib,
            round_trips: asked.min(waits),
            phases: phases.ok_or("there was no whole session")?,
        })
    }

    /// Counts the steps that the cluster observed: TCP, the request for TLS, TLS, startup,
    /// password, statements.
    fn asked(&self) -> usize {
        let counts = self.site.cluster.counts();
        let logins = counts.logins - self.counts.logins;
        let requests = counts.ssl_request - self.counts.ssl_request;
        let retries = counts.tls_hello_retry - self.counts.tls_hello_retry;
        let statements = |log: &ConnectionLog| {
            let flights = log.flights.iter().filter(|flight| *flight != "X");
            flights.count() - log.pipelined
        };
        let connections = self.site.cluster.connections();
        let statements: usize = connections[self.connections..].iter().map(statements).sum();
        (4 * logins + requests + retries) as usize + statements
    }
}
