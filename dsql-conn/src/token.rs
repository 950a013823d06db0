//! Signs the token that is a connection's password.
//!
//! Signing is local and takes microseconds, so every connection gets a token of its own, signed
//! when it is opened. A token that a timer renews could expire while a Lambda function is frozen.

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_dsql::auth_token::{AuthTokenGenerator, Config as TokenConfig};
use aws_smithy_async::time::StaticTimeSource;
use aws_types::SdkConfig;
use aws_types::region::Region;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use crate::config::{ADMIN, Config};
use crate::refusal::Signed;

/// A signed token. It is a secret and never prints itself.
pub(crate) struct Token {
    text: String,
    signed: Signed,
}

impl Token {
    /// Signs a token for the configured endpoint and user: `DbConnectAdmin` for `admin`,
    /// `DbConnect` for every other role.
    pub(crate) async fn sign(
        config: &Config,
        credentials: Credentials,
        now: SystemTime,
    ) -> Result<Self, SigningError> {
        let Config {
            endpoint,
            user,
            token_ttl,
            ..
        } = config;
        let signed = Signed {
            at: now,
            credentials_end: credentials.expiry(),
        };
        let text = presign(
            endpoint.host(),
            endpoint.region(),
            user,
            *token_ttl,
            credentials,
            now,
        )
        // At TRACE, the SDK's signer emits the text that it signs, with the session token.
        .with_subscriber(Dispatch::none())
        .await
        .map_err(SigningError)?;
        Ok(Self { text, signed })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn signed(&self) -> Signed {
        self.signed
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Signs by the SDK. Keeps only the text, because the SDK's token prints itself by `Debug`.
async fn presign(
    host: &str,
    region: &str,
    user: &str,
    ttl: Duration,
    credentials: Credentials,
    now: SystemTime,
) -> Result<String, Box<dyn StdError + Send + Sync>> {
    let token_config = TokenConfig::builder()
        .hostname(host)
        .region(Region::new(region.to_owned()))
        .expires_in(ttl.as_secs())
        .credentials(credentials)
        .build()?;
    let generator = AuthTokenGenerator::new(token_config);
    let sdk_config = SdkConfig::builder()
        .time_source(StaticTimeSource::new(now))
        .build();
    let token = match user {
        ADMIN => generator.db_connect_admin_auth_token(&sdk_config).await?,
        _ => generator.db_connect_auth_token(&sdk_config).await?,
    };
    Ok(token.as_str().to_owned())
}

/// The signer refused its input.
#[derive(Debug, thiserror::Error)]
#[error("the token could not be signed")]
pub(crate) struct SigningError(#[source] Box<dyn StdError + Send + Sync>);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";

    /// Signs as in the SDK's own unit tests, whose signatures an independent signer has confirmed.
    async fn signature(user: &str, ttl: u64, session_token: Option<&str>) -> String {
        let session_token = session_token.map(str::to_owned);
        let token = presign(
            "peccy.dsql.us-east-1.on.aws",
            "us-east-1",
            user,
            Duration::from_secs(ttl),
            Credentials::new("akid", "secret", session_token, None, "test"),
            UNIX_EPOCH + Duration::from_secs(1_724_716_800),
        )
        .await
        .unwrap();
        let (_, signature) = token.split_once("X-Amz-Signature=").unwrap();
        signature.split('&').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn signatures_are_those_of_the_test_vectors() {
        for (user, ttl, session_token, expected) in [
            (
                "app",
                450,
                None,
                "f5f2ad764ca5df44045d4ab6ccecba0eef941b0007e5765885a0b6ed3702a3f8",
            ),
            (
                "admin",
                450,
                None,
                "267cf8d04d84444f7a62d5bdb40c44bfc6cb13dd6c64fa7f772df6bbaa90fff1",
            ),
            (
                "app",
                900,
                Some("sess/ion+tok=en"),
                "006ffc93144dc3da834d471b43aa77e8e5f30a4ba2920cc6e06205446ccdc31c",
            ),
        ] {
            assert_eq!(signature(user, ttl, session_token).await, expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The local cluster verifies without code of the SDK.
        #[test]
        fn every_signed_token_is_verified(
            id in "[A-Z0-9]{16,20}",
            secret in ".{1,40}",
            session in prop::option::of("[A-Za-z0-9+/]{1,200}={0,2}"),
            user in "admin|[a-z]{1,9}",
            ttl in 1..=604_800_u64,
            seconds in 0..253_402_300_800_u64,
        ) {
            let endpoint: crate::Endpoint = HOST.parse().unwrap();
            let ttl = Duration::from_secs(ttl);
            let config = Config::new(endpoint.clone()).user(user).token_ttl(ttl).unwrap();
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            let keys = Credentials::new(id.clone(), secret.clone(), session.clone(), None, "test");
            let signing = Token::sign(&config, keys, now);
            let token = futures_util::FutureExt::now_or_never(signing).unwrap().unwrap();
            let parsed = dsql_local::PresignedToken::parse(token.as_str()).unwrap();
            let identity = dsql_local::Identity::new("arn", id, secret, session);
            let verify = |at| parsed.verify(&identity, endpoint.host(), endpoint.region(), at);
            let last = now + ttl - Duration::from_secs(1);
            prop_assert_eq!(verify(now), Ok(()));
            prop_assert_eq!(verify(last), Ok(()));
            prop_assert!(verify(now + ttl).is_err());
            prop_assert_eq!(parsed.action(), dsql_local::Action::for_user(&config.user));
        }

        #[test]
        fn no_credentials_panic(
            id in ".*",
            secret in ".*",
            session in ".*",
            seconds in 0..4_000_000_000_u64,
        ) {
            let config = Config::new(HOST.parse().unwrap());
            let credentials = Credentials::new(id, secret, Some(session), None, "test");
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            let signing = Token::sign(&config, credentials, now);
            let token = futures_util::FutureExt::now_or_never(signing).unwrap();
            if let Ok(token) = token {
                prop_assert_eq!(format!("{token:?}"), "Token(redacted)");
            }
        }
    }
}
