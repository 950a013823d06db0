//! The way to a cluster's port, which a fault may bar before the cluster hears of anything.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Socket, Type};

/// Resolves the cluster's name, to its own address unless a bar is due.
#[derive(Clone)]
pub(crate) struct Door(Arc<Inner>);

struct Inner {
    cluster: SocketAddr,
    bars: Mutex<Bars>,
    /// Held, so that nobody else comes to listen there.
    nobody: Socket,
    deaf: Deaf,
}

#[derive(Default)]
struct Bars {
    due: Option<Bar>,
    lasts: bool,
    struck: u64,
}

/// What a name or an address comes to instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bar {
    /// There is no such name.
    NoSuchName,
    /// No name server answered, for now.
    TemporaryFailure,
    /// No name server answers, nor does anyone say so.
    NameStall,
    /// Nobody listens at the address.
    NobodyListens,
    /// Nobody answers at the address.
    NobodyAnswers,
}

impl Door {
    pub(crate) fn to(cluster: SocketAddr) -> Self {
        Self(Arc::new(Inner {
            cluster,
            bars: Mutex::default(),
            nobody: bound().expect("a port that nobody listens at"),
            deaf: Deaf::new().expect("a port that nobody answers at"),
        }))
    }

    /// Bars the way, once or for as long as it is not cleared.
    pub(crate) fn bar(&self, bar: Bar, lasts: bool) {
        let mut bars = self.0.bars.lock().unwrap();
        bars.due = Some(bar);
        bars.lasts = lasts;
    }

    pub(crate) fn clear(&self) {
        self.0.bars.lock().unwrap().due = None;
    }

    /// How often somebody stood before a bar.
    pub(crate) fn struck(&self) -> u64 {
        self.0.bars.lock().unwrap().struck
    }

    /// What `Config::resolver` is given.
    pub(crate) async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        match self.take() {
            None => Ok(vec![self.0.cluster]),
            Some(Bar::NoSuchName) => Err(io::Error::other("Name or service not known")),
            Some(Bar::TemporaryFailure) => Err(io::ErrorKind::TimedOut.into()),
            Some(Bar::NameStall) => pending().await,
            Some(Bar::NobodyListens) => Ok(vec![address(&self.0.nobody)?]),
            Some(Bar::NobodyAnswers) => Ok(vec![address(&self.0.deaf.listener)?]),
        }
    }

    fn take(&self) -> Option<Bar> {
        let mut bars = self.0.bars.lock().unwrap();
        let due = match bars.lasts {
            true => bars.due,
            false => bars.due.take(),
        };
        bars.struck += u64::from(due.is_some());
        due
    }
}

/// A listener whose queue is full: what else knocks is not answered.
struct Deaf {
    listener: Socket,
    _queued: TcpStream,
}

impl Deaf {
    fn new() -> io::Result<Self> {
        let listener = bound()?;
        // Linux lets one more wait than it is told, and drops the next ones' packets.
        listener.listen(0)?;
        let _queued = TcpStream::connect(address(&listener)?)?;
        Ok(Self { listener, _queued })
    }
}

fn bound() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any_port.into())?;
    Ok(socket)
}

fn address(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}
