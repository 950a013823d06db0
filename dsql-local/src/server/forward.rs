//! A session after its login: opens a backend and relays frames in both directions. `request`
//! checks the client's frames, `conflict` sends them to the engine, and `reply` rewrites the
//! engine's.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::conflict::{Guard, SharedCatalog};
use crate::faults::{Direction, Stage};
use crate::protocol::ending::Ending;
use crate::protocol::exchange::SharedExchange;
use crate::protocol::frame;
use crate::server::cluster::Cluster;
use crate::server::log::Recorder;
use crate::server::login::Session;
use crate::server::reply::Replies;
use crate::server::request::{Next, Requests};
use crate::server::socket::Pace;
use crate::server::wire::{READ_AHEAD, Wire};
use crate::server::{backend, effect, late};

/// Runs a session until it ends.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    cluster: &Cluster,
    wire: &mut Wire<S>,
    session: &Session,
    recorder: &Recorder,
) -> Ending {
    let exchange = SharedExchange::default();
    let replied = Notify::new();
    let pace = wire.pace.clone();
    tokio::select! {
        biased;
        ending = relay(cluster, wire, session, recorder, &exchange, &replied) => ending,
        () = expire(cluster, session, &exchange, &replied) => {
            recorder.count(|counts| counts.expired += 1);
            Ending::Expired
        }
        ending = idle_fault(cluster, &pace, &exchange, &replied) => ending,
    }
}

/// Waits until the engine ended. A backend can outlive its postmaster by a statement, so the
/// session must not wait for its own backend: the owner of the cluster knows earlier.
async fn engine_ended(cluster: &Cluster) {
    let mut ended = cluster.engine_ended.clone();
    if ended.wait_for(|ended| *ended).await.is_err() {
        // The sender was dropped together with the cluster.
        std::future::pending().await
    }
}

/// Applies faults while no reply is pending. Returns when a fault ends the session.
async fn idle_fault(
    cluster: &Cluster,
    pace: &Pace,
    exchange: &SharedExchange,
    replied: &Notify,
) -> Ending {
    let mut added = cluster.faults.added();
    loop {
        // Faults that were added up to here are taken by the next lines.
        added.mark_unchanged();
        let is_idle = !exchange.lock().pending.awaits_ready();
        if is_idle
            && let Some(effect) = cluster.faults.at(Stage::Idle)
            && let Err(ending) = effect::apply(effect, pace)
        {
            return ending;
        }
        tokio::select! {
            () = replied.notified() => {}
            // An error means that the cluster was dropped, and this session with it.
            Ok(()) = added.changed() => {}
        }
    }
}

/// Waits until the session is past its maximum age, and either idle or in a transaction for longer
/// than the transaction age.
async fn expire(cluster: &Cluster, session: &Session, exchange: &SharedExchange, replied: &Notify) {
    let end = session.opened.saturating_add(cluster.session_limit);
    cluster.uptime.reached(end).await;
    let last = cluster
        .uptime
        .reached(end.saturating_add(cluster.transaction_age));
    let idle = async {
        while !exchange.lock().is_idle() {
            replied.notified().await;
        }
    };
    tokio::select! {
        () = last => {}
        () = idle => {}
    }
}

