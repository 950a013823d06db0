//! Tokens: those of the AWS SDK are accepted, others are refused with the service's errors.

mod corpus;
mod support;

use std::time::{Duration, SystemTime};

use corpus::{inputs, mutated, walk};
use dsql_local::{Action, Flaw, Identity, LocalCluster, PresignedToken, sign};
use proptest::prelude::*;
use rand::distr::{Alphanumeric, SampleString};
use rand::{Rng, RngExt, SeedableRng};
use support::{config, connect_as, connect_with, sdk_token, token};
use tokio_postgres::Config;

const HOST: &str = "peccy.dsql.us-east-1.on.aws";
const REGION: &str = "us-east-1";

/// The SDK's own test vectors, and one with a session token from an independent implementation.
#[test]
fn known_tokens_verify_and_sign_to_the_same_text() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_724_716_800);
    for (action, expires, session, signature) in [
        (
            Action::DbConnect,
            450,
            None,
            "f5f2ad764ca5df44045d4ab6ccecba0eef941b0007e5765885a0b6ed3702a3f8",
        ),
        (
            Action::DbConnectAdmin,
            450,
            None,
            "267cf8d04d84444f7a62d5bdb40c44bfc6cb13dd6c64fa7f772df6bbaa90fff1",
        ),
        (
            Action::DbConnect,
            900,
            Some("sess/ion+tok=en"),
            "006ffc93144dc3da834d471b43aa77e8e5f30a4ba2920cc6e06205446ccdc31c",
        ),
    ] {
        let identity = Identity::new("arn", "akid", "secret", session.map(str::to_owned));
        let token = sign(
            &identity,
            HOST,
            REGION,
            action,
            at,
            Duration::from_secs(expires),
        );
        assert!(
            token.ends_with(&format!("&X-Amz-Signature={signature}")),
            "{token}"
        );
        let parsed = PresignedToken::parse(&token).unwrap();
        assert_eq!(parsed.action(), action);
        assert_eq!(parsed.verify(&identity, HOST, REGION, at), Ok(()));
    }
}

#[tokio::test]
async fn a_thousand_sdk_tokens_are_accepted() {
    let seed = rand::random();
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    for round in 0..1_000 {
        let session = rng
            .random_bool(0.5)
            .then(|| random_base64(&mut rng, 1, 1_000));
        let key = Alphanumeric.sample_string(&mut rng, 20);
        let identity = Identity::new("arn", key, random_base64(&mut rng, 1, 64), session);
        let action = [Action::DbConnect, Action::DbConnectAdmin][round % 2];
        let host = format!(
            "{}.dsql.{REGION}.on.aws",
            Alphanumeric.sample_string(&mut rng, 26).to_lowercase()
        );
        let token = sdk_token(&identity, &host, REGION, action).await;
        let parsed = PresignedToken::parse(&token).unwrap();
        assert_eq!(parsed.action(), action);
        let verified = parsed.verify(&identity, &host, REGION, SystemTime::now());
        assert_eq!(verified, Ok(()), "round {round} of seed {seed}: {token}");
    }
}

fn random_base64(rng: &mut impl Rng, least: usize, most: usize) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    (0..rng.random_range(least..=most))
        .map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())]))
        .collect()
}

fn accepted(token: &[u8], identity: &Identity, now: SystemTime) -> bool {
    let Ok(token) = str::from_utf8(token) else {
        return false;
    };
    PresignedToken::parse(token).is_ok_and(|parsed| {
        parsed.access_key_id() == identity.access_key_id()
            && parsed.verify(identity, HOST, REGION, now).is_ok()
    })
}

fn identity() -> Identity {
    Identity::new(
        "arn",
        "AKIDEXAMPLE",
        "se/cr+et",
        Some("to/k+en==".to_owned()),
    )
}

/// Changes each position to each byte.
#[test]
fn any_changed_byte_is_refused() {
    let now = SystemTime::now();
    let identity = identity();
    let signed = sign(
        &identity,
        HOST,
        REGION,
        Action::DbConnect,
        now,
        Duration::from_secs(900),
    );
    let mut token = signed.into_bytes();
    assert!(accepted(&token, &identity, now));
    for position in 0..token.len() {
        let right = token[position];
        for wrong in (0..=255).filter(|byte| *byte != right) {
            token[position] = wrong;
            assert!(
                !accepted(&token, &identity, now),
                "byte {position}: {right} as {wrong}"
            );
        }
        token[position] = right;
    }
}

