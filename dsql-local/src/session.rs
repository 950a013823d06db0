//! The login, inside TLS: startup packet, token, and the words that a client waits for before its
//! first statement. `front` brings the stream; `forward` takes over with the session that comes
//! out.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::cluster::Cluster;
use crate::count::Entry;
use crate::ending::Ending;
use crate::engine::DATABASE;
use crate::fault::Stage;
use crate::frame::{self, Frame, Malformed, Parameters, Startup};
use crate::gate::Place;
use crate::host::Hosts;
use crate::identity::Action;
use crate::refusal::Refusal;
use crate::sigv4::{Flaw, PresignedToken};
use crate::socket::Pace;
use crate::{options, random, role};

/// A client's stream and what was read of it but not yet understood.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    pub(crate) unread: BytesMut,
    /// How fast the stream is written to.
    pub(crate) pace: Pace,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, pace: Pace) -> Self {
        Self {
            stream,
            unread: BytesMut::new(),
            pace,
        }
    }

    /// Reads the length-counted packet that has no tag.
    pub(crate) async fn startup(&mut self) -> Result<Startup, Ending> {
        loop {
            if let Some(prefix) = self.unread.first_chunk() {
                let length = usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0);
                if !(8..=LONGEST_STARTUP).contains(&length) {
                    return Err(Malformed::Startup.into());
                }
                if self.unread.len() >= length {
                    let packet = self.unread.split_to(length);
                    return Ok(Startup::parse(&packet[4..])?);
                }
            }
            self.fill().await?;
        }
    }

    async fn frame(&mut self, limit: usize) -> Result<Frame, Ending> {
        loop {
            if let Some(frame) = Frame::cut(&mut self.unread, limit)? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn fill(&mut self) -> Result<(), Ending> {
        self.unread.reserve(READ_AHEAD);
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(Ending::Closed),
            _ => Ok(()),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }
}

/// A login that succeeded.
#[derive(Debug)]
pub(crate) struct Session {
    /// The startup packet for the engine.
    pub(crate) parameters: Vec<(String, String)>,
    /// What the client was told, until the engine knows better.
    pub(crate) told: Vec<(String, String)>,
    /// When it began, by the cluster's uptime.
    pub(crate) opened: Duration,
    /// Whether `admin` asked for control of the local cluster.
    pub(crate) control: bool,
    /// Held until it ends.
    _place: Place,
}

/// Logs a client in.
pub(crate) async fn login<S: AsyncRead + AsyncWrite + Unpin>(
    cluster: &Cluster,
    wire: &mut Wire<S>,
    entry: &Entry,
    name: Option<&str>,
) -> Result<Session, Ending> {
    strike(cluster, wire, Stage::TlsFinished)?;
    let Startup::Session(parameters) = wire.startup().await? else {
        return Err(Refusal::Protocol("invalid startup packet").into());
    };
    entry.log(|log| {
        log.user = parameters.get("user").map(str::to_owned);
        log.application_name = parameters.get("application_name").map(str::to_owned);
    });
    strike(cluster, wire, Stage::Startup)?;
    if let Some(name) = name.filter(|name| Hosts::is_no_endpoint(name)) {
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
    cluster.gate.knock(cluster.uptime.now())?;
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

    entry.log(|log| log.early_password = !wire.unread.is_empty());
    let mut out = BytesMut::new();
    negotiate_version(&parameters, &mut out);
    frame::put(&mut out, b'R', |out| out.put_i32(CLEARTEXT_PASSWORD));
    wire.send(&out).await?;
    let password = wire.frame(LONGEST_PASSWORD).await?;
    strike(cluster, wire, Stage::Password)?;
    authenticate(cluster, host, &user, &password).await?;
    let place = cluster.gate.enter()?;
    // Before the client knows: whatever it lets pass, the session has seen.
    let opened = cluster.uptime.now();
    strike(cluster, wire, Stage::Ready)?;
    entry.count(|counts| counts.logins += 1);

    let told = told(&user, &settings);
    out.clear();
    frame::put(&mut out, b'R', |out| out.put_i32(0));
    for (name, value) in &told {
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
        told,
        opened,
        control,
        _place: place,
    })
}

/// Lets a fault strike, if one is due.
fn strike<S>(cluster: &Cluster, wire: &Wire<S>, stage: Stage) -> Result<(), Ending> {
    let effect = cluster.faults.at(stage);
    effect.map_or(Ok(()), |effect| effect.strike(&wire.pace))
}

/// Tells a client of a newer protocol which one is spoken here.
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
            tracing::warn!(%error, "the book of roles did not answer");
            Err(Ending::EngineClosed)
        }
    }
}

/// What PostgreSQL reports of itself at login.
fn told(user: &str, settings: &[(String, String)]) -> Vec<(String, String)> {
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
/// Without room, a read takes what little is left of the buffer.
pub(crate) const READ_AHEAD: usize = 16 * 1024;
/// As PostgreSQL's MAX_STARTUP_PACKET_LENGTH.
const LONGEST_STARTUP: usize = 10_000;
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
