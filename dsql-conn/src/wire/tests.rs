use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use super::session_state::SessionState;
use super::*;
use crate::connect::{ConnectionTask, Tasks};
use crate::corpus::{cut, mistaken, walk};
use crate::scripted::{error, message};
use crate::sqlstate::ServerError;

/// The end of a session with a scripted server.
struct Ended {
    /// What the driver answered to the first statement, if the login succeeded.
    answer: Option<Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>>,
    watch: Watch,
}

/// Opens a session with a server that sends `said` at once and `answered` after the first
/// statement, and waits for its end.
///
/// The clock is paused and only advances when nothing else can happen, so an endless wait fails at
/// once.
fn session(said: &[u8], answered: &[u8]) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let session = async {
        let (near, far) = duplex(64 * 1024);
        let server = tokio::spawn(serve(far, said.to_vec(), answered.to_vec()));
        let watch = Watch::default();
        let wire = Wire::new(near, &watch, None);
        let mut config = Config::new();
        let login = config
            .user("app")
            .password("token")
            .connect_raw(wire, NoTls);
        let Ok((client, connection)) = login.await else {
            watch.close();
            return Ended {
                answer: None,
                watch,
            };
        };
        let task = ConnectionTask::spawn(connection, watch.clone(), &Tasks::default());
        let answer = Some(client.simple_query(QUESTION).await);
        watch.fence().await;
        drop((client, task));
        watch.settled().await;
        watch.until(SessionState::is_closed).await;
        server.await.unwrap();
        Ended { answer, watch }
    };
    let ended = runtime.block_on(async { timeout(Duration::from_secs(3600), session).await });
    ended.unwrap_or_else(|_| {
        panic!(
            "it hangs: {} {}",
            said.escape_ascii(),
            answered.escape_ascii()
        )
    })
}

async fn serve(mut stream: DuplexStream, said: Vec<u8>, answered: Vec<u8>) {
    // The client may close the stream at any of these bytes.
    let _either_way = stream.write_all(&said).await;
    let mut heard = Vec::new();
    let asked = async {
        while !heard.ends_with(QUESTION.as_bytes()) {
            let byte = stream.read_u8().await?;
            heard.extend(Some(byte).filter(|byte| *byte != 0));
        }
        io::Result::Ok(())
    };
    // A client whose login fails sends no statement.
    let _asked_or_not = timeout(Duration::from_secs(1), asked).await;
    let _either_way = stream.write_all(&answered).await;
    let _either_way = stream.shutdown().await;
    let _either_way = stream.read_to_end(&mut heard).await;
}

fn read(said: &[u8], answered: &[u8]) {
    let Ended { answer: _, watch } = session(said, answered);
    assert!(watch.is_closed());
    let shared = watch.shared.lock();
    // Lossy text is up to three times as long.
    let words = shared.transaction.failure.as_ref();
    let words = words.map_or(0, |failure| {
        failure.code().code().len() + failure.message().len()
    });
    let tag = shared.transaction.tag.as_ref().map_or(0, Vec::len);
    assert!(words.max(tag) <= 3 * 1024 + 1);
}

