//! A network that delays, cuts and falls silent, at moments that a seed chooses.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kronos_connectors::postgres::{Method, PostgresSettings, PostgresSource};
use kronos_core::{ErrorKind, RestoreOptions, RunContext, find_backup, list, restore};
use libtest_mimic::Trial;

use crate::failures::{SUM, assert_each_is_whole, big};
use crate::server::{Server, back_up, block_on, on_each, repository};

pub(crate) fn trials() -> Vec<Trial> {
    [
        on_each("a_network_that_is_cut_at_random", random_cuts),
        on_each("a_network_that_falls_silent", silence),
        on_each("a_restore_over_a_network_that_is_cut", cut_restores),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What happens once so many bytes have passed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    /// The connection that they pass over is cut.
    One,
    /// Every connection is cut; new ones work.
    Cut,
    /// Every connection is cut, and nobody gets through any more.
    Gone,
    /// One connection is never heard of again; others work.
    Silent,
}

/// A proxy before a server, until it is dropped.
struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    trouble: Trouble,
    /// Bytes that may pass until the trouble begins.
    left: AtomicI64,
    has_begun: AtomicBool,
    /// Each piece waits for so long.
    delay: Duration,
    connections: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

impl Proxy {
    fn before(server: &Server, trouble: Trouble, bytes: i64, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            trouble,
            left: AtomicI64::new(bytes),
            has_begun: AtomicBool::new(false),
            delay,
            connections: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let (accepting, to) = (shared.clone(), server.port);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let is_gone = accepting.trouble == Trouble::Gone && accepting.has_begun.load(Ordering::Acquire);
                if accepting.is_over.load(Ordering::Acquire) {
                    return;
                }
                if is_gone {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let both = [client.try_clone().unwrap(), upstream.try_clone().unwrap()];
                accepting.connections.lock().unwrap().extend(both);
                for (from, into) in [(client.try_clone().unwrap(), upstream.try_clone().unwrap()), (upstream, client)] {
                    let shared = accepting.clone();
                    std::thread::spawn(move || shared.pump(from, into));
                }
            }
        });
        Self { port, shared }
    }

    fn settings(&self, server: &Server, database: &str) -> PostgresSettings {
        let mut settings = server.settings([database]);
        settings.port = self.port;
        settings.read_timeout = Duration::from_secs(2);
        settings
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.cut();
        // So that the listener wakes up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn pump(&self, mut from: TcpStream, mut into: TcpStream) {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            if !self.delay.is_zero() {
                std::thread::sleep(self.delay);
            }
            let left = self.left.fetch_sub(i64::try_from(read).unwrap(), Ordering::AcqRel);
            if left <= i64::try_from(read).unwrap() && !self.has_begun.swap(true, Ordering::AcqRel) {
                match self.trouble {
                    Trouble::One => break,
                    Trouble::Cut | Trouble::Gone => return self.cut(),
                    Trouble::Silent => {
                        while !self.is_over.load(Ordering::Acquire) {
                            std::thread::sleep(Duration::from_millis(50));
                        }
                        return;
                    }
                }
            }
            if into.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = into.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

/// Numbers that look random.
fn scattered(n: u64, below: u64) -> u64 {
    (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) % below
}

fn random_cuts(server: &Server) {
    let source = big(server);
    let expected = source.sql(SUM);
    block_on(async {
        let (repository, run) = (repository().await, RunContext::new());
        let (mut committed, mut failed) = (0, 0);
        for n in 0..12 {
            let trouble = [Trouble::One, Trouble::Cut, Trouble::One, Trouble::Gone][usize::try_from(n % 4).unwrap()];
            // In the first kilobytes everything is asked for, in the next megabytes rows are read.
            let bytes = if n % 3 == 0 { scattered(n, 40_000) } else { scattered(n, 80_000_000) };
            let delay = Duration::from_millis(u64::from(n % 4 == 2));
            let method = if n % 5 == 4 { Method::Tool } else { Method::Native };
            let proxy = Proxy::before(server, trouble, i64::try_from(bytes).unwrap(), delay);
            let mut settings = proxy.settings(server, &source.name);
            settings.method = method;
            match back_up(&repository, &PostgresSource::new(settings).unwrap()).await {
                Ok(_) => committed += 1,
                Err(error) => {
                    let kinds = [ErrorKind::ConnectionFailed, ErrorKind::ToolFailed, ErrorKind::Timeout];
                    assert!(kinds.contains(&error.kind()), "{trouble:?} after {bytes} bytes: {error:?}");
                    failed += 1;
                }
            }
            let there = list(&repository, None, &run).await.unwrap().backups.len();
            assert_eq!(there, committed, "{trouble:?} after {bytes} bytes");
        }
        assert!(committed > 0 && failed > 0, "{committed} committed, {failed} failed");
        assert_each_is_whole(&repository, server, &expected).await;
    });
    server.no_session_is_left(&[&source.name]);
}

/// No word and no end: after a while the connection counts as lost, and another one reads on.
fn silence(server: &Server) {
    let source = big(server);
    let expected = source.sql(SUM);
    block_on(async {
        let repository = repository().await;
        let proxy = Proxy::before(server, Trouble::Silent, 20_000_000, Duration::ZERO);
        let begun = Instant::now();
        back_up(&repository, &PostgresSource::new(proxy.settings(server, &source.name)).unwrap()).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(2), "it was never silent");
        drop(proxy);
        let target = server.new_name();
        crate::server::bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
        assert_eq!(target.sql(SUM), expected);
    });
    server.no_session_is_left(&[&source.name]);
}

/// The target is there whole, or not at all.
fn cut_restores(server: &Server) {
    let source = big(server);
    let expected = source.sql(SUM);
    block_on(async {
        let (repository, run) = (repository().await, RunContext::new());
        back_up(&repository, &source.source()).await.unwrap();
        let backup = find_backup(&repository, "latest", &run).await.unwrap();
        for n in 0..8 {
            let bytes = if n % 2 == 0 { scattered(n, 30_000) } else { scattered(n, 80_000_000) };
            let trouble = if n % 4 < 2 { Trouble::Cut } else { Trouble::Gone };
            let proxy = Proxy::before(server, trouble, i64::try_from(bytes).unwrap(), Duration::ZERO);
            let target = server.new_name();
            let writing = PostgresSource::new(proxy.settings(server, &target.name)).unwrap();
            let done = restore(&repository, &backup, &writing, &RestoreOptions::new(), &run).await;
            drop(proxy);
            match done {
                Ok(_) => assert_eq!(target.sql(SUM), expected),
                Err(error) => {
                    assert!(!server.exists(&target.name), "{trouble:?} after {bytes} bytes: {error:?}");
                }
            }
            // What could not be removed over a dead network, the next restore removes.
            restore(&repository, &backup, &target.source(), &RestoreOptions::new().with_replace(), &run).await.unwrap();
            assert_eq!(target.sql(SUM), expected);
            let left = format!("SELECT count(*) FROM pg_database WHERE datname LIKE '{}\\_kronos%'", target.name);
            assert_eq!(server.sql("postgres", &left), "0", "{trouble:?} after {bytes} bytes");
        }
    });
}
