//! The resolver of a cell's pool, which can simulate faults before the cluster is reached.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Socket, Type};

/// Resolves the endpoint to the cluster's address, unless a fault is set.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Inner>);

struct Inner {
    cluster: SocketAddr,
    state: Mutex<State>,
    /// Kept open, so that no other process listens on this port.
    closed_port: Socket,
    full: FullBacklog,
}

#[derive(Default)]
struct State {
    fault: Option<NetworkFault>,
    lasts: bool,
    struck: u64,
}

/// A fault between the client and the cluster's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkFault {
    /// The name does not exist.
    NoSuchName,
    /// The name server reports a temporary failure.
    TemporaryFailure,
    /// The name server does not reply.
    NameServerSilent,
    /// The port is closed.
    PortClosed,
    /// The address does not answer a TCP handshake.
    NoReply,
}

impl Resolver {
    pub(crate) fn to(cluster: SocketAddr) -> Self {
        Self(Arc::new(Inner {
            cluster,
            state: Mutex::default(),
            closed_port: bound().expect("a closed port"),
            full: FullBacklog::new().expect("a listener whose queue is full"),
        }))
    }

    /// Sets a fault, for one lookup or until it is cleared.
    pub(crate) fn inject(&self, fault: NetworkFault, lasts: bool) {
        let mut state = self.0.state.lock().unwrap();
        state.fault = Some(fault);
        state.lasts = lasts;
    }

    pub(crate) fn clear(&self) {
        self.0.state.lock().unwrap().fault = None;
    }

    /// How often a lookup met a fault.
    pub(crate) fn struck(&self) -> u64 {
        self.0.state.lock().unwrap().struck
    }

    /// For `Config::resolver`.
    pub(crate) async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        match self.take() {
            None => Ok(vec![self.0.cluster]),
            Some(NetworkFault::NoSuchName) => Err(io::Error::other("Name or service not known")),
            Some(NetworkFault::TemporaryFailure) => Err(io::ErrorKind::TimedOut.into()),
            Some(NetworkFault::NameServerSilent) => pending().await,
            Some(NetworkFault::PortClosed) => Ok(vec![address(&self.0.closed_port)?]),
            Some(NetworkFault::NoReply) => Ok(vec![address(&self.0.full.listener)?]),
        }
    }

    fn take(&self) -> Option<NetworkFault> {
        let mut state = self.0.state.lock().unwrap();
        let fault = match state.lasts {
            true => state.fault,
            false => state.fault.take(),
        };
        state.struck += u64::from(fault.is_some());
        fault
    }
}

/// A listener whose queue is full: Linux does not answer further connections.
struct FullBacklog {
    listener: Socket,
    _queued: TcpStream,
}

impl FullBacklog {
    fn new() -> io::Result<Self> {
        let listener = bound()?;
        // Linux queues one connection more than the backlog, and drops the packets of the next
        // ones.
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
