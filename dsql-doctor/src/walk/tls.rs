//! Checks the TLS handshake: version, certificates, resumption.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dsql_conn::rustls::pki_types::ServerName;
use dsql_conn::rustls::{ClientConfig, HandshakeKind};
use dsql_conn::{Error, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Walk;
use crate::certificate::{Certificate, unverified};
use crate::finding::Finding;
use crate::report::{Step, StepName};
use crate::words::rough;

impl Walk<'_> {
    pub(super) async fn tls(&mut self, address: SocketAddr) -> Option<()> {
        let (mut step, began) = self.begin(StepName::Tls);
        let config = match self.config.client_config() {
            Ok(config) => Arc::new(config),
            Err(error) => {
                step.fail(Finding::of_error(&Error::Config(error)));
                return self.end(step, began);
            }
        };
        let error = match self.within(self.handshake(address, &config)).await {
            Ok(mut stream) => {
                // Take the time before anything else runs.
                step.took = Some(began.elapsed());
                self.describe(&mut step, &stream);
                self.resumption(&mut step, address, &config, &mut stream)
                    .await;
                return self.keep(step);
            }
            Err(error) => error,
        };
        step.note(format!("{address}: {error}"));
        self.show_certificate(&mut step, address, &config).await;
        if error.kind() == io::ErrorKind::TimedOut {
            let cause = format!(
                "{}: {address} accepts TCP and does not reply to TLS ({error})",
                self.host_and_user()
            );
            let remedy = "let the traffic through: something between here and the endpoint holds \
                          it up, or another server listens there";
            step.fail(Finding::new(Reason::TimedOut, cause, remedy));
            return self.end(step, began);
        }
        match self.library().await {
            Some(refusal) => self.refused(step, began, &refusal),
            // The library's handshake succeeded, so the failure of the probe was transient.
            None => {
                step.note("the library's own handshake succeeded afterwards");
                self.end(step, began)
            }
        }
    }

    /// Starts TLS as the library does: with the first byte, or after asking for it.
    async fn handshake(
        &self,
        address: SocketAddr,
        config: &Arc<ClientConfig>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        if !self.summary.direct_tls {
            stream.write_all(&SSL_REQUEST).await?;
            let mut answer = [0];
            stream.read_exact(&mut answer).await?;
            if answer != *b"S" {
                return Err(io::Error::other("the server does not speak TLS"));
            }
        }
        let host = self.config.endpoint().host().to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
    }

    fn describe(&self, step: &mut Step, stream: &TlsStream<TcpStream>) {
        let (_, session) = stream.get_ref();
        let mut words = Vec::new();
        if let Some(version) = session.protocol_version() {
            words.push(format!("{version:?}"));
        }
        if let Some(suite) = session.negotiated_cipher_suite() {
            words.push(format!("{:?}", suite.suite()));
        }
        words.push(match session.alpn_protocol() {
            Some(protocol) => format!("ALPN {}", String::from_utf8_lossy(protocol)),
            None => "no ALPN".to_owned(),
        });
        step.note(words.join(", "));
        let chain = session.peer_certificates().unwrap_or_default();
        let now = self.config.time();
        for certificate in chain.iter().filter_map(|it| Certificate::parse(it)) {
            step.note(certificate.describe(now));
            let left = certificate.left(now);
            if left.is_some_and(|left| left < SOON) {
                let cause = format!(
                    "the certificate of {} ends in {}",
                    certificate.subject,
                    rough(left.unwrap_or_default())
                );
                let remedy = "have it renewed; of the service, AWS renews it";
                step.warn(Finding::new(Reason::Certificate, cause, remedy));
            }
        }
    }

    /// Waits for a ticket, and resumes the session in a second handshake. That saves a round trip
    /// and most of the CPU time.
    async fn resumption(
        &self,
        step: &mut Step,
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        stream: &mut TlsStream<TcpStream>,
    ) {
        // Tickets arrive after the handshake, and nothing marks the last one.
        let _ = timeout(TICKETS, stream.read(&mut [0])).await;
        let second = self.within(self.handshake(address, config)).await;
        let kind = second.map(|stream| stream.get_ref().1.handshake_kind());
        step.note(match kind {
            Ok(Some(HandshakeKind::Resumed)) => "a second handshake resumed the session",
            Ok(_) => "a second handshake did not resume the session",
            Err(_) => "a second handshake failed",
        });
    }

    /// Shows the certificate that was refused. The peer gets no data that it did not have.
    async fn show_certificate(
        &self,
        step: &mut Step,
        address: SocketAddr,
        config: &Arc<ClientConfig>,
    ) {
        let unverified = Arc::new(unverified(config));
        let Ok(stream) = self.within(self.handshake(address, &unverified)).await else {
            return;
        };
        let (_, session) = stream.get_ref();
        let now = self.config.time();
        let chain = session.peer_certificates().unwrap_or_default();
        for certificate in chain.iter().filter_map(|it| Certificate::parse(it)) {
            step.note(format!("not accepted: {}", certificate.describe(now)));
        }
    }
}

/// <https://www.postgresql.org/docs/16/protocol-message-formats.html>
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Automatic renewal renews a certificate before this time.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const TICKETS: Duration = Duration::from_millis(100);
