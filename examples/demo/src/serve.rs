//! `--serve`: serves the Lambda on an HTTP port, for curl, with a single execution environment.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::gateway::{self, Invocation};
use crate::lambda::Lambda;
use crate::life::{Life, Outcome, Started};
use crate::step::{Proof, chain};

/// An open port, and the Lambda behind it.
pub(crate) struct Open {
    listener: TcpListener,
    key: String,
    lambda: Lambda,
    /// Commands to try.
    pub(crate) lines: Vec<String>,
}

impl Life {
    /// Opens the port and prints how to use it.
    pub(crate) async fn open(&self, port: u16, started: Option<Started>) -> Outcome<Open> {
        let started = started.ok_or("there is no Lambda, the cold start failed")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|error| {
            format!("cannot listen on 127.0.0.1:{port}: {error}; choose another --port, or 0")
        })?;
        let address = listener.local_addr()?;
        let key = Uuid::new_v4().simple().to_string();
        let lines = curl_lines(address, &key, &started.path()?);
        let proof = Proof {
            words: format!("http://{address} answers clients with the API key until Ctrl-C"),
            numbers: json!({
                "url": format!("http://{address}"), "api_key": key, "curl": lines,
            }),
        };
        let open = Open {
            listener,
            key,
            lambda: started.lambda,
            lines,
        };
        Ok((open, proof))
    }

    /// Serves requests while it is polled.
    pub(crate) async fn serve(&self, open: Open) -> io::Result<()> {
        let (sender, invocations) = mpsc::unbounded_channel();
        tokio::select! {
            served = gateway::serve(open.listener, open.key, sender) => served,
            () = self.work(open.lambda, invocations) => Ok(()),
        }
    }

    /// Sends one event at a time to the only environment, and replaces it after a failure. Lambda
    /// itself would start more environments instead of letting requests wait, up to the concurrency
    /// limit.
    async fn work(&self, lambda: Lambda, mut invocations: mpsc::UnboundedReceiver<Invocation>) {
        let mut environment = Some(lambda);
        while let Some(Invocation { event, answer }) = invocations.recv().await {
            if environment.as_mut().is_some_and(Lambda::has_ended) {
                environment = None;
            }
            let answered = async {
                let lambda = match &mut environment {
                    Some(lambda) => lambda,
                    None => environment.insert(self.replacement().await?),
                };
                lambda.invoke(event).await
            };
            match answered.await {
                // The client may have disconnected.
                Ok(answered) => drop(answer.send(answered)),
                Err(error) => {
                    eprintln!(
                        "demo: {}; the next request starts a new environment",
                        chain(&*error)
                    );
                    environment = None;
                }
            }
        }
    }

    async fn replacement(&self) -> Result<Lambda, Box<dyn Error>> {
        let mut lambda = self.lambda("demo-serve", &self.function, &[]).await?;
        lambda.initialized().await?;
        Ok(lambda)
    }
}

/// Returns commands that can be pasted into a shell.
fn curl_lines(address: SocketAddr, key: &str, game: &str) -> Vec<String> {
    let url = format!("http://{address}/games");
    let key = format!("-H 'x-api-key: {key}'");
    let json = "-H 'content-type: application/json'";
    vec![
        format!(r#"curl -i {url} {key} {json} -d '{{"title":"Go"}}'"#),
        format!(r#"curl -i {url} {key} {json} -H 'Idempotency-Key: 1' -d '{{"title":"Go"}}'"#),
        format!("curl -i http://{address}{game} {key}"),
        format!("curl -i '{url}?limit=3' {key}"),
        format!("curl -i -X DELETE http://{address}{game} {key} -H 'If-Match: *'"),
        format!("curl -i {url} {key} {json} -d '{{'"),
        format!("curl -i {url} -H 'x-api-key: wrong'"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curl_lines_need_no_more_quotes() {
        let lines = curl_lines(([127, 0, 0, 1], 80).into(), "secret", "/games/7");
        let shortened = lines.iter().map(|line| {
            line.replace("http://127.0.0.1:80", "URL")
                .replace("-H 'x-api-key: secret'", "KEY")
                .replace("-H 'content-type: application/json'", "JSON")
        });
        assert_eq!(
            shortened.collect::<Vec<_>>(),
            [
                r#"curl -i URL/games KEY JSON -d '{"title":"Go"}'"#,
                r#"curl -i URL/games KEY JSON -H 'Idempotency-Key: 1' -d '{"title":"Go"}'"#,
                "curl -i URL/games/7 KEY",
                "curl -i 'URL/games?limit=3' KEY",
                "curl -i -X DELETE URL/games/7 KEY -H 'If-Match: *'",
                "curl -i URL/games KEY JSON -d '{'",
                "curl -i URL/games -H 'x-api-key: wrong'",
            ]
        );
    }
}
