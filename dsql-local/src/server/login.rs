//! The login inside TLS: startup packet, token, and the messages that a client expects before its
//! first statement. `forward` continues with the [`Session`].

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::engine::DATABASE;
use crate::faults::Stage;
use crate::iam::identity::Action;
use crate::iam::sigv4::{Flaw, PresignedToken};
use crate::protocol::ending::Ending;
use crate::protocol::frame::{self, Frame};
use crate::protocol::startup::{Parameters, Startup};
use crate::random;
use crate::refusal::Refusal;
use crate::server::admission::Slot;
use crate::server::cluster::Cluster;
use crate::server::host::Hosts;
use crate::server::log::Recorder;
use crate::server::wire::Wire;
use crate::server::{effect, options};
use crate::sql::role;

/// A login that succeeded.
#[derive(Debug)]
pub(crate) struct Session {
    /// The parameters of the startup packet for the engine.
    pub(crate) parameters: Vec<(String, String)>,
    /// The settings that were reported to the client before the backend reports its own.
    pub(crate) reported: Vec<(String, String)>,
    /// The cluster's uptime at the login.
    pub(crate) opened: Duration,
    /// Whether `admin` may control the local cluster by SQL.
    pub(crate) control: bool,
    /// Counts as a connection until the session is dropped.
    _slot: Slot,
}

/// Logs a client in.
pub(crate) async fn login<S: AsyncRead + AsyncWrite + Unpin>(
    cluster: &Cluster,
    wire: &mut Wire<S>,
    recorder: &Recorder,
    name: Option<&str>,
) -> Result<Session, Ending> {
    apply_fault(cluster, wire, Stage::TlsFinished)?;
    let Startup::Session(parameters) = wire.startup().await? else {
        return Err(Refusal::Protocol("invalid startup packet").into());
    };
    recorder.log(|log| {
        log.user = parameters.get("user").map(str::to_owned);
        log.application_name = parameters.get("application_name").map(str::to_owned);
    });
    apply_fault(cluster, wire, Stage::Startup)?;
    if let Some(name) = name.filter(|name| Hosts::is_not_an_endpoint(name)) {
        return Err(Refusal::NotAnEndpoint {
            host: name.to_owned(),
            endpoint: cluster.hosts.public.clone(),
        }
        .into());
    }
    let cluster_id = options::cluster_id(&parameters);
    let host = cluster
        .hosts
        .signed(name, cluster_id.as_deref())
        .ok_or(Refusal::NoSni)?;
    cluster.admission.count_attempt(cluster.uptime.now())?;
    let user = parameters
        .get("user")
        .filter(|user| !user.is_empty())
        .ok_or(Refusal::Protocol(
            "no PostgreSQL user name specified in startup packet",
        ))?
        .to_owned();
    let database = parameters.get("database").unwrap_or(&user);
    if database != DATABASE {
        return Err(Refusal::DatabaseMissing {
            database: database.to_owned(),
        }
        .into());
    }
    let settings = options::settings(&parameters)?;
    let control = options::asks_for_control(&parameters);

    recorder.log(|log| log.early_password = !wire.unread.is_empty());
    let mut out = BytesMut::new();
    negotiate_version(&parameters, &mut out);
    frame::put(&mut out, b'R', |out| out.put_i32(CLEARTEXT_PASSWORD));
    wire.send(&out).await?;
    let password = wire.frame(LONGEST_PASSWORD).await?;
    apply_fault(cluster, wire, Stage::Password)?;
    authenticate(cluster, host, &user, &password).await?;
    let slot = cluster.admission.admit()?;
    // Read the time before the client learns of the login: all time after the login must count for
    // the session.
    let opened = cluster.uptime.now();
    apply_fault(cluster, wire, Stage::Ready)?;
    recorder.count(|counts| counts.logins += 1);

    let reported = reported(&user, &settings);
    out.clear();
    frame::put(&mut out, b'R', |out| out.put_i32(0));
    for (name, value) in &reported {
        frame::put_parameter(&mut out, name, value);
    }
    frame::put(&mut out, b'K', |out| {
        out.put_i32(random::number());
        out.put_i32(random::number());
    });
    frame::put(&mut out, b'Z', |out| out.put_u8(b'I'));
    wire.send(&out).await?;

    let mut parameters = vec![
        ("user".to_owned(), user),
        ("database".to_owned(), DATABASE.to_owned()),
    ];
    parameters.extend(settings);
    Ok(Session {
        parameters,
        reported,
        opened,
        control,
        _slot: slot,
    })
}

