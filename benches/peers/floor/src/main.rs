//! The lower bound: the first row of a new process by blocking sockets, ring and rustls alone.
//! Startup packet, password and query are all sent with the end of the TLS handshake.
//!
//! It expects the usual replies, and every error ends it: a measure, not a client.

mod token;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::{env, fs};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn main() -> Result<(), Box<dyn Error>> {
    let host = env::var("DSQL_ENDPOINT")?;
    let address: IpAddr = env::var("DSQL_HOSTADDR")?.parse()?;
    let port: u16 = env::var("DSQL_PORT")?.parse()?;

    let mut roots = RootCertStore::empty();
    let pem = fs::read(env::var("DSQL_CA_FILE")?)?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];

    let token = token::sign(&host)?;
    let mut flight = startup();
    put(&mut flight, b'p', &[token.as_bytes(), b"\0"].concat());
    put(&mut flight, b'P', b"\0SELECT $1\0\0\x01\0\0\0\x17");
    put(
        &mut flight,
        b'B',
        b"\0\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x01\0\x01\0\x01",
    );
    put(&mut flight, b'D', b"P\0");
    put(&mut flight, b'E', b"\0\0\0\0\0");
    put(&mut flight, b'S', b"");

    let socket = TcpStream::connect((address, port))?;
    socket.set_nodelay(true)?;
    let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from(host)?)?;
    // Kept until the handshake is done, and sent with its end.
    tls.writer().write_all(&flight)?;
    let mut stream = StreamOwned::new(tls, socket);
    stream.flush()?;
    println!("{}", first_row(&mut stream)?);
    Ok(())
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0admin\0database\0postgres\0\0";
    let mut packet = length(body);
    packet.extend(body);
    packet
}

fn put(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    out.extend(length(body));
    out.extend(body);
}

/// The length before a message, which includes itself.
fn length(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("messages are short");
    length.to_be_bytes().to_vec()
}

fn first_row(stream: &mut impl Read) -> io::Result<i32> {
    let mut unread = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while let Some((header, rest)) = unread.split_first_chunk::<5>() {
            let [tag, length @ ..] = *header;
            let length = u32::from_be_bytes(length) as usize - 4;
            let Some((body, rest)) = rest.split_at_checked(length) else {
                break;
            };
            match (tag, body) {
                // One column, of four bytes.
                (b'D', [.., a, b, c, d]) => return Ok(i32::from_be_bytes([*a, *b, *c, *d])),
                (b'E', said) => return Err(io::Error::other(String::from_utf8_lossy(said))),
                _ => unread = rest.to_vec(),
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => unread.extend(&chunk[..read]),
        }
    }
}