proptest! {
    #[test]
    fn any_removal_or_insertion_is_refused(
        position in any::<prop::sample::Index>(),
        length in 1usize..20,
        inserted in "[ -~]{1,5}",
    ) {
        let now = SystemTime::now();
        let identity = identity();
        let lifetime = Duration::from_secs(900);
        let token = sign(&identity, HOST, REGION, Action::DbConnectAdmin, now, lifetime);
        let at = position.index(token.len());
        let mut longer = token.clone();
        longer.insert_str(at, &inserted);
        prop_assert!(!accepted(longer.as_bytes(), &identity, now));
        let mut shorter = token.clone();
        shorter.replace_range(at..(at + length).min(token.len()), "");
        prop_assert!(!accepted(shorter.as_bytes(), &identity, now));
    }

    #[test]
    fn parameters_can_be_in_any_order(
        order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let now = SystemTime::now();
        let identity = identity();
        let token = sign(&identity, HOST, REGION, Action::DbConnect, now, Duration::from_secs(900));
        let (host, query) = token.split_once('?').unwrap();
        let parameters: Vec<_> = query.split('&').collect();
        prop_assert_eq!(parameters.len(), order.len());
        let shuffled = order.iter().map(|index| parameters[*index]).collect::<Vec<_>>().join("&");
        let token = format!("{host}?{shuffled}");
        prop_assert!(accepted(token.as_bytes(), &identity, now));
    }

    #[test]
    fn signed_tokens_are_accepted_from_any_identity(
        key in "[^/]{1,20}",
        secret in ".{0,40}",
        session in prop::option::of(".{0,60}"),
        host in "[^/]{1,60}",
        region in "[^/]{0,20}",
        seconds in 0..253_402_300_800_u64,
        expires in 1..=604_800_u64,
    ) {
        let identity = Identity::new("arn", key, secret, session);
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let lifetime = Duration::from_secs(expires);
        let token = sign(&identity, &host, &region, Action::DbConnect, at, lifetime);
        let parsed = PresignedToken::parse(&token).unwrap();
        prop_assert_eq!(parsed.access_key_id(), identity.access_key_id());
        prop_assert_eq!(parsed.verify(&identity, &host, &region, at), Ok(()));
        let session_token = identity.session_token().map(str::to_owned);
        let other = Identity::new("arn", identity.access_key_id(), "another", session_token);
        if identity.secret_access_key() != "another" {
            prop_assert_eq!(parsed.verify(&other, &host, &region, at), Err(Flaw::WrongSignature));
        }
    }

    #[test]
    fn mutated_tokens_are_refused(token in mutated("token")) {
        let original = inputs("token")
            .iter()
            .any(|(_, input)| sorted_parts(input) == sorted_parts(&token));
        prop_assert!(original || !is_valid_input(&token));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        prop_assert!(PresignedToken::parse(&text).is_err());
    }

    #[test]
    fn no_query_panics(query in "([A-Za-z-]{0,12}(=[%0-9A-Za-z/]{0,12})?&?){0,8}") {
        let token = format!("{HOST}/?{query}");
        prop_assert!(PresignedToken::parse(&token).is_err());
    }
}

#[test]
fn only_unchanged_tokens_of_the_corpus_are_accepted() {
    let kept = inputs("token");
    walk("token", |token| {
        let is_kept = kept.iter().any(|(_, kept)| kept == token);
        assert_eq!(is_valid_input(token), is_kept);
    });
}

/// Returns whether a token is one of the corpus, and verifies.
fn is_valid_input(token: &[u8]) -> bool {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_724_716_800);
    [None, Some("sess/ion+tok=en".to_owned())]
        .into_iter()
        .any(|session| {
            let identity = Identity::new("arn", "akid", "secret", session);
            accepted(token, &identity, at)
        })
}

/// Returns a token's parts in a fixed order.
fn sorted_parts(token: &[u8]) -> Vec<&[u8]> {
    let mut parts: Vec<_> = token.split(|byte| b"?&".contains(byte)).collect();
    parts.sort_unstable();
    parts
}

#[test]
fn other_encodings_of_a_token_are_refused() {
    let now = SystemTime::now();
    let identity = identity();
    let token = sign(
        &identity,
        HOST,
        REGION,
        Action::DbConnect,
        now,
        Duration::from_secs(900),
    );
    for (from, to) in [
        ("%2F", "%2f"),
        ("%2F", "/"),
        ("%2B", "+"),
        ("host&", "%68ost&"),
        ("Action=DbConnect&", "Action=DbConnect&Action=DbConnect&"),
        ("X-Amz-Expires=900", "X-Amz-Expires=0900"),
        ("X-Amz-Expires=900", "X-Amz-Expires=+900"),
        ("/?", "/?&"),
        ("peccy", "https://peccy"),
        ("peccy", "PECCY"),
        (".aws/?", ".aws:5432/?"),
        (".aws/?", ".aws/x/?"),
    ] {
        let other = token.replacen(from, to, 1);
        assert_ne!(other, token);
        assert!(!accepted(other.as_bytes(), &identity, now), "{other}");
    }
}

