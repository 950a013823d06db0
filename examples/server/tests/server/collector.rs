//! A collector of traces, as far as the server needs one.

use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Listens for traces until the test ends. Returns the address, and what arrives.
pub(crate) async fn collect() -> (String, UnboundedReceiver<Bytes>) {
    let (sender, received) = unbounded_channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let take = async move |traces: Bytes| {
        // The test may have seen enough.
        let _ = sender.send(traces);
        StatusCode::OK
    };
    let routes = Router::new().route("/v1/traces", post(take));
    tokio::spawn(async { axum::serve(listener, routes).await });
    (address, received)
}
