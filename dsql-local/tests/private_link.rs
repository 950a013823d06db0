//! Connections through PrivateLink: by the private name, or by a VPC endpoint's name with the ID.

mod support;

use std::sync::Arc;

use dsql_local::{Action, LocalCluster};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use support::{config, connect_with, refused, sdk_token, tls};
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

const VPC_ENDPOINT: &str = "vpce-0123456789abcdef0-abcdefgh.dsql-fnh4.us-east-1.vpce.amazonaws.com";

async fn start() -> LocalCluster {
    LocalCluster::builder()
        .private_link("fnh4")
        .start()
        .await
        .unwrap()
}

/// Returns a configuration with a host name, and a token signed for another or the same name.
async fn by(cluster: &LocalCluster, name: &str, signed: &str) -> Config {
    let token = sdk_token(
        cluster.admin(),
        signed,
        cluster.region(),
        Action::DbConnectAdmin,
    )
    .await;
    let address = cluster.address();
    let mut by = Config::new();
    by.host(name)
        .hostaddr(address.ip())
        .port(address.port())
        .user("admin")
        .dbname("postgres")
        .password(token)
        .ssl_mode(tokio_postgres::config::SslMode::Require);
    by
}

#[tokio::test]
async fn the_private_name_is_verified_and_signed_for() {
    let cluster = start().await;
    let private = cluster.private_endpoint().unwrap();
    assert_eq!(
        private,
        format!("{}.dsql-fnh4.us-east-1.on.aws", cluster.cluster_id())
    );
    let public = cluster.endpoint();
    for (name, signed, lets_in) in [
        (private, private, true),
        (public, public, true),
        (private, public, false),
        (public, private, false),
    ] {
        let connected = connect_with(&cluster, &by(&cluster, name, signed).await).await;
        assert_eq!(connected.is_ok(), lets_in, "{name} {signed}");
    }
}

#[tokio::test]
async fn a_vpc_endpoint_requires_the_cluster_id() {
    let cluster = start().await;
    let id = cluster.cluster_id();
    for (options, lets_in) in [
        (format!("-c amzn-cluster-id={id}"), true),
        (format!("-c search_path=x -c amzn-cluster-id={id}"), true),
        ("-c amzn-cluster-id=another".to_owned(), false),
        ("-c search_path=x".to_owned(), false),
    ] {
        let mut config = by(&cluster, VPC_ENDPOINT, cluster.endpoint()).await;
        config.options(&options);
        // The certificate does not contain this name.
        assert!(connect_with(&cluster, &config).await.is_err());
        let mut tls = tls(cluster.ca_der());
        tls.dangerous()
            .set_certificate_verifier(Arc::new(AnyName(ring::default_provider())));
        match config.connect(MakeRustlsConnect::new(tls)).await {
            Ok(_) => assert!(lets_in, "{options}"),
            Err(error) => {
                let error = refused::<()>(Err(error));
                assert!(!lets_in, "{options}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_public_name_accepts_the_right_id_or_none() {
    let cluster = LocalCluster::start().await.unwrap();
    assert_eq!(cluster.private_endpoint(), None);
    let token = support::token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    for (id, lets_in) in [(cluster.cluster_id(), true), ("another", false)] {
        let mut config = config(&cluster, "admin");
        config
            .password(&token)
            .options(format!("-c amzn-cluster-id={id}"));
        assert_eq!(connect_with(&cluster, &config).await.is_ok(), lets_in);
    }
}

/// Verifies nothing, like `sslmode=require`.
#[derive(Debug)]
struct AnyName(CryptoProvider);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
