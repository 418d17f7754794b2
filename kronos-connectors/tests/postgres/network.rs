//! A network that delays, cuts and falls silent, at moments that a seed chooses.

use std::time::{Duration, Instant};

use kronos_connectors::postgres::{Method, PostgresSettings, PostgresSource};
use kronos_core::{ErrorKind, RestoreOptions, RunContext, find_backup, list, restore};
use libtest_mimic::Trial;

use crate::failures::{SUM, assert_each_is_whole, big};
use crate::proxy::{Proxy, Trouble, scattered};
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

fn through(proxy: &Proxy, server: &Server, database: &str) -> PostgresSettings {
    let mut settings = server.settings([database]);
    settings.port = proxy.port;
    settings.read_timeout = Duration::from_secs(2);
    settings
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
            let proxy = Proxy::after_bytes(server.port, trouble, bytes, delay);
            let mut settings = through(&proxy, server, &source.name);
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
        let proxy = Proxy::after_bytes(server.port, Trouble::Silent, 20_000_000, Duration::ZERO);
        let begun = Instant::now();
        back_up(&repository, &PostgresSource::new(through(&proxy, server, &source.name)).unwrap()).await.unwrap();
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
            let proxy = Proxy::after_bytes(server.port, trouble, bytes, Duration::ZERO);
            let target = server.new_name();
            let writing = PostgresSource::new(through(&proxy, server, &target.name)).unwrap();
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
