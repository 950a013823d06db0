//! A client that exposes the protocol's messages: tags, column names, rows as text.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use bytes::BytesMut;
use dsql_local::{Action, LocalCluster};
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{tls, token};

/// A session.
pub(crate) struct Wire {
    stream: TlsStream<TcpStream>,
    unread: BytesMut,
}

/// The answer to one statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) tag: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) error: Option<Error>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) severity: String,
    pub(crate) sqlstate: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Wire {
    /// Connects as `admin`.
    pub(crate) async fn connect(cluster: &LocalCluster) -> Self {
        let token = token(cluster, cluster.admin(), Action::DbConnectAdmin).await;
        let parameters = [("user", "admin"), ("database", "postgres")];
        Self::login(cluster, &parameters, &token).await.unwrap()
    }

    /// Connects with these startup parameters and this password.
    pub(crate) async fn login(
        cluster: &LocalCluster,
        parameters: &[(&str, &str)],
        password: &str,
    ) -> Result<Self, Error> {
        let connector = TlsConnector::from(Arc::new(tls(cluster.ca_der())));
        let stream = TcpStream::connect(cluster.address()).await.unwrap();
        let name = ServerName::try_from(cluster.endpoint().to_owned()).unwrap();
        let mut wire = Self {
            stream: connector.connect(name, stream).await.unwrap(),
            unread: BytesMut::new(),
        };
        let mut out = BytesMut::new();
        frontend::startup_message(parameters.iter().copied(), &mut out).unwrap();
        frontend::password_message(password.as_bytes(), &mut out).unwrap();
        wire.stream.write_all(&out).await.unwrap();
        let answers = wire.until_ready().await;
        match answers.into_iter().find_map(|answer| answer.error) {
            Some(error) => Err(error),
            None => Ok(wire),
        }
    }

    /// Runs a text in the simple protocol.
    pub(crate) async fn simple(&mut self, sql: &str) -> Vec<Answer> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out).unwrap();
        // Fails if the session has ended; then there is no answer.
        let _ended = self.stream.write_all(&out).await;
        self.until_ready().await
    }

    /// Runs one statement in the extended protocol, with text results.
    pub(crate) async fn extended(&mut self, sql: &str) -> Answer {
        self.flight(&[("", sql)], "").await
    }

    /// Prepares these named statements and executes one of them, in one flight.
    pub(crate) async fn flight(&mut self, parse: &[(&str, &str)], execute: &str) -> Answer {
        let mut out = BytesMut::new();
        for (name, sql) in parse {
            frontend::parse(name, sql, [], &mut out).unwrap();
        }
        let no_parameters: [(); 0] = [];
        let bound = frontend::bind(
            "",
            execute,
            [],
            no_parameters,
            |(), _| Ok(IsNull::Yes),
            [0],
            &mut out,
        );
        assert!(bound.is_ok());
        frontend::describe(b'P', "", &mut out).unwrap();
        frontend::execute("", 0, &mut out).unwrap();
        frontend::sync(&mut out);
        let _ended = self.stream.write_all(&out).await;
        let mut answers = self.until_ready().await;
        assert!(answers.len() <= 1, "{answers:?}");
        answers.pop().unwrap_or_default()
    }

    /// Collects the answers up to `ReadyForQuery`, or up to the end of the connection.
    async fn until_ready(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut answer = Answer::default();
        loop {
            while let Some(message) = Message::parse(&mut self.unread).unwrap() {
                match message {
                    Message::RowDescription(body) => {
                        answer.columns = columns(&body);
                    }
                    Message::DataRow(body) => answer.rows.push(row(&body)),
                    Message::CommandComplete(body) => {
                        answer.tag = body.tag().unwrap().to_owned();
                        answers.push(std::mem::take(&mut answer));
                    }
                    Message::ErrorResponse(body) => {
                        answer = Answer {
                            error: Some(error(&body)),
                            ..Answer::default()
                        };
                        answers.push(std::mem::take(&mut answer));
                    }
                    Message::ReadyForQuery(_) => return answers,
                    _ => {}
                }
            }
            let read = self.stream.read_buf(&mut self.unread).await;
            if read.unwrap_or(0) == 0 {
                return answers;
            }
        }
    }
}

fn columns(body: &postgres_protocol::message::backend::RowDescriptionBody) -> Vec<Column> {
    use fallible_iterator::FallibleIterator;
    body.fields()
        .map(|field| {
            Ok(Column {
                name: field.name().to_owned(),
                type_oid: field.type_oid(),
            })
        })
        .collect()
        .unwrap()
}

fn row(body: &postgres_protocol::message::backend::DataRowBody) -> Vec<Option<String>> {
    use fallible_iterator::FallibleIterator;
    body.ranges()
        .map(|range| Ok(range.map(|at| String::from_utf8_lossy(&body.buffer()[at]).into_owned())))
        .collect()
        .unwrap()
}

fn error(body: &postgres_protocol::message::backend::ErrorResponseBody) -> Error {
    use fallible_iterator::FallibleIterator;
    let mut error = Error::default();
    let mut fields = body.fields();
    while let Some(field) = fields.next().unwrap() {
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'V' => error.severity = text,
            b'C' => error.sqlstate = text,
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            _ => {}
        }
    }
    error
}
