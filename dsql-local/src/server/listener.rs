//! The listener: accepts sockets, negotiates TLS, and closes each connection as its [`Ending`]
//! says. `login` and `forward` run the session in between.

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

use crate::faults::Stage;
use crate::protocol::ending::Ending;
use crate::protocol::frame::{self, Malformed};
use crate::protocol::startup::Startup;
use crate::refusal::Refusal;
use crate::server::cluster::{Cluster, Disruption};
use crate::server::log::{Outcome, Recorder};
use crate::server::socket::Socket;
use crate::server::wire::Wire;
use crate::server::{effect, forward, login};

/// Accepts connections until the future is dropped, which closes them.
pub(crate) async fn listen(listener: TcpListener, cluster: Arc<Cluster>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let disruption = cluster.disruption.subscribe();
                    connections.spawn(connection(cluster.clone(), stream, disruption));
                }
                Err(error) => {
                    // Usually out of file descriptors: the end of another connection frees one.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection task panicked");
                }
            }
        }
    }
}

/// Serves one socket until it closes. The recorder is dropped last, after the socket.
async fn connection(
    cluster: Arc<Cluster>,
    stream: TcpStream,
    mut disruption: watch::Receiver<Disruption>,
) {
    let recorder = cluster.log.accepted();
    let Ok(socket) = Socket::new(stream) else {
        return;
    };
    let mut session = Box::pin(serve(&cluster, socket.clone(), &recorder));
    let slow_and_released = async {
        socket.pace().slowed_down().await;
        cluster.faults.released().await;
    };
    let ending = tokio::select! {
        biased;
        disruption = next(&mut disruption) => match disruption {
            Disruption::Reset => {
                recorder.count(|counts| counts.reset += 1);
                Ending::Reset
            }
            Disruption::BlackHole => {
                recorder.count(|counts| counts.black_holed += 1);
                Ending::Stalled
            }
            Disruption::None | Disruption::Cut => {
                recorder.count(|counts| counts.cut += 1);
                Ending::Cut
            }
        },
        () = slow_and_released => Ending::Cut,
        ending = &mut session => ending,
    };
    // This ends the session's backend, too: other sessions must not wait for the locks of a stalled
    // one.
    drop(session);
    recorder.ended(Outcome::from(&ending));
    match ending {
        Ending::Reset => {
            if let Err(error) = socket.reset_on_close() {
                tracing::warn!(%error, "the socket closes without a reset");
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

async fn next(disruption: &mut watch::Receiver<Disruption>) -> Disruption {
    match disruption.changed().await {
        Ok(()) => *disruption.borrow_and_update(),
        Err(_) => Disruption::Cut,
    }
}

/// Runs the handshake, the login and the session, and sends the final error.
async fn serve(cluster: &Cluster, socket: Socket, recorder: &Recorder) -> Ending {
    let deadline = Instant::now() + cluster.login_deadline;
    let tls = match timeout_at(deadline, handshake(cluster, socket, recorder)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(ending)) => return ending,
        Err(_) => return Ending::LoginTimedOut,
    };
    let name = tls.get_ref().1.server_name().map(str::to_owned);
    let pace = tls.get_ref().0.pace().clone();
    let mut wire = Wire::new(tls, pace);
    let login = login::login(cluster, &mut wire, recorder, name.as_deref());
    let ending = match timeout_at(deadline, login).await {
        Ok(Ok(session)) => {
            recorder.log(|log| log.outcome = Outcome::Open);
            forward::run(cluster, &mut wire, &session, recorder).await
        }
        Ok(Err(ending)) => ending,
        Err(_) => Ending::LoginTimedOut,
    };
    let ending = explain(cluster, ending).await;
    close(&mut wire.stream, &ending, recorder).await;
    ending
}

/// Finds the cause of an ending that gives the client no error, and logs or returns it.
async fn explain(cluster: &Cluster, ending: Ending) -> Ending {
    match ending {
        Ending::Malformed(Malformed::TooLong) => {
            tracing::warn!(
                "a message exceeds 10 MiB; the session closes without an error, like the service's"
            );
            Ending::Malformed(Malformed::TooLong)
        }
        // When an engine is killed, the session's backend ends before the superuser's connection.
        Ending::EngineClosed => {
            let mut ended = cluster.engine_ended.clone();
            match timeout(ENGINE_TIMEOUT, ended.wait_for(|ended| *ended)).await {
                Ok(Ok(_)) => Ending::Refused(Refusal::EngineEnded),
                Ok(Err(_)) | Err(_) => Ending::EngineClosed,
            }
        }
        Ending::Closed
        | Ending::Refused(_)
        | Ending::Cut
        | Ending::Reset
        | Ending::Stalled
        | Ending::Expired
        | Ending::Garbage
        | Ending::TlsFailed(_)
        | Ending::LoginTimedOut
        | Ending::Failed(_)
        | Ending::Malformed(_) => ending,
    }
}

/// Negotiates TLS: directly, or after an SSLRequest.
async fn handshake(
    cluster: &Cluster,
    socket: Socket,
    recorder: &Recorder,
) -> Result<TlsStream<Socket>, Ending> {
    apply_fault(cluster, Stage::Accept, &socket, recorder).await?;
    let direct = socket.first_byte().await?.ok_or(Ending::Closed)? == TLS_HANDSHAKE;
    let socket = if direct {
        recorder.count(|counts| counts.direct += 1);
        socket
    } else {
        ssl_request(socket, recorder).await?
    };
    let peer = socket.clone();
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket)
        .await
        .map_err(Ending::TlsFailed)?;
    let hello = start.client_hello();
    recorder.log(|log| log.sni = hello.server_name().map(str::to_owned));
    let has_alpn = hello.alpn().is_some();
    apply_fault(cluster, Stage::TlsHello, &peer, recorder).await?;
    let tls = start
        .into_stream(cluster.tls.clone())
        .await
        .map_err(Ending::TlsFailed)?;
    let (_, agreed) = tls.get_ref();
    recorder.tls(
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

/// Answers the packets before TLS, in clear text, up to the SSLRequest.
async fn ssl_request(socket: Socket, recorder: &Recorder) -> Result<Socket, Ending> {
    let mut socket = socket;
    for _ in 0..MOST_REQUESTS {
        // Reads no byte past the packet: the next ones belong to TLS.
        let mut length = [0; 4];
        socket.read_exact(&mut length).await?;
        let rest = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(8..=LONGEST_REQUEST).contains(&rest) {
            return Err(Malformed::Startup.into());
        }
        let mut body = vec![0; rest - 4];
        socket.read_exact(&mut body).await?;
        match Startup::parse(&body)? {
            Startup::SslRequest => {
                recorder.count(|counts| counts.ssl_request += 1);
                socket.write_all(b"S").await?;
                return Ok(socket);
            }
            Startup::GssEncRequest => socket.write_all(b"N").await?,
            Startup::CancelRequest => {
                recorder.count(|counts| counts.cancel_requests += 1);
                return Err(Ending::Closed);
            }
            Startup::Session(_) | Startup::Unsupported => {
                let ending = Ending::Refused(Refusal::NoTls);
                close(&mut socket, &ending, recorder).await;
                return Err(ending);
            }
        }
    }
    Err(Malformed::Startup.into())
}

/// Applies a fault before TLS is established.
async fn apply_fault(
    cluster: &Cluster,
    stage: Stage,
    socket: &Socket,
    recorder: &Recorder,
) -> Result<(), Ending> {
    let Some(effect) = cluster.faults.at(stage) else {
        return Ok(());
    };
    let applied = effect::apply(effect, socket.pace());
    if let Err(ending) = &applied {
        close(&mut socket.clone(), ending, recorder).await;
    }
    applied
}

/// Sends the final error, if any, and shuts the stream down. Reads what the client still sends:
/// a socket that closes over unread bytes is reset, and the client would lose the error.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ending: &Ending,
    recorder: &Recorder,
) {
    // Before the error is sent: a client that received it may read the log.
    recorder.ended(Outcome::from(ending));
    let mut out = BytesMut::new();
    match ending {
        Ending::Refused(refusal) => {
            recorder.refused(refusal);
            frame::put_refusal(&mut out, refusal);
        }
        Ending::Garbage => out.extend_from_slice(GARBAGE),
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
    let closing = async {
        stream.write_all(&out).await?;
        stream.shutdown().await?;
        let mut left = [0; 1024];
        for _ in 0..MOST_UNREAD {
            if stream.read(&mut left).await? == 0 {
                break;
            }
        }
        Ok::<_, io::Error>(())
    };
    if let Ok(Err(error)) = timeout(CLOSE_TIMEOUT, closing).await {
        tracing::debug!(%error, "the client disconnected before the final error was sent");
    }
}

/// The first byte of a TLS handshake record. No packet's length begins with it.
const TLS_HANDSHAKE: u8 = 0x16;
const MOST_REQUESTS: usize = 3;
/// The length of a startup packet, which is read in order to refuse it.
const LONGEST_REQUEST: usize = 10_000;
const GARBAGE: &[u8] = &[0xff; 64];
/// Kibibytes that are read after the final error.
const MOST_UNREAD: usize = 64;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
const ENGINE_TIMEOUT: Duration = Duration::from_millis(500);
