//! The HTTP endpoint, asked over real connections, politely and not.

mod figures;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use figures::full;
use kronos_core::{Error, ErrorKind, Result};
use kronos_service::metrics::{Endpoint, MetricsServer, Readiness};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
struct Store {
    broken: AtomicBool,
}

#[async_trait]
impl Readiness for Store {
    async fn ready(&self) -> Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Io, "the store does not open").with("url", "postgres://me:hunter2@db"));
        }
        Ok(())
    }
}

struct Running {
    address: SocketAddr,
    store: Arc<Store>,
    cancel: CancellationToken,
    server: JoinHandle<()>,
}

async fn start() -> Running {
    let (store, cancel) = (Arc::new(Store::default()), CancellationToken::new());
    let server = MetricsServer::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a free port");
    let address = server.address();
    let endpoint = Endpoint::new(full().await, store.clone());
    let server = tokio::spawn(server.serve(endpoint, cancel.clone()));
    Running { address, store, cancel, server }
}

/// Sends bytes as they are, and reads until the other side closes.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // A server that has heard enough may close while more is sent.
    _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut answer)).await;
    _ = read.expect("an answer, or the end, within a minute");
    String::from_utf8(answer).expect("text")
}

async fn get(address: SocketAddr, path: &str, more: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: kronos\r\nConnection: close\r\n{more}\r\n")).await
}

#[tokio::test]
async fn metrics_health_and_readiness() {
    let running = start().await;
    let answer = get(running.address, "/metrics", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("version=0.0.4"), "{answer}");
    assert!(answer.contains("\nkronos_backup_last_success_timestamp_seconds{kronos_job=\"shop\"} 100"), "{answer}");
    let answer = get(running.address, "/metrics?x=1", "Accept: application/openmetrics-text;version=1.0.0\r\n").await;
    assert!(answer.contains("application/openmetrics-text") && answer.ends_with("# EOF\n"), "{answer}");
    assert!(get(running.address, "/healthz", "").await.ends_with("\r\n\r\nalive\n"));
    assert!(get(running.address, "/readyz", "").await.ends_with("\r\n\r\nready\n"));

    running.store.broken.store(true, Ordering::SeqCst);
    let answer = get(running.address, "/readyz", "").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("not ready: the store does not open"), "{answer}");
    assert!(!answer.contains("hunter2"), "{answer}");
    assert!(get(running.address, "/healthz", "").await.starts_with("HTTP/1.1 200 "), "it is still alive");
    running.cancel.cancel();
    running.server.await.unwrap();
}

#[tokio::test]
async fn other_requests_are_refused() {
    let running = start().await;
    assert!(get(running.address, "/", "").await.starts_with("HTTP/1.1 404 "));
    assert!(get(running.address, "/metrics/", "").await.starts_with("HTTP/1.1 404 "));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request =
            format!("{method} /metrics HTTP/1.1\r\nHost: k\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc");
        let answer = ask(running.address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.to_lowercase().contains("allow: get, head"), "{answer}");
    }
    let answer = ask(running.address, "HEAD /metrics HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "a head has no body: {answer}");
    // A head without an end, one that is too large, and what is no HTTP at all.
    let large = format!("GET /metrics HTTP/1.1\r\nHost: k\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert!(!ask(running.address, &large).await.contains("200 OK"));
    assert!(!ask(running.address, "\x16\x03\x01 hello\r\n\r\n").await.contains("200 OK"));
    assert!(get(running.address, "/healthz", "").await.ends_with("alive\n"));
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let running = start().await;
    // More than there are places for. Each is let go when it sent no request within 10 seconds.
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost").await.unwrap();
        silent.push(stream);
    }
    assert!(get(running.address, "/healthz", "").await.ends_with("alive\n"));
    // With all of them open still, it stops at once.
    running.cancel.cancel();
    tokio::time::timeout(Duration::from_secs(30), running.server).await.expect("the server ends").unwrap();
    drop(silent);
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_said_plainly() {
    let running = start().await;
    let error = MetricsServer::bind(running.address).await.unwrap_err();
    assert_eq!((error.kind(), error.context("address")), (ErrorKind::Config, Some(&*running.address.to_string())));
    assert!(error.context("hint").is_some_and(|hint| hint.contains("metrics.listen")), "{error}");
    let error = MetricsServer::bind("192.0.2.1:9187".parse().unwrap()).await.unwrap_err();
    assert!(error.context("hint").is_some_and(|hint| hint.contains("127.0.0.1")), "{error}");
}

/// What the endpoint takes while nobody asks: measured of the whole process, before and after.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_idle_endpoint_takes_little_memory() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = resident();
    let running = start().await;
    for _ in 0..50 {
        assert!(get(running.address, "/metrics", "").await.contains("kronos_build_info"));
    }
    let after = resident();
    println!("resident: {before} KiB, {after} KiB with an endpoint that was asked 50 times");
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
}
