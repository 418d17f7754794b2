//! The HTTP server of the endpoint: small, and with a bound on everything that a stranger can send.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kronos_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Endpoint;

/// Connections at a time; further ones wait until one ends.
const CONNECTIONS: usize = 32;
/// A head of a request: its size, and the time for it, also after the request before.
const HEAD: usize = 8 << 10;
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Nobody keeps a place longer. Prometheus connects anew by itself.
const CONNECTION_WITHIN: Duration = Duration::from_mins(5);
/// How long answers under way may take once the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// After a failed accept, for example because there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// A server that listens.
#[derive(Debug)]
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Listens on an address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound.await.map_err(|e: std::io::Error| {
            let (kind, hint) = match e.kind() {
                std::io::ErrorKind::AddrInUse => (
                    ErrorKind::Config,
                    "another program has this port, perhaps another Kronos: choose another one as `metrics.listen`",
                ),
                std::io::ErrorKind::PermissionDenied => {
                    (ErrorKind::PermissionDenied, "ports below 1024 need a privilege: choose another one")
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    (ErrorKind::Config, "this machine does not have this address: use 127.0.0.1, or 0.0.0.0 for all")
                }
                _ => (ErrorKind::Io, "look at `metrics.listen` of the configuration"),
            };
            let error = Error::new(kind, "the endpoint for metrics could not listen");
            error.with("address", address).with("hint", hint).with_source(e)
        })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is cancelled, and then ends within two seconds.
    pub async fn serve(self, endpoint: Endpoint, cancel: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let free = places.clone().acquire_owned();
            let next = async { (free.await, self.listener.accept().await) };
            tokio::select! {
                () = cancel.cancelled() => break,
                (place, accepted) = next => match accepted {
                    Ok((stream, _)) => {
                        let served = serve_one(stream, endpoint.clone(), cancel.clone());
                        connections.spawn(async move {
                            served.await;
                            drop(place);
                        });
                    }
                    // A client that is gone already, or a lack that passes: nothing is lost by trying again.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
            }
            while connections.try_join_next().is_some() {}
        }
        drop(self.listener);
        // Each of them ends by itself within that time.
        while connections.join_next().await.is_some() {}
    }
}

async fn serve_one(stream: TcpStream, endpoint: Endpoint, cancel: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let endpoint = endpoint.clone();
        async move {
            let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
            Ok::<_, Infallible>(endpoint.answer(request.method(), request.uri().path(), accept).await)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // That a connection broke is the client's business: it gets no answer, and asks again.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(CONNECTION_WITHIN) => {}
        () = cancel.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    _ = tokio::time::timeout(STOP_WITHIN, connection).await;
}
