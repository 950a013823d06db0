//! Checks the name, and TCP to each address.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use dsql_conn::Reason;
use tokio::net::TcpStream;

use super::{Reached, Walk};
use crate::finding::Finding;
use crate::report::StepName;
use crate::words::Millis;

impl Walk<'_> {
    pub(super) async fn name(&mut self) -> Option<Vec<SocketAddr>> {
        let (mut step, began) = self.begin(StepName::Name);
        let addresses = match self.within(self.config.resolve()).await {
            Ok(addresses) => addresses,
            Err(error) => {
                let dialed = self.config.endpoint().dialed();
                step.note(format!("{dialed}: {error}"));
                if error.kind() == io::ErrorKind::TimedOut {
                    let cause = format!("{}: the name server did not reply", self.host_and_user());
                    let reason = Reason::NameServer;
                    step.fail(Finding::new(reason, cause, reason.remedy()));
                    self.end(step, began);
                    return None;
                }
                match self.library().await {
                    Some(refusal) => self.refused(step, began, &refusal)?,
                    None => self.end(step, began)?,
                }
                return None;
            }
        };
        match self.summary.address {
            Some(address) => step.note(format!("not looked up: the address {address} is set")),
            None => {
                let v6 = addresses.iter().filter(|address| address.is_ipv6()).count();
                let v4 = addresses.len() - v6;
                let found: Vec<_> = addresses.iter().map(|it| it.ip().to_string()).collect();
                step.note(format!("{v4} IPv4, {v6} IPv6: {}", found.join(", ")));
            }
        }
        self.end(step, began)?;
        Some(addresses)
    }

    pub(super) async fn tcp(&mut self, addresses: Vec<SocketAddr>) -> Option<Reached> {
        let (mut step, began) = self.begin(StepName::Tcp);
        let mut reached = None;
        let mut first_error: Option<(SocketAddr, io::Error)> = None;
        for address in addresses.into_iter().take(MOST) {
            let dialed = Instant::now();
            match self.within(TcpStream::connect(address)).await {
                Ok(_) => {
                    step.note(format!("{address}: {}", Millis(dialed.elapsed())));
                    reached.get_or_insert(address);
                }
                Err(error) => {
                    step.note(format!("{address}: {error}"));
                    first_error.get_or_insert((address, error));
                }
            }
        }
        if reached.is_none() {
            step.fail(self.unreached(first_error));
        }
        self.end(step, began)?;
        reached
    }

    fn unreached(&self, error: Option<(SocketAddr, io::Error)>) -> Finding {
        let who = self.host_and_user();
        let Some((address, error)) = error else {
            let cause = format!("{who}: the name has no address");
            let remedy = Reason::NameResolution.remedy();
            return Finding::new(Reason::NameResolution, cause, remedy);
        };
        match error.kind() {
            io::ErrorKind::TimedOut => Finding::new(
                Reason::TimedOut,
                format!("{who}: {address} does not reply to TCP ({error})"),
                "let TCP through to that port: security groups, routes and firewalls between here \
                 and the endpoint",
            ),
            io::ErrorKind::ConnectionRefused => Finding::new(
                Reason::Unreachable,
                format!("{who}: {address} refused the connection ({error})"),
                "nothing listens there: check the address and the port, the service listens on \
                 5432",
            ),
            io::ErrorKind::ConnectionReset => Finding::new(
                Reason::Interrupted,
                format!("{who}: {address} accepted the connection and reset it ({error})"),
                Reason::Interrupted.remedy(),
            ),
            _ => Finding::new(
                Reason::Unreachable,
                format!("{who}: {address} could not be reached ({error})"),
                Reason::Unreachable.remedy(),
            ),
        }
    }
}

/// Trying more addresses would show nothing new.
const MOST: usize = 8;
