//! A session's life after the login: its own backend, and bytes in both directions.
//! Statements are judged on the way in (`request`) and answers put right on the way out (`reply`).

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::conflict::Guard;
use crate::count::Entry;
use crate::ending::Ending;
use crate::fault::{Direction, Late, Stage};
use crate::frame::{self, Frame, Malformed};
use crate::line::SharedLine;
use crate::refusal::Refusal;
use crate::reply;
use crate::request::{Next, Requests};
use crate::session::{READ_AHEAD, Session, Wire};
use crate::socket::Pace;

/// Carries a session to its end, which is never an `Ok`.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    cluster: &Cluster,
    wire: &mut Wire<S>,
    session: &Session,
    entry: &Entry,
) -> Ending {
    let line = SharedLine::default();
    let answered = Notify::new();
    let pace = wire.pace.clone();
    tokio::select! {
        biased;
        ending = carry(cluster, wire, session, entry, &line, &answered) => ending,
        () = expire(cluster, session, &line, &answered) => {
            entry.count(|counts| counts.expired += 1);
            Ending::Expired
        }
        ending = strike_at_rest(cluster, &pace, &line, &answered) => ending,
        () = engine_ended(cluster) => Ending::EngineClosed,
    }
}

/// Waits for the end of the engine. A backend may outlive its postmaster for a statement, so the
/// end of the session's own backend would tell it later than the owner of the cluster hears of it.
async fn engine_ended(cluster: &Cluster) {
    let mut ended = cluster.engine_ended.clone();
    if ended.wait_for(|ended| *ended).await.is_err() {
        // Whoever would tell it is gone, and with it the cluster.
        std::future::pending().await
    }
}

/// Lets faults strike while no answer is due, and returns when one ends the session.
async fn strike_at_rest(
    cluster: &Cluster,
    pace: &Pace,
    line: &SharedLine,
    answered: &Notify,
) -> Ending {
    let mut added = cluster.faults.added();
    loop {
        // What was added before is asked for now, and only once.
        added.mark_unchanged();
        let at_rest = !line.lock().answers.awaits_ready();
        if at_rest
            && let Some(effect) = cluster.faults.at(Stage::Idle)
            && let Err(ending) = effect.strike(pace)
        {
            return ending;
        }
        tokio::select! {
            () = answered.notified() => {}
            // An error means that the cluster is gone, and with it this session.
            Ok(()) = added.changed() => {}
        }
    }
}

/// Waits until the session has to go: when it is too old and idle, or has been in a transaction for
/// too long since.
async fn expire(cluster: &Cluster, session: &Session, line: &SharedLine, answered: &Notify) {
    let end = session.opened.saturating_add(cluster.session_limit);
    cluster.uptime.reached(end).await;
    let last = cluster
        .uptime
        .reached(end.saturating_add(cluster.transaction_age));
    let idle = async {
        while !line.lock().is_idle() {
            answered.notified().await;
        }
    };
    tokio::select! {
        () = last => {}
        () = idle => {}
    }
}