/// The greeting of a server that wants no password.
fn greeting() -> Vec<u8> {
    [message(b'R', &[0; 4]), message(b'Z', b"I")].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_server_makes_it_panic_or_hang(said in mistaken("wire"), asked in any::<Index>()) {
        let (said, answered) = said.split_at(asked.index(said.len() + 1));
        read(said, answered);
    }

    #[test]
    fn no_bytes_after_the_login_make_it_panic_or_hang(
        messages in prop::collection::vec(
            (prop_oneof![Just(b'Z'), Just(b'C'), Just(b'E'), any::<u8>()], any::<Vec<u8>>()),
            0..5,
        ),
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let messages = messages.iter().flat_map(|(tag, body)| message(*tag, body));
        let answered: Vec<u8> = messages.chain(rest).collect();
        read(&greeting(), &answered);
    }

    /// The driver and the watch read the same messages independently.
    #[test]
    fn the_watch_and_the_driver_read_replies_alike(
        code in prop_oneof![Just("40001".to_owned()), "[0-9A-Z]{5}"],
        text in "[^\0]{0,60}",
        hint in prop::option::of("[^\0]{0,20}"),
        status in prop::sample::select(&b"ITE"[..]),
    ) {
        let refusal = error("ERROR", &code, &text, hint.as_deref());
        let answered = [refusal, message(b'Z', &[status])].concat();
        let Ended { answer, watch } = session(&greeting(), &answered);
        let error = answer.unwrap().unwrap_err();
        let error = error.as_db_error().unwrap();
        prop_assert_eq!(watch.failure(), Some(ServerError::from(error)));
        let conflict = watch.conflict().map(|conflict| conflict.message().to_owned());
        prop_assert_eq!(conflict, (code == "40001").then_some(text));
        let expected = match status {
            b'I' => Status::Idle,
            b'T' => Status::Open,
            _ => Status::Failed,
        };
        prop_assert_eq!(watch.status(), expected);
    }

    #[test]
    fn the_state_is_the_same_wherever_messages_are_cut(
        sent in prop::collection::vec(
            (prop::sample::select(&b"QPBESCDHcdfpX"[..]), 0..9_usize),
            0..9,
        ),
        received in mistaken("wire"),
        at in prop::collection::vec(any::<Index>(), 0..9),
    ) {
        let startup = message(0, b"\0\x03\0\0\0");
        let messages = sent.iter().flat_map(|(tag, length)| message(*tag, &vec![0; *length]));
        let sent: Vec<u8> = startup[1..].iter().copied().chain(messages).collect();
        let state = |at: &[Index]| {
            let mut followed = SessionState::default();
            let mut frames = Frames::starting_untagged();
            for piece in cut(&sent, at) {
                frames.follow(piece, |tag, body| followed.sent(tag, body));
            }
            let mut frames = Frames::default();
            for piece in cut(&received, at) {
                frames.follow(piece, |tag, body| followed.received(tag, body));
            }
            format!("{followed:?} {frames:?}")
        };
        prop_assert_eq!(state(&at), state(&[]));
    }
}

#[test]
fn corpus_inputs_are_read_with_any_mistake() {
    walk("wire", |said| read(said, &[]));
}

/// Twice the part of a message that is kept.
#[test]
fn a_conflict_is_found_in_an_error_that_is_cut_short() {
    let text = "\u{e9}".repeat(1024);
    let answered = [error("ERROR", "40001", &text, None), message(b'Z', b"E")].concat();
    let Ended { answer, watch } = session(&greeting(), &answered);
    let answer = answer.unwrap().unwrap_err();
    assert_eq!(answer.as_db_error().unwrap().message(), text);
    let conflict = watch.conflict().unwrap();
    let conflict = conflict.message();
    assert!(text.starts_with(conflict.trim_end_matches('\u{fffd}')) && conflict.len() > 900);
    assert!(conflict.len() <= 1024 + '\u{fffd}'.len_utf8());
}

/// A reply in pieces, with runs of the driver in between, has the same effect as a whole one.
#[tokio::test(start_paused = true)]
async fn a_reply_may_arrive_byte_by_byte() {
    let said = [
        greeting(),
        error(
            "ERROR",
            "40001",
            "change conflicts with another transaction (OC000)",
            None,
        ),
        message(b'Z', b"E"),
    ];
    let (near, mut far) = duplex(1);
    let watch = Watch::default();
    let near = Wire::new(near, &watch, None);
    let server = tokio::spawn(async move {
        let (mut heard, mut says) = tokio::io::split(&mut far);
        let mut nowhere = tokio::io::sink();
        let hears = tokio::io::copy(&mut heard, &mut nowhere);
        let speaks = async {
            says.write_all(&said.concat()).await.unwrap();
            says.shutdown().await.unwrap();
        };
        tokio::join!(hears, speaks).0.unwrap();
    });
    let mut config = Config::new();
    let (client, connection) = config.user("app").connect_raw(near, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    assert!(client.simple_query("SELECT 1").await.is_err());
    assert_eq!(watch.status(), Status::Failed);
    assert!(watch.conflict().is_some() && watch.is_closed());
    drop(client);
    let _ended = driver.await.unwrap();
    server.await.unwrap();
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Two tasks may share a connection, and both may wait until their late statements settle.
#[test]
fn each_caller_that_waits_is_woken() {
    let watch = Watch::default();
    let waits = || watch.fence().left_future();
    let mut waiting = [waits(), watch.settled().right_future(), waits()].map(|waits| {
        let woken = Arc::<Woken>::default();
        (Box::pin(waits), woken)
    });
    for (waits, woken) in &mut waiting {
        let waker = Arc::clone(woken).into();
        for _ in 0..2 {
            let polled = waits.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
    }
    watch.turn_begins(Waker::noop());
    watch.turn_ends();
    for (_, woken) in &waiting {
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }
    // Nobody waits any more.
    watch.close();
    for (_, woken) in &waiting {
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }
}

const QUESTION: &str = "SELECT id FROM t";
