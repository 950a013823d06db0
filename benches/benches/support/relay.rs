//! A network of a known length between client and cluster.
//!
//! What a sleep per read would get wrong: bytes that are under way do not hold up those behind them, so that what is pipelined
//! takes one delay. Threads and their sleeps are exact to some 60 us, where a runtime's timers round up to milliseconds.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Relays connections until the process ends.
pub(crate) struct Relay {
    address: SocketAddr,
    /// For the driver that cannot be told an address beside a host name: it dials this folder's socket.
    folder: TempDir,
}

impl Relay {
    /// Starts to relay to `target`, in half a round trip each way.
    pub(crate) fn start(target: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let unix = UnixListener::bind(folder.path().join(".s.PGSQL.5432"))?;
        let address = tcp.local_addr()?;
        let delay = round_trip / 2;
        thread::spawn(move || {
            for client in tcp.incoming() {
                let _ = client.and_then(|client| {
                    client.set_nodelay(true)?;
                    carry(client, target, delay)
                });
            }
        });
        thread::spawn(move || {
            for client in unix.incoming() {
                let _ = client.and_then(|client| carry(client, target, delay));
            }
        });
        Ok(Self { address, folder })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of the Unix socket, as libpq names it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A socket that two threads share.
trait Socket: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    fn finish(&self);
}

impl Socket for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Socket for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

fn carry(client: impl Socket, target: SocketAddr, delay: Duration) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    server.set_nodelay(true)?;
    pump(client.twin()?, server.twin()?, delay);
    pump(server, client, delay);
    Ok(())
}

fn pump(mut from: impl Socket, mut to: impl Socket, delay: Duration) {
    if delay.is_zero() {
        thread::spawn(move || {
            let mut buffer = vec![0; BUFFER];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            to.finish();
        });
        return;
    }
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; BUFFER];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let due = Instant::now() + delay;
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
        to.finish();
    });
}

const BUFFER: usize = 16 * 1024;