#[test]
fn a_token_is_valid_from_its_date_to_its_expiry() {
    let at = SystemTime::now();
    let identity = identity();
    let second = Duration::from_secs(1);
    let minutes = 60 * second;
    let token = |expires| sign(&identity, HOST, REGION, Action::DbConnect, at, expires);
    let verify =
        |token: &str, now| PresignedToken::parse(token)?.verify(&identity, HOST, REGION, now);
    let token_of_a_quarter = token(15 * minutes);
    assert_eq!(
        verify(&token_of_a_quarter, at + 15 * minutes - 2 * second),
        Ok(())
    );
    assert!(matches!(
        verify(&token_of_a_quarter, at + 15 * minutes),
        Err(Flaw::Expired { .. })
    ));
    assert_eq!(verify(&token_of_a_quarter, at - 4 * minutes), Ok(()));
    assert!(matches!(
        verify(&token_of_a_quarter, at - 6 * minutes),
        Err(Flaw::NotYetCurrent { .. })
    ));
    let week = 7 * 24 * 60 * minutes;
    assert_eq!(verify(&token(week), at), Ok(()));
    assert_eq!(verify(&token(week + second), at), Err(Flaw::TooLong));
    assert_eq!(
        verify(&token(Duration::ZERO), at),
        Err(Flaw::Malformed("X-Amz-Expires"))
    );
}

#[tokio::test]
async fn wrong_tokens_get_the_services_errors() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = cluster.admin();
    let (host, region) = (cluster.endpoint(), cluster.region());
    let secret = Identity::new(
        admin.arn(),
        admin.access_key_id(),
        "other",
        admin.session_token().map(str::to_owned),
    );
    let session = Identity::new(
        admin.arn(),
        admin.access_key_id(),
        admin.secret_access_key(),
        None,
    );
    let stranger = Identity::new("arn", "AKIASTRANGER", "x", None);
    let action = Action::DbConnectAdmin;
    for (token, hint) in [
        (
            sdk_token(&secret, host, region, action).await,
            "The request signature we calculated does not match",
        ),
        (
            sdk_token(&session, host, region, action).await,
            "The security token included in the request is invalid.",
        ),
        (
            sdk_token(&stranger, host, region, action).await,
            "The security token included in the request is invalid.",
        ),
        (
            sdk_token(admin, HOST, region, action).await,
            "The request signature we calculated does not match",
        ),
        (
            sdk_token(admin, host, "eu-west-1", action).await,
            "Credential should be scoped to a valid region, not 'eu-west-1'.",
        ),
        (
            sdk_token(admin, host, region, Action::DbConnect).await,
            "Wrong user to action mapping. user: admin, action: DbConnect",
        ),
        (
            "secret".to_owned(),
            "The request signature does not conform to AWS standards",
        ),
    ] {
        let refused = connect_with(&cluster, config(&cluster, "admin").password(&token))
            .await
            .unwrap_err();
        let error = refused.as_db_error().unwrap();
        assert_eq!(error.severity(), "FATAL");
        assert_eq!(error.code().code(), "08006");
        assert_eq!(
            error.message(),
            "unable to accept connection, access denied"
        );
        assert!(error.hint().unwrap().starts_with(hint), "{error:?}");
        assert!(!format!("{error:?}").contains(&token));
    }
    assert_eq!(cluster.counts().logins, 0);
}

#[tokio::test]
async fn ended_session_is_refused_until_another_one_begins() {
    let cluster = LocalCluster::start().await.unwrap();
    let identity = cluster.identity("app", &[Action::DbConnectAdmin]);
    let mut config = config(&cluster, "admin");
    config.password(token(&cluster, &identity, Action::DbConnectAdmin).await);
    connect_with(&cluster, &config).await.unwrap();
    cluster.expire(&identity);
    assert_eq!(
        refused_hint(&cluster, &config).await,
        "The security token included in the request is expired"
    );
    cluster.register(identity, &[Action::DbConnectAdmin]);
    connect_with(&cluster, &config).await.unwrap();
}

#[tokio::test]
async fn token_expiry_follows_the_clusters_clock() {
    let cluster = LocalCluster::start().await.unwrap();
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let mut config = config(&cluster, "admin");
    config.password(&token);
    connect_with(&cluster, &config).await.unwrap();

    let minute = Duration::from_secs(60);
    cluster.clock().advance(16 * minute);
    assert!(
        refused_hint(&cluster, &config)
            .await
            .starts_with("Signature expired: ")
    );
    cluster.clock().rewind(22 * minute);
    assert!(
        refused_hint(&cluster, &config)
            .await
            .starts_with("Signature not yet current: ")
    );
    cluster.clock().reset();
    connect_as(&cluster, "admin", cluster.admin())
        .await
        .unwrap();
}

#[tokio::test]
async fn debug_output_has_no_secrets() {
    let cluster = LocalCluster::start().await.unwrap();
    let app = cluster.identity("app", &[Action::DbConnect]);
    let token = sdk_token(
        &app,
        cluster.endpoint(),
        cluster.region(),
        Action::DbConnect,
    )
    .await;
    let refused = connect_with(&cluster, config(&cluster, "app").password(&token))
        .await
        .unwrap_err();
    let printed = format!(
        "{app:?} {cluster:?} {:?} {:?} {refused:?}",
        cluster.counts(),
        cluster.connections()
    );
    for secret in [
        app.secret_access_key(),
        app.session_token().unwrap(),
        &token,
    ] {
        assert!(!printed.contains(secret));
    }
}

async fn refused_hint(cluster: &LocalCluster, config: &Config) -> String {
    let refused = connect_with(cluster, config).await.unwrap_err();
    refused.as_db_error().unwrap().hint().unwrap().to_owned()
}