async fn relay<S: AsyncRead + AsyncWrite + Unpin>(
    cluster: &Cluster,
    wire: &mut Wire<S>,
    session: &Session,
    recorder: &Recorder,
    exchange: &SharedExchange,
    replied: &Notify,
) -> Ending {
    match first_statement(wire, recorder).await {
        Ok(()) => {}
        Err(ending) => return ending,
    }
    let _counted = recorder.backend();
    let (backend, corrections) = match backend::open(cluster, session).await {
        Ok(opened) => opened,
        Err(ending) => return ending,
    };
    let (mut from_engine, to_engine) = backend.into_split();
    let (tap, diverted) = Guard::tap();
    let (replies_of_guard, mut from_guard) = mpsc::unbounded_channel();
    let mut guard = Guard::new(
        to_engine,
        &tap,
        diverted,
        replies_of_guard,
        exchange,
        replied,
        &cluster.conflicts,
    );
    let catalog = SharedCatalog::default();
    let (mut from_client, mut to_client) = tokio::io::split(&mut wire.stream);

    let pace = &wire.pace;
    let hang_up = Notify::new();
    let inward = async {
        let mut requests = Requests::new(cluster, recorder, exchange, &catalog, pace)
            .with_control(session.control);
        let unread = &mut wire.unread;
        let mut out = BytesMut::new();
        loop {
            let next = requests.take(unread, &mut out);
            if let Some(late) = requests.late() {
                hang_up.notify_one();
                guard.withhold(&out)?;
                let delivery = late::due(cluster, late);
                tokio::pin!(delivery);
                loop {
                    tokio::select! {
                        () = &mut delivery => break,
                        request = guard.requested() => guard.grant(request).await?,
                    }
                }
                guard.send(&mut out).await?;
                let _late = timeout(REPLY_TIMEOUT, all_replied(exchange, replied)).await;
                return Err(Ending::Cut);
            }
            let mut has_read = false;
            if !out.is_empty() {
                let sent = guard.send(&mut out);
                tokio::pin!(sent);
                // A client that closed its side cannot send what the engine may wait for.
                let mut is_closed = false;
                loop {
                    let may_read = !is_closed && unread.len() < READ_AHEAD;
                    tokio::select! {
                        biased;
                        sent = &mut sent => break sent?,
                        read = from_client.read_buf(unread), if may_read => {
                            is_closed = read? == 0;
                            has_read |= !is_closed;
                        }
                        () = tokio::time::sleep(REPLY_TIMEOUT), if is_closed => {
                            return Err(Ending::Closed);
                        }
                    }
                }
            }
            match next {
                Ok(Next::More) => {}
                Ok(Next::Terminate) => return Ok(()),
                Err(ending) => {
                    if matches!(ending, Ending::Refused(_)) {
                        // The error belongs to the latest frame, so earlier replies come first. The
                        // engine may never send some of them.
                        let _late = timeout(REPLY_TIMEOUT, all_replied(exchange, replied)).await;
                    }
                    return Err(ending);
                }
            }
            if has_read {
                delay(cluster, Direction::ToServer).await;
                continue;
            }
            unread.reserve(READ_AHEAD);
            let read = loop {
                tokio::select! {
                    biased;
                    read = from_client.read_buf(unread) => break read?,
                    request = guard.requested() => guard.grant(request).await?,
                }
            };
            if read == 0 {
                return Err(Ending::Closed);
            }
            delay(cluster, Direction::ToServer).await;
        }
    };
    let outward = async {
        let mut unread = BytesMut::new();
        let mut accepted = BytesMut::new();
        let mut out = corrections;
        let mut is_hung_up = false;
        let mut replies = Replies::new(cluster, recorder, exchange, &catalog, pace);
        loop {
            unread.reserve(READ_AHEAD);
            let ended = tokio::select! {
                biased;
                () = hang_up.notified() => {
                    is_hung_up = true;
                    let _gone = to_client.shutdown().await;
                    continue;
                }
                Some(bytes) = from_guard.recv() => {
                    accepted.unsplit(bytes);
                    replies.take(&mut accepted, &mut out)
                }
                read = from_engine.read_buf(&mut unread) => {
                    if read.unwrap_or(0) == 0 {
                        return Err::<(), _>(Ending::EngineClosed);
                    }
                    match tap.divert(&mut unread) {
                        Ok(true) => continue,
                        Ok(false) => replies.take(&mut unread, &mut out),
                        Err(malformed) => Err(malformed.into()),
                    }
                }
            };
            if is_hung_up {
                out.clear();
            }
            if !out.is_empty() {
                delay(cluster, Direction::ToClient).await;
                to_client.write_all(&out).await?;
                to_client.flush().await?;
                out.clear();
            }
            ended?;
            replied.notify_waiters();
        }
    };
    tokio::pin!(outward);
    tokio::select! {
        ended = &mut outward => ended.err().unwrap_or(Ending::EngineClosed),
        ended = inward => match ended {
            // The engine replies to the frames before Terminate, and then closes.
            Ok(()) => match outward.await {
                Err(ending @ (Ending::Cut | Ending::Reset)) => ending,
                Ok(()) | Err(_) => Ending::Closed,
            },
            Err(ending) => ending,
        },
        // A session without a backend learns it from its first statement instead: an error before
        // any statement could reach the client as a closed connection.
        () = engine_ended(cluster) => Ending::EngineClosed,
    }
}

/// Waits until no reply is pending.
async fn all_replied(exchange: &SharedExchange, replied: &Notify) {
    while exchange.lock().pending.awaits_ready() {
        replied.notified().await;
    }
}

/// Waits for the first frame: a session that sends none needs no backend.
async fn first_statement<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    recorder: &Recorder,
) -> Result<(), Ending> {
    loop {
        match frame::header(&wire.unread)? {
            Some((b'X', _)) => {
                recorder.flight("X", false);
                return Err(Ending::Closed);
            }
            Some(_) => return Ok(()),
            None => wire.fill().await?,
        }
    }
}

async fn delay(cluster: &Cluster, direction: Direction) {
    if let Some(by) = cluster.faults.delay(direction) {
        tokio::time::sleep(by).await;
    }
}

/// How long the engine may take to reply before a session closes without its replies.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