async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    cluster: &Cluster,
    wire: &mut Wire<S>,
    session: &Session,
    entry: &Entry,
    line: &SharedLine,
    answered: &Notify,
) -> Ending {
    match first_statement(wire, entry).await {
        Ok(()) => {}
        Err(ending) => return ending,
    }
    let _counted = entry.backend();
    let (backend, corrections) = match open(cluster, session).await {
        Ok(opened) => opened,
        Err(ending) => return ending,
    };
    let (mut from_engine, to_engine) = backend.into_split();
    let (tap, diverted) = Guard::tap();
    let (answers, mut answered_by_guard) = mpsc::unbounded_channel();
    let registry = &cluster.conflicts;
    let mut guard = Guard::new(to_engine, &tap, diverted, answers, line, answered, registry);
    let (mut from_client, mut to_client) = tokio::io::split(&mut wire.stream);

    let pace = &wire.pace;
    let hang_up = Notify::new();
    let inward = async {
        let mut requests = Requests::new(cluster, entry, line, pace).with_control(session.control);
        let unread = &mut wire.unread;
        let mut out = BytesMut::new();
        loop {
            let next = requests.take(unread, &mut out);
            if let Some(late) = requests.late() {
                hang_up.notify_one();
                let delivery = delivered(cluster, late);
                tokio::pin!(delivery);
                loop {
                    tokio::select! {
                        () = &mut delivery => break,
                        request = guard.requested() => guard.grant(request).await?,
                    }
                }
                guard.send(&mut out).await?;
                let _late = timeout(PATIENCE, all_answered(line, answered)).await;
                return Err(Ending::Cut);
            }
            let mut has_read = false;
            if !out.is_empty() {
                let sent = guard.send(&mut out);
                tokio::pin!(sent);
                // The engine may wait for more than the client will ever send.
                let mut is_closed = false;
                loop {
                    tokio::select! {
                        biased;
                        sent = &mut sent => break sent?,
                        read = from_client.read_buf(unread), if !is_closed && unread.len() < READ_AHEAD => {
                            is_closed = read? == 0;
                            has_read |= !is_closed;
                        }
                        () = tokio::time::sleep(PATIENCE), if is_closed => return Err(Ending::Closed),
                    }
                }
            }
            match next {
                Ok(Next::More) => {}
                Ok(Next::Terminate) => return Ok(()),
                Err(ending) => {
                    if matches!(ending, Ending::Refused(_)) {
                        // It answers the last question, not one before; some that are never
                        // answered are not waited for.
                        let _late = timeout(PATIENCE, all_answered(line, answered)).await;
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
        let mut replies = reply::Replies::new(cluster, entry, line, pace);
        loop {
            unread.reserve(READ_AHEAD);
            let ended = tokio::select! {
                biased;
                () = hang_up.notified() => {
                    is_hung_up = true;
                    let _gone = to_client.shutdown().await;
                    continue;
                }
                Some(bytes) = answered_by_guard.recv() => {
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
            answered.notify_waiters();
        }
    };
    tokio::pin!(outward);
    let ending = tokio::select! {
        ended = &mut outward => ended.err().unwrap_or(Ending::EngineClosed),
        ended = inward => match ended {
            // The engine answers what came before the goodbye, and then closes.
            Ok(()) => match outward.await {
                Err(ending @ (Ending::Cut | Ending::Reset)) => ending,
                _ => Ending::Closed,
            },
            Err(ending) => ending,
        },
    };
    if matches!(ending, Ending::Stalled) {
        // The backend stays open meanwhile, and keeps what it locked.
        cluster.faults.released().await;
        return Ending::Cut;
    }
    ending
}

/// Waits until a late delivery is due.
async fn delivered(cluster: &Cluster, late: Late) {
    match late {
        Late::By(time) => tokio::time::sleep(time).await,
        Late::ByStatements(statements) => {
            // The session that is late sends none meanwhile.
            let due = cluster.ledger.counts().statements + statements;
            while cluster.ledger.counts().statements < due {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// Waits until no answer is due.
async fn all_answered(line: &SharedLine, answered: &Notify) {
    while line.lock().answers.awaits_ready() {
        answered.notified().await;
    }
}

/// Waits for a reason to open a backend.
async fn first_statement<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    entry: &Entry,
) -> Result<(), Ending> {
    loop {
        match frame::header(&wire.unread)? {
            Some((b'X', _)) => {
                entry.flight("X", false);
                return Err(Ending::Closed);
            }
            Some(_) => return Ok(()),
            None => wire.fill().await?,
        }
    }
}

/// Opens a backend as the session's user. Returns with it what the client has to be told:
/// the settings that the engine reports otherwise than the front did.
async fn open(cluster: &Cluster, session: &Session) -> Result<(UnixStream, BytesMut), Ending> {
    let mut stream = UnixStream::connect(&cluster.socket)
        .await
        .map_err(|_| Ending::EngineClosed)?;
    let mut out = BytesMut::new();
    frame::put_counted(&mut out, |out| {
        out.put_i32(3 << 16);
        for (name, value) in &session.parameters {
            frame::put_string(out, name.as_bytes());
            frame::put_string(out, value.as_bytes());
        }
        out.put_u8(0);
    });
    stream.write_all(&out).await?;

    let mut corrections = BytesMut::new();
    let mut unread = BytesMut::new();
    loop {
        while let Some(frame) = Frame::cut(&mut unread, LONGEST_GREETING)? {
            match frame.tag() {
                b'Z' => return Ok((stream, corrections)),
                b'E' => return Err(refused_by_engine(frame.body()).into()),
                b'S' => correct(session, &frame, &mut corrections)?,
                _ => {}
            }
        }
        if stream.read_buf(&mut unread).await? == 0 {
            return Err(Ending::EngineClosed);
        }
    }
}

fn correct(session: &Session, frame: &Frame, out: &mut BytesMut) -> Result<(), Malformed> {
    let mut body = frame.body();
    let name = frame::take_string(&mut body)?;
    let value = frame::take_string(&mut body)?;
    let told = session
        .told
        .iter()
        .find(|(told, _)| told.as_bytes() == name);
    if told.is_some_and(|(name, told)| name != "server_version" && told.as_bytes() != value) {
        out.put_slice(frame.bytes());
    }
    Ok(())
}

fn refused_by_engine(body: &[u8]) -> Refusal {
    Refusal::Custom {
        fatal: true,
        sqlstate: frame::field(body, b'C').into(),
        message: frame::field(body, b'M').into(),
        hint: Some(frame::field(body, b'H').into())
            .filter(|hint: &std::borrow::Cow<'_, str>| !hint.is_empty()),
    }
}

async fn delay(cluster: &Cluster, direction: Direction) {
    if let Some(by) = cluster.faults.delay(direction) {
        tokio::time::sleep(by).await;
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_GREETING: usize = 64 * 1024;
