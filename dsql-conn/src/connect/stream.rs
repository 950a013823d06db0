//! Puts a [`Wire`] around the stream that the TLS handshake yields.

use std::future::Future;
use std::io;
use std::pin::Pin;

use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_postgres::tls::TlsConnect;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::Span;

use super::Progress;
use super::progress::Step;
use crate::telemetry::span;
use crate::wire::{Watch, Wire};

pub(super) struct WatchedTls {
    rustls: TlsConnector,
    host: String,
    watch: Watch,
    early_password: Option<String>,
    progress: Progress,
    span: Span,
}

impl WatchedTls {
    pub(super) fn new(
        rustls: TlsConnector,
        host: &str,
        watch: Watch,
        early_password: Option<String>,
        progress: &Progress,
        span: &Span,
    ) -> Self {
        Self {
            rustls,
            host: host.to_owned(),
            watch,
            early_password,
            progress: progress.clone(),
            span: span.clone(),
        }
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }
}

impl TlsConnect<TcpStream> for WatchedTls {
    type Stream = Wire<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Stream>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let host = ServerName::try_from(self.host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let stream = self.rustls.connect(host, stream).await?;
            let kind = stream.get_ref().1.handshake_kind();
            span::encrypted(&self.span, kind == Some(HandshakeKind::Resumed));
            self.progress.enter(Step::Login);
            Ok(Wire::new(
                stream,
                &self.watch,
                self.early_password.as_deref(),
            ))
        })
    }
}
