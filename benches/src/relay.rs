//! A network of a known length between programs and the cluster, which notes what passed when.
//!
//! It holds back the first bytes for a whole round trip more: that is what TCP's own greeting would
//! have taken. What is under way holds up nothing behind it, so that what is pipelined takes one
//! delay. Threads and their sleeps are exact to some 60 us, where a runtime's timers round up to
//! milliseconds. The records of TLS tell the phases from outside.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime};
use std::{mem, thread};

use tempfile::TempDir;

/// Relays connections until the process ends.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    folder: TempDir,
    round_trip: Duration,
    noted: Notes,
}

type Notes = Arc<Mutex<Vec<Passage>>>;

/// What passed on one connection.
#[derive(Debug, Clone)]
pub struct Passage {
    accepted: SystemTime,
    /// When the client sent the records of TLS, or its request for it.
    sent: Vec<(SystemTime, Record)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    Request,
    Handshake,
    /// With TLS 1.3: all that is encrypted. The first is the end of the handshake.
    Data(usize),
}

/// How long each phase took, in the order of a connection's life.
#[derive(Debug, Clone, Copy)]
pub struct Phases {
    /// From the start of the process to its first connection.
    pub start: Duration,
    /// TCP's greeting.
    pub tcp: Duration,
    /// The TLS handshake, and the request for it.
    pub tls: Duration,
    /// Startup and password; all that is left, if the first statement comes along.
    pub login: Duration,
    /// From the end of the login to the first row.
    pub query: Duration,
}

impl Relay {
    /// Starts to relay to `target`, in half a round trip each way.
    ///
    /// # Errors
    ///
    /// If the loopback interface has no port left, or the folder for temporary files no place.
    pub fn start(target: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = tcp.local_addr()?;
        let folder = tempfile::tempdir()?;
        let unix = UnixListener::bind(folder.path().join(".s.PGSQL.5432"))?;
        let noted = Notes::default();
        let (route, notes) = (Route { target, round_trip }, noted.clone());
        thread::spawn(move || {
            for client in tcp.incoming() {
                route.take(client.and_then(|client| {
                    client.set_nodelay(true)?;
                    Ok((client, Some(&notes)))
                }));
            }
        });
        thread::spawn(move || {
            for client in unix.incoming() {
                route.take(client.map(|client| (client, None)));
            }
        });
        Ok(Self {
            address,
            folder,
            round_trip,
            noted,
        })
    }

    /// Where the cluster seems to be.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of a Unix socket, as libpq names it, for a driver that can be told no address
    /// beside the host that it verifies. What passes there is not noted.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How long it takes there and back.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Takes the notes on the connections since the last time.
    pub fn take(&self) -> Vec<Passage> {
        mem::take(&mut lock(&self.noted))
    }
}

impl Passage {
    /// Takes the time from `started` to `answered` apart, or tells that this was no whole session.
    pub fn phases(
        &self,
        round_trip: Duration,
        started: SystemTime,
        answered: SystemTime,
    ) -> Option<Phases> {
        let data = |(at, record): &(SystemTime, Record)| match record {
            Record::Data(length) => Some((*at, *length)),
            _ => None,
        };
        let mut data = self
            .sent
            .iter()
            .filter_map(data)
            .filter(|(at, _)| *at <= answered);
        let (finished, _) = data.next()?;
        // The password is a token, and longer than anything else before the first statement.
        data.find(|(_, length)| *length >= TOKEN)?;
        let logged_in = data.next().map_or(answered, |(at, _)| at);
        let between = |from: SystemTime, to: SystemTime| to.duration_since(from).ok();
        Some(Phases {
            start: between(started, self.accepted)?,
            tcp: round_trip,
            tls: between(self.accepted, finished)?.checked_sub(round_trip)?,
            login: between(finished, logged_in)?,
            query: between(logged_in, answered)?,
        })
    }

