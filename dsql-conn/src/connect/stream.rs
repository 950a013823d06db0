//! Puts a [`Wire`] around the stream that the TLS handshake yields.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Progress;
use super::progress::Step;
use super::socket::Socket;
use crate::wire::{Watch, Wire};

type Rustls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type RustlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

pub(super) struct WatchedTls {
    rustls: Rustls,
    watch: Watch,
    early_password: Option<String>,
    progress: Progress,
}

impl WatchedTls {
    pub(super) fn new(
        mut tls: MakeRustlsConnect,
        host: &str,
        watch: Watch,
        early_password: Option<String>,
        progress: &Progress,
    ) -> Self {
        let Ok(rustls) = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, host);
        Self {
            rustls,
            watch,
            early_password,
            progress: progress.clone(),
        }
    }
}

impl TlsConnect<Socket> for WatchedTls {
    type Stream = Wire<RustlsStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Stream>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = self.rustls.connect(stream).await?;
            self.progress.enter(Step::Login);
            Ok(Wire::new(
                stream,
                &self.watch,
                self.early_password.as_deref(),
            ))
        })
    }
}
