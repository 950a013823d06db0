//! Fakes of the endpoints that the SDK's providers call: STS, a container's and an instance's.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, put};
use dsql_local::Identity;
use tokio::net::TcpListener;

/// Answers `AssumeRole` and `AssumeRoleWithWebIdentity`, and returns its URL.
pub(crate) async fn sts(identity: &Identity) -> String {
    let answer = async |State(identity): State<Identity>, body: String| {
        let action = match body.contains("Action=AssumeRoleWithWebIdentity") {
            true => "AssumeRoleWithWebIdentity",
            false => "AssumeRole",
        };
        let xml = format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <{action}Result><Credentials><AccessKeyId>{}</AccessKeyId>\
             <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
             <Expiration>{EXPIRATION}</Expiration></Credentials><AssumedRoleUser><Arn>{}</Arn>\
             <AssumedRoleId>AROA:session</AssumedRoleId></AssumedRoleUser></{action}Result>\
             </{action}Response>",
            identity.access_key_id(),
            identity.secret_access_key(),
            identity.session_token().unwrap(),
            identity.arn(),
        );
        ([(header::CONTENT_TYPE, "text/xml")], xml)
    };
    serve(
        Router::new()
            .route("/", any(answer))
            .with_state(identity.clone()),
    )
    .await
}

/// Answers as the endpoint of ECS and EKS containers, and returns its URL.
pub(crate) async fn container(identity: &Identity) -> String {
    let answer = async |State(identity): State<Identity>, headers: HeaderMap| -> Response {
        match headers
            .get(header::AUTHORIZATION)
            .map(|value| value.as_bytes())
        {
            Some(token) if token == AUTHORIZATION.as_bytes() => json(&identity).into_response(),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        }
    };
    let router = Router::new()
        .route("/keys", get(answer))
        .with_state(identity.clone());
    format!("{}/keys", serve(router).await)
}

/// Answers as an instance's metadata service, and returns its URL.
pub(crate) async fn imds(identity: &Identity) -> String {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    let session = async || {
        (
            [("x-aws-ec2-metadata-token-ttl-seconds", "21600")],
            "session",
        )
    };
    let keys = async |State(identity): State<Identity>| json(&identity);
    let router = Router::new()
        .route("/latest/api/token", put(session))
        .route(ROLES, get(async || "developer"))
        .route(&format!("{ROLES}developer"), get(keys))
        .with_state(identity.clone());
    serve(router).await
}

/// What a credential process prints.
pub(crate) fn process_json(identity: &Identity) -> String {
    format!(
        r#"{{"Version":1,"AccessKeyId":"{}","SecretAccessKey":"{}","SessionToken":"{}",
             "Expiration":"{EXPIRATION}"}}"#,
        identity.access_key_id(),
        identity.secret_access_key(),
        identity.session_token().unwrap(),
    )
}

fn json(identity: &Identity) -> impl IntoResponse + use<> {
    let json = format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{}","SecretAccessKey":"{}",
             "Token":"{}","Expiration":"{EXPIRATION}"}}"#,
        identity.access_key_id(),
        identity.secret_access_key(),
        identity.session_token().unwrap(),
    );
    ([(header::CONTENT_TYPE, "application/json")], json)
}

pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

pub(crate) const AUTHORIZATION: &str = "the container's";

const EXPIRATION: &str = "2100-01-01T00:00:00Z";
