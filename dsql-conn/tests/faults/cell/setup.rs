//! The cluster and the pool that a cell runs on.

use std::time::Duration;

use aws_credential_types::Credentials;
use dsql_conn::{Config, Endpoint, Peer, Pool};
use dsql_local::{Fault as Injected, LocalCluster};
use tokio::time::sleep;

use super::{Cell, LONG, SHORT, TICK};
use crate::fault::Fault;
use crate::outcome::Bound;
use crate::resolver::{NetworkFault, Resolver};
use crate::stage::{Call, Stage};

/// The cluster and the pool that a cell runs on.
pub(crate) struct Setup {
    pub(crate) cluster: LocalCluster,
    /// The fault, if the cluster injects it, and how often it occurred in earlier cells.
    fault: Option<(Injected, u64)>,
    pub(super) resolver: Resolver,
    pub(crate) config: Config,
    pub(crate) pool: Pool,
}

/// How often a fault occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Times(usize),
    UntilCleared,
}

impl Setup {
    pub(super) fn struck(&self) -> u64 {
        match &self.fault {
            Some((fault, before)) => self.cluster.struck(fault) - before,
            None => self.resolver.struck(),
        }
    }

    pub(super) async fn until_struck(&self, times: u64) {
        while self.struck() < times {
            sleep(TICK).await;
        }
    }
}

impl Cell {
    /// Starts a cluster with a table, and makes a pool. All timeouts are long, except the one that
    /// is expected to end the call.
    pub(super) async fn setup(&self, spare: Option<LocalCluster>) -> Setup {
        let cluster = match spare {
            Some(cluster) => cluster,
            None => LocalCluster::builder()
                .peer_region("us-west-2")
                .start()
                .await
                .expect("the tests need a PostgreSQL on this machine"),
        };
        cluster.query(TABLE).await.expect("an empty table");

        let admin = cluster.admin();
        let credentials = Credentials::new(
            admin.access_key_id(),
            admin.secret_access_key(),
            admin.session_token().map(str::to_owned),
            None,
            "test",
        );
        let short = |bound| match self.expected.bound == bound {
            true => SHORT,
            false => LONG,
        };
        let (connect, checkout) = match self.expected.bound {
            // A failing attempt needs some time to fail.
            Bound::Connect if !self.fault.is_silent() => (5 * SHORT, LONG),
            Bound::Connect => (SHORT, LONG),
            Bound::Checkout if !self.fault.is_silent() => (LONG, 5 * SHORT),
            Bound::Checkout => (SHORT, 6 * SHORT),
            // An opening whose caller cancelled keeps its slot until it ends.
            Bound::Caller if self.call == Call::GetCancelled => (5 * SHORT, LONG),
            _ => (LONG, LONG),
        };
        let settle = match self.expected.bound {
            // The call leaves a statement running, and the next checkout has to wait for it.
            Bound::Caller | Bound::Deadline => SHORT,
            _ => short(Bound::Settle),
        };
        let ping_after = match self.call {
            Call::PingDue => Duration::ZERO,
            _ => LONG,
        };
        let peer = cluster.peer().expect("a peer");
        let peer_address = peer.address();
        let peer: Endpoint = peer.endpoint().parse().expect("the cluster's own");
        let peer_host = peer.host().to_owned();
        let resolver = Resolver::to(cluster.address());
        let resolving = resolver.clone();
        let config = Config::new(cluster.endpoint().parse().expect("the cluster's own"))
            .resolver(move |host, _| {
                let home = resolving.clone();
                let is_peer = host == peer_host;
                async move {
                    match is_peer {
                        true => Ok(vec![peer_address]),
                        false => home.resolve().await,
                    }
                }
            })
            .root_certificates([cluster.ca_der().clone()])
            .unwrap()
            .credentials(credentials)
            .connect_timeout(connect)
            .failover_after(short(Bound::Failover));
        let config = match self.call {
            Call::GetWithPeer => config.peer(Peer::new(peer)).expect("another Region"),
            _ => config,
        };
        let size = match (self.stage, self.call) {
            // The next checkout has to get the same connection.
            (Stage::ReturnToPool, _) => 1,
            // The fault strikes every idle connection. After the first one the pool would check out
            // another unresponsive one.
            (_, Call::UsedLately) => 1,
            _ => 2,
        };
        let pool = Pool::builder(config.clone())
            .max_size(size)
            .idle_timeout(None)
            .checkout_timeout(checkout)
            .ping_after(ping_after)
            .ping_timeout(short(Bound::Ping))
            .hedge_delay(LONG)
            .settle_timeout(settle)
            .build();
        Setup {
            fault: self.network_fault().is_none().then(|| {
                let fault = self.fault();
                let before = cluster.struck(&fault);
                (fault, before)
            }),
            cluster,
            resolver,
            config,
            pool,
        }
    }

    pub(super) fn inject(&self, setup: &Setup, repeat: Repeat) {
        if let Some(fault) = self.network_fault() {
            return setup.resolver.inject(fault, repeat == Repeat::UntilCleared);
        }
        setup.cluster.inject(match repeat {
            Repeat::Times(times) => self.fault().times(times),
            Repeat::UntilCleared => self.fault().always(),
        });
    }

    /// The fault to simulate before the cluster, if it strikes there.
    fn network_fault(&self) -> Option<NetworkFault> {
        match (self.stage, self.fault) {
            (Stage::Dns, Fault::Refuse) => Some(NetworkFault::NoSuchName),
            (Stage::Dns, Fault::TryAgain) => Some(NetworkFault::TemporaryFailure),
            (Stage::Dns, Fault::Stall) => Some(NetworkFault::NameServerSilent),
            (Stage::Tcp, Fault::Refuse) => Some(NetworkFault::PortClosed),
            // Other systems may answer when the queue is full. There the server accepts and never
            // replies.
            (Stage::Tcp, Fault::Stall) if cfg!(target_os = "linux") => Some(NetworkFault::NoReply),
            _ => None,
        }
    }

    /// The fault to inject into the cluster.
    fn fault(&self) -> Injected {
        Injected::at(self.stage.local(self.call), self.fault.effect())
    }
}

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS public.note (text text PRIMARY KEY);
    GRANT ALL ON public.note TO admin;
    TRUNCATE public.note;
    CREATE TABLE IF NOT EXISTS public.outcome
        (id uuid PRIMARY KEY, committed boolean NOT NULL, at timestamptz NOT NULL);
    GRANT ALL ON public.outcome TO admin;
    TRUNCATE public.outcome";
