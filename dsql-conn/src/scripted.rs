//! A scripted server for tests. It sends fixed bytes, whatever the client sends.

use futures_util::FutureExt;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio_postgres::{Config, Error, NoTls};

/// Returns the two ends of a connection on which the server has sent all its bytes. The client can
/// write as long as the server's end is kept.
pub(crate) fn server(said: &[u8]) -> (DuplexStream, DuplexStream) {
    let (near, mut far) = duplex(said.len() + 64 * 1024);
    let speech = async {
        far.write_all(said).await.unwrap();
        far.shutdown().await.unwrap();
    };
    speech.now_or_never().expect("there is room for all of it");
    (near, far)
}

/// Returns the driver's error for a server that sends these bytes at login, if it is an error.
pub(crate) fn login_error(said: &[u8]) -> Option<Error> {
    let (near, _far) = server(said);
    let mut config = Config::new();
    let login = config
        .user("app")
        .password("token")
        .connect_raw(near, NoTls);
    // The server has sent everything: a login that waited for more would never end.
    login.now_or_never().expect("the login ends").err()
}

/// Returns a message of the server.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + body.len()).unwrap();
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// Returns an error of the server.
pub(crate) fn error(severity: &str, code: &str, text: &str, hint: Option<&str>) -> Vec<u8> {
    let mut body = format!("S{severity}\0V{severity}\0C{code}\0M{text}\0");
    if let Some(hint) = hint {
        body += &format!("H{hint}\0");
    }
    body.push('\0');
    message(b'E', body.as_bytes())
}
