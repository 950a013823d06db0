//! The listener: accepts sockets, agrees on TLS in either way, and carries out how a connection
//! ends. `local` starts it; inside, `session` logs in and `forward` does the rest.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use crate::cluster::{Cluster, Fate};
use crate::count::{Entry, Outcome};
use crate::ending::Ending;
use crate::fault::Stage;
use crate::forward;
use crate::frame::{self, Startup};
use crate::refusal::Refusal;
use crate::session::{self, Wire};
use crate::socket::Socket;

/// Accepts until it is dropped; the connections go with it.
pub(crate) async fn listen(listener: TcpListener, cluster: Arc<Cluster>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let fate = cluster.fate.subscribe();
                    connections.spawn(connection(cluster.clone(), stream, fate));
                }
                Err(error) => {
                    // Out of descriptors, mostly: some connection's end gives one back.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection ended by a mistake of the front's");
                }
            }
        }
    }
}

/// Serves one socket to its end. The entry is dropped last, when the socket is closed.
async fn connection(cluster: Arc<Cluster>, stream: TcpStream, mut fate: watch::Receiver<Fate>) {
    let entry = cluster.ledger.accepted();
    let Ok(socket) = Socket::new(stream) else {
        return;
    };
    let conversation = converse(&cluster, socket.clone(), &entry);
    tokio::pin!(conversation);
    let broken_off = async {
        socket.pace().slowed_down().await;
        cluster.faults.released().await;
    };
    let ending = tokio::select! {
        biased;
        fate = befallen(&mut fate) => match fate {
            Fate::Reset => {
                entry.count(|counts| counts.reset += 1);
                Ending::Reset
            }
            Fate::BlackHole => {
                entry.count(|counts| counts.black_holed += 1);
                // Neither polled nor dropped: the backend keeps what it locked.
                entry.ended(Outcome::Cut);
                cluster.faults.released().await;
                Ending::Cut
            }
            Fate::Live | Fate::Cut => {
                entry.count(|counts| counts.cut += 1);
                Ending::Cut
            }
        },
        () = broken_off => Ending::Cut,
        ending = &mut conversation => ending,
    };
    entry.ended(ending.outcome());
    match ending {
        Ending::Reset => {
            if let Err(error) = socket.reset_on_close() {
                tracing::warn!(%error, "the reset will be an ordinary close");
            }
        }
        Ending::Stalled => cluster.faults.released().await,
        Ending::Closed
        | Ending::Refused(_)
        | Ending::Cut
        | Ending::Expired
        | Ending::Garbage
        | Ending::TlsFailed(_)
        | Ending::LoginTimedOut
        | Ending::Failed(_)
        | Ending::Malformed(_)
        | Ending::EngineClosed => {}
    }
}

async fn befallen(fate: &mut watch::Receiver<Fate>) -> Fate {
    match fate.changed().await {
        Ok(()) => *fate.borrow_and_update(),
        Err(_) => Fate::Cut,
    }
}

async fn converse(cluster: &Cluster, socket: Socket, entry: &Entry) -> Ending {
    let deadline = Instant::now() + cluster.login_deadline;
    let tls = match timeout_at(deadline, handshake(cluster, socket, entry)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(ending)) => return ending,
        Err(_) => return Ending::LoginTimedOut,
    };
    let name = tls.get_ref().1.server_name().map(str::to_owned);
    let pace = tls.get_ref().0.pace().clone();
    let mut wire = Wire::new(tls, pace);
    let login = session::login(cluster, &mut wire, entry, name.as_deref());
    let ending = match timeout_at(deadline, login).await {
        Ok(Ok(session)) => {
            entry.log(|log| log.outcome = Outcome::Open);
            forward::run(cluster, &mut wire, &session, entry).await
        }
        Ok(Err(ending)) => ending,
        Err(_) => Ending::LoginTimedOut,
    };
    let ending = explained(cluster, ending).await;
    farewell(&mut wire.stream, &ending, entry).await;
    ending
}

/// Logs or answers an end that the client could not understand.
async fn explained(cluster: &Cluster, ending: Ending) -> Ending {
    match ending {
        Ending::Malformed(frame::Malformed::TooLong) => {
            tracing::warn!(
                "a message of more than 10 MiB: the session is closed without a word, as the service does it"
            );
            Ending::Malformed(frame::Malformed::TooLong)
        }
        // The session's backend ends before the superuser's, when an engine is killed.
        Ending::EngineClosed => {
            let mut ended = cluster.engine_ended.clone();
            match timeout(ENGINE_PATIENCE, ended.wait_for(|ended| *ended)).await {
                Ok(Ok(_)) => Ending::Refused(Refusal::EngineEnded),
                Ok(Err(_)) | Err(_) => Ending::EngineClosed,
            }
        }
        other => other,
    }
}

