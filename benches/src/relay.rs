//! A network with a given latency between programs and the cluster, which records what passes.
//!
//! It delays the first bytes by another round trip, for the TCP handshake. Bytes in flight do not
//! delay later ones, so pipelined messages take one delay. Threads and their sleeps are accurate to
//! about 60 us; a runtime's timers round up to milliseconds. The TLS records reveal the phases.

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
    /// When the client sent its TLS records, or the request for TLS.
    sent: Vec<(SystemTime, Record)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    Request,
    Handshake,
    /// With TLS 1.3: all encrypted records. The first is the end of the handshake.
    Data(usize),
}

/// The duration of each phase, in the order of a connection's life.
#[derive(Debug, Clone, Copy)]
pub struct Phases {
    /// From the start of the process to its first connection.
    pub start: Duration,
    /// The TCP handshake.
    pub tcp: Duration,
    /// The TLS handshake, and the request for it.
    pub tls: Duration,
    /// Startup and password; everything that remains if the first statement is sent with them.
    pub login: Duration,
    /// From the end of the login to the first row.
    pub query: Duration,
}

impl Relay {
    /// Relays to `target`, with half a round trip each way.
    ///
    /// # Errors
    ///
    /// If no port is free on the loopback interface, or the folder for temporary files is full.
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

    /// The relay's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of a Unix socket, as libpq names it, for a driver that takes no address beside
    /// the host that it verifies. This traffic is not recorded.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The round trip time.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Takes the records of the connections since the last call.
    pub fn take(&self) -> Vec<Passage> {
        mem::take(&mut lock(&self.noted))
    }
}

impl Passage {
    /// Splits the time from `started` to `answered` into phases. `None` if this was no whole
    /// session.
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
        // The password is a token, which is longer than anything else before the first statement.
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

    /// Counts the client's waits for a reply until then, including the TCP handshake: what it sends
    /// within most of a round trip did not wait for the reply before. Meaningful if round trips are
    /// longer than the client's own work.
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

/// The target of the relay.
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
    /// Shuts down the writing side.
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

/// Relays one direction. Bytes that arrive during the TCP handshake's delay are forwarded at its
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
            // Fails if the other side was first, which has done the same.
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

/// Splits a client's bytes into records.
#[derive(Debug, Default)]
struct Records {
    header: Vec<u8>,
    /// The remaining bytes of the record.
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
/// TLS's content type of encrypted records.
const DATA: u8 = 23;
/// A shorter message is no token: a token has a signature, a credential and usually a session
/// token.
const TOKEN: usize = 500;
