//! A server for tests, which says what it was given and nothing more, whatever it is asked.

use futures_util::FutureExt;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio_postgres::{Config, Error, NoTls};

/// Returns the two ends of a connection on which the server has said all that it ever says. Its end
/// is there to be written to, as long as it is kept.
pub(crate) fn server(said: &[u8]) -> (DuplexStream, DuplexStream) {
    let (near, mut far) = duplex(said.len() + 64 * 1024);
    let speech = async {
        far.write_all(said).await.unwrap();
        far.shutdown().await.unwrap();
    };
    speech.now_or_never().expect("there is room for all of it");
    (near, far)
}

/// Returns what the driver makes of a server that says this at login, if it is an error.
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

/// Writes a message of the server's.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + body.len()).unwrap();
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// Writes an error of the server's.
pub(crate) fn error(severity: &str, code: &str, text: &str, hint: Option<&str>) -> Vec<u8> {
    let mut body = format!("S{severity}\0V{severity}\0C{code}\0M{text}\0");
    if let Some(hint) = hint {
        body += &format!("H{hint}\0");
    }
    body.push('\0');
    message(b'E', body.as_bytes())
}