/// Applies the pending fault of a stage, if any.
fn apply_fault<S>(cluster: &Cluster, wire: &Wire<S>, stage: Stage) -> Result<(), Ending> {
    let effect = cluster.faults.at(stage);
    effect.map_or(Ok(()), |effect| effect::apply(effect, &wire.pace))
}

/// Reports the supported protocol version to a client with a newer minor version.
fn negotiate_version(parameters: &Parameters, out: &mut BytesMut) {
    let unknown: Vec<_> = options::of_the_protocol(parameters).collect();
    if parameters.minor_version == 0 && unknown.is_empty() {
        return;
    }
    frame::put(out, b'v', |out| {
        out.put_i32(3 << 16);
        out.put_i32(i32::try_from(unknown.len()).unwrap_or(0));
        for name in unknown {
            frame::put_string(out, name.as_bytes());
        }
    });
}

async fn authenticate(
    cluster: &Cluster,
    host: &str,
    user: &str,
    password: &Frame,
) -> Result<(), Ending> {
    if password.tag() != b'p' {
        return Err(Refusal::Protocol("expected password response").into());
    }
    let mut body = password.body();
    let token = frame::take_string(&mut body)?;
    let token =
        str::from_utf8(token).map_err(|_| Refusal::Token(Flaw::Malformed("an encoding")))?;
    let token = PresignedToken::parse(token).map_err(Refusal::Token)?;
    let known = cluster
        .directory
        .find(token.access_key_id())
        .ok_or(Refusal::Token(Flaw::UnknownAccessKey))?;
    token
        .verify(&known.identity, host, &cluster.region, cluster.clock.now())
        .map_err(Refusal::Token)?;
    if known.has_expired {
        return Err(Refusal::Token(Flaw::SessionExpired).into());
    }

    let action = token.action();
    if action != Action::for_user(user) {
        return Err(Refusal::WrongAction {
            user: user.to_owned(),
            action,
        }
        .into());
    }
    let arn = known.identity.arn();
    if !known.allowed.contains(&action) {
        return Err(Refusal::NotAuthorized {
            arn: arn.to_owned(),
            action,
            resource: cluster.arn.clone(),
        }
        .into());
    }
    if action == Action::DbConnectAdmin {
        return Ok(());
    }
    match role::check_login(&cluster.superuser, user, arn).await {
        Ok(checked) => Ok(checked?),
        Err(error) => {
            tracing::warn!(%error, "the engine could not look up the role");
            Err(Ending::EngineClosed)
        }
    }
}

/// Returns the settings that PostgreSQL reports at login.
fn reported(user: &str, settings: &[(String, String)]) -> Vec<(String, String)> {
    REPORTED
        .iter()
        .map(|(name, default)| {
            let set = settings
                .iter()
                .rev()
                .find(|(set, _)| set.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str());
            let value = match *name {
                "session_authorization" => user,
                _ => set.unwrap_or(default),
            };
            ((*name).to_owned(), value.to_owned())
        })
        .collect()
}

const CLEARTEXT_PASSWORD: i32 = 3;
const LONGEST_PASSWORD: usize = 64 * 1024;
const REPORTED: &[(&str, &str)] = &[
    ("application_name", ""),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("integer_datetimes", "on"),
    ("IntervalStyle", "postgres"),
    ("is_superuser", "off"),
    ("server_encoding", "UTF8"),
    ("server_version", "16.15"),
    ("session_authorization", ""),
    ("standard_conforming_strings", "on"),
    ("TimeZone", "UTC"),
];