    /// Counts how often the client waited for an answer until then, TCP's own among them: what it
    /// sends within most of a round trip does not wait for what it sent before. Meaningful if round
    /// trips are longer than the client's own work.
    pub fn waits(&self, round_trip: Duration, answered: SystemTime) -> usize {
        let sent = self.sent.iter().map(|(at, _)| *at);
        let sent: Vec<_> = sent.take_while(|at| *at <= answered).collect();
        let waited = |pair: &&[SystemTime]| {
            let gap = pair[1].duration_since(pair[0]).unwrap_or_default();
            gap >= round_trip.mul_f64(0.9)
        };
        2 + sent.windows(2).filter(waited).count()
    }
}

/// Where connections go.
#[derive(Clone, Copy)]
struct Route {
    target: SocketAddr,
    round_trip: Duration,
}

impl Route {
    fn take<S: Socket>(self, client: io::Result<(S, Option<&Notes>)>) {
        if let Err(error) = client.and_then(|(client, noted)| self.carry(client, noted)) {
            eprintln!("a connection was not relayed: {error}");
        }
    }

    fn carry(self, client: impl Socket, noted: Option<&Notes>) -> io::Result<()> {
        let accepted = (Instant::now(), SystemTime::now());
        let server = TcpStream::connect(self.target)?;
        server.set_nodelay(true)?;
        let passage = noted.map(|noted| {
            let mut passages = lock(noted);
            passages.push(Passage {
                accepted: accepted.1,
                sent: Vec::new(),
            });
            (noted.clone(), passages.len() - 1)
        });
        let mut records = Records::default();
        let note = move |bytes: &[u8]| {
            let now = SystemTime::now();
            if let Some((noted, index)) = &passage
                && let Some(passage) = lock(noted).get_mut(*index)
            {
                records.follow(bytes, |record| passage.sent.push((now, record)));
            }
        };
        let greeted = accepted.0 + self.round_trip;
        let delay = self.round_trip / 2;
        pump(client.twin()?, server.twin()?, greeted, delay, note);
        pump(server, client, greeted, delay, |_| {});
        Ok(())
    }
}

/// A socket that two threads share.
trait Socket: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    /// Says that nothing more will come.
    fn finish(&self) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Socket for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Carries one direction. What comes before the greeting is over arrives as if it were sent at its
/// end.
fn pump(
    mut from: impl Socket,
    mut to: impl Socket,
    greeted: Instant,
    delay: Duration,
    mut note: impl FnMut(&[u8]) + Send + 'static,
) {
    if delay.is_zero() {
        thread::spawn(move || {
            let mut buffer = vec![0; BUFFER];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                note(&buffer[..read]);
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            // It fails if the other side was first, and is done then.
            to.finish().ok();
        });
        return;
    }
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; BUFFER];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let due = Instant::now().max(greeted) + delay;
            note(&buffer[..read]);
            if sender.send((due, buffer[..read].to_owned())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        to.finish().ok();
    });
}

/// Cuts what a client sends into records.
#[derive(Debug, Default)]
struct Records {
    header: Vec<u8>,
    /// How much of the record is to come.
    rest: usize,
}

impl Records {
    fn follow(&mut self, mut bytes: &[u8], mut note: impl FnMut(Record)) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.rest > 0 {
                let passed = self.rest.min(bytes.len());
                self.rest -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.header.push(*first);
            bytes = rest;
            let [kind, _, _, high, low] = self.header[..] else {
                continue;
            };
            self.header.clear();
            let length = usize::from(u16::from_be_bytes([high, low]));
            (self.rest, _) = match kind {
                // A request for TLS begins with its length, eight bytes.
                0 => (3, note(Record::Request)),
                DATA => (length, note(Record::Data(length))),
                _ => (length, note(Record::Handshake)),
            };
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const BUFFER: usize = 16 * 1024;
/// TLS's content type of what is encrypted.
const DATA: u8 = 23;
/// A shorter message is no token: they have a signature, a credential and mostly a session token.
const TOKEN: usize = 500;
