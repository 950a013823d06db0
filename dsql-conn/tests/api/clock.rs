//! A wrong clock of this machine: the error names it, and by how much it is off.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dsql_conn::Reason;
use dsql_conn::rustls::pki_types::UnixTime;
use dsql_conn::rustls::time_provider::TimeProvider;
use dsql_conn::rustls::{self, ClientConfig, RootCertStore};

use crate::connect_errors::refusal;
use crate::support::{Clock, cluster, config};

#[tokio::test]
async fn error_tells_how_far_the_clock_is_off() {
    let cluster = cluster().await;
    let hour = Duration::from_secs(3_600);
    let ahead = SystemTime::now() + hour + Duration::from_secs(30);
    let behind = SystemTime::now() - hour - Duration::from_secs(30);
    for (time, words) in [(ahead, "1 h 0 min ahead of"), (behind, "1 h 0 min behind")] {
        let clock = Clock::default();
        clock.set(time);
        let (reason, said) = refusal(config(&cluster).time_source(clock)).await;
        assert_eq!(reason, Reason::ClockSkew, "{said}");
        let skew = format!("this machine's clock is {words} the server's");
        assert!(said.contains(&skew), "{said}");
        assert!(said.contains("; set this machine's clock"), "{said}");
    }
}

/// A clock that stands still.
#[derive(Debug)]
struct Stopped(SystemTime);

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap();
        Some(UnixTime::since_unix_epoch(since))
    }
}

#[tokio::test]
async fn certificate_outside_its_dates_tells_the_time_here() {
    let cluster = cluster().await;
    let mut roots = RootCertStore::empty();
    roots.add(cluster.ca_der().clone()).unwrap();
    for (time, expected, words, here) in [
        (
            UNIX_EPOCH,
            Reason::ClockSkew,
            "the server's certificate is not valid for another",
            "it is 1970-01-01T00:00:00Z here",
        ),
        (
            UNIX_EPOCH + Duration::from_secs(100_000_000_000),
            Reason::Certificate,
            "the server's certificate expired",
            "it is 5138-11-16T09:46:40Z here",
        ),
    ] {
        let provider = rustls::crypto::ring::default_provider();
        let tls = ClientConfig::builder_with_details(provider.into(), Arc::new(Stopped(time)))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let (reason, said) = refusal(config(&cluster).tls_config(tls.into())).await;
        assert_eq!(reason, expected, "{said}");
        assert!(said.contains(words) && said.contains(here), "{said}");
        assert!(said.contains("set this machine's clock"), "{said}");
    }
}