/// Agrees on TLS: at once, or after the client asked whether there is any.
async fn handshake(
    cluster: &Cluster,
    socket: Socket,
    entry: &Entry,
) -> Result<TlsStream<Socket>, Ending> {
    strike(cluster, Stage::Accept, &socket, entry).await?;
    let direct = socket.first_byte().await?.ok_or(Ending::Closed)? == TLS_HANDSHAKE;
    let socket = if direct {
        entry.count(|counts| counts.direct += 1);
        socket
    } else {
        ask_for_tls(socket, entry).await?
    };
    let peer = socket.clone();
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket)
        .await
        .map_err(Ending::TlsFailed)?;
    let hello = start.client_hello();
    entry.log(|log| log.sni = hello.server_name().map(str::to_owned));
    let has_alpn = hello.alpn().is_some();
    strike(cluster, Stage::TlsHello, &peer, entry).await?;
    let tls = start
        .into_stream(cluster.tls.clone())
        .await
        .map_err(Ending::TlsFailed)?;
    let (_, agreed) = tls.get_ref();
    entry.tls(
        agreed.server_name(),
        agreed.alpn_protocol(),
        agreed.handshake_kind(),
    );
    if direct && !has_alpn {
        let error = io::Error::other("direct TLS without ALPN");
        return Err(Ending::TlsFailed(error));
    }
    Ok(tls)
}

/// Answers what comes before TLS, in clear text, up to the request for it.
async fn ask_for_tls(socket: Socket, entry: &Entry) -> Result<Socket, Ending> {
    let mut socket = socket;
    for _ in 0..MOST_REQUESTS {
        // Not a byte more than the request: what follows it is TLS's.
        let mut length = [0; 4];
        socket.read_exact(&mut length).await?;
        let rest = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(8..=LONGEST_REQUEST).contains(&rest) {
            return Err(frame::Malformed::Startup.into());
        }
        let mut body = vec![0; rest - 4];
        socket.read_exact(&mut body).await?;
        match Startup::parse(&body)? {
            Startup::SslRequest => {
                entry.count(|counts| counts.ssl_request += 1);
                socket.write_all(b"S").await?;
                return Ok(socket);
            }
            Startup::GssEncRequest => socket.write_all(b"N").await?,
            Startup::CancelRequest => {
                entry.count(|counts| counts.cancel_requests += 1);
                return Err(Ending::Closed);
            }
            Startup::Session(_) | Startup::Unsupported => {
                let ending = Ending::Refused(Refusal::NoTls);
                farewell(&mut socket, &ending, entry).await;
                return Err(ending);
            }
        }
    }
    Err(frame::Malformed::Startup.into())
}

/// Lets a fault strike where there are no words yet.
async fn strike(
    cluster: &Cluster,
    stage: Stage,
    socket: &Socket,
    entry: &Entry,
) -> Result<(), Ending> {
    let Some(effect) = cluster.faults.at(stage) else {
        return Ok(());
    };
    let struck = effect.strike(socket.pace());
    if let Err(ending) = &struck {
        farewell(&mut socket.clone(), ending, entry).await;
    }
    struck
}

/// Says the last words, if any, and sees that they arrive: a socket that closes over unread bytes
/// is reset, and the client would lose them.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ending: &Ending,
    entry: &Entry,
) {
    // The book first: a client that heard the words may look it up.
    entry.ended(ending.outcome());
    let mut words = BytesMut::new();
    match ending {
        Ending::Refused(refusal) => {
            entry.refused(refusal);
            frame::put_refusal(&mut words, refusal);
        }
        Ending::Garbage => words.extend_from_slice(GARBAGE),
        Ending::Closed | Ending::EngineClosed => {}
        Ending::Cut
        | Ending::Reset
        | Ending::Stalled
        | Ending::Expired
        | Ending::TlsFailed(_)
        | Ending::LoginTimedOut
        | Ending::Failed(_)
        | Ending::Malformed(_) => return,
    }
    let goodbye = async {
        stream.write_all(&words).await?;
        stream.shutdown().await?;
        let mut left = [0; 1024];
        for _ in 0..MOST_UNREAD {
            if stream.read(&mut left).await? == 0 {
                break;
            }
        }
        Ok::<_, io::Error>(())
    };
    if let Ok(Err(error)) = timeout(PATIENCE, goodbye).await {
        tracing::debug!(%error, "the client did not wait for the last words");
    }
}

/// The first byte of a TLS record that carries a handshake; no length begins with it.
const TLS_HANDSHAKE: u8 = 0x16;
const MOST_REQUESTS: usize = 3;
/// As long as a startup packet, which is read to be refused.
const LONGEST_REQUEST: usize = 10_000;
const GARBAGE: &[u8] = &[0xff; 64];
/// Kibibytes that a client may still send after the last words.
const MOST_UNREAD: usize = 64;
const PATIENCE: Duration = Duration::from_secs(2);
const ENGINE_PATIENCE: Duration = Duration::from_millis(500);
