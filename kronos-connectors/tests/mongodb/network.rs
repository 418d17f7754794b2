//! A network that is cut, vanishes and falls silent, at moments that a seed chooses and at each step of
//! a restore.

use std::time::{Duration, Instant};

use kronos_connectors::mongodb::MongodbSettings;
use kronos_core::{ErrorKind, RestoreOptions, RunContext, list};
use libtest_mimic::Trial;

use crate::failures::{assert_nothing_beside, large, new, old};
use crate::proxy::{Proxy, Trouble, scattered};
use crate::server::{Server, assert_same, back_up, bring_back, on, repository};
use crate::wire::{Heard, Wire};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on("network::cut_at_random", random_cuts),
        on("network::a_restore_that_is_cut_at_each_step", cut_steps),
        on("network::an_index_whose_answer_is_lost", lost_index),
    ]
}

/// What a network that was lost may lead to.
const KINDS: [ErrorKind; 2] = [ErrorKind::ConnectionFailed, ErrorKind::Timeout];
/// A restore that cannot be heard any more is dead after so long.
const SILENCE: Duration = Duration::from_millis(1500);
/// No wait may be longer, over several attempts.
const PATIENCE: Duration = Duration::from_secs(20);

fn through(proxy: &Proxy) -> impl Fn(&mut MongodbSettings) + use<> {
    let port = proxy.port;
    move |settings| {
        settings.hosts = vec![format!("127.0.0.1:{port}")];
        settings.connect_timeout = Duration::from_secs(1);
        settings.read_timeout = Duration::from_secs(1);
        settings.silence = SILENCE;
    }
}

/// Whole or an error, and only what is whole is committed.
async fn random_cuts(server: Server) {
    use Trouble::{Cut, Gone, One, Silent, Vanished};
    let source = large(&server).await;
    let expected = source.all().await;
    let (repository, run) = (repository().await, RunContext::new());
    let (mut committed, mut failed) = (0, 0);
    for n in 0..7 {
        let trouble = [One, Cut, Silent, Gone, Vanished][usize::try_from(n % 5).unwrap()];
        // In the first kilobytes everything is asked for, in the next megabytes documents are read.
        let bytes = if n % 3 == 0 { scattered(n, 20_000) } else { scattered(n, 5_000_000) };
        let proxy = Proxy::after_bytes(server.port(), trouble, bytes, Duration::ZERO);
        let what = format!("{trouble:?} after {bytes} bytes");
        let begun = Instant::now();
        match back_up(&repository, &source.with(through(&proxy))).await {
            Ok(_) => committed += 1,
            Err(error) => {
                assert!(KINDS.contains(&error.kind()), "{what}: {error:?}");
                failed += 1;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", begun.elapsed());
        assert_eq!(list(&repository, None, &run).await.unwrap().backups.len(), committed, "{what}");
    }
    assert!(committed > 0 && failed > 0, "{committed} committed, {failed} failed");
    for backup in list(&repository, None, &run).await.unwrap().backups {
        let target = server.new_database();
        let found = kronos_core::find_backup(&repository, &backup.id.to_string(), &run).await.unwrap();
        kronos_core::restore(&repository, &found, &target.source(), &RestoreOptions::new(), &run).await.unwrap();
        assert_same(&target.all().await, &expected, "a backup over a bad network");
    }
}

/// Old or new, and after the next restore new; nothing is left beside it.
async fn cut_steps(server: Server) {
    let source = new(&server).await;
    let expected = source.all().await;
    let repository = repository().await;
    back_up(&repository, &source.source()).await.unwrap();
    let steps: &[&[&str]] = &[
        &["kronos-restore."],
        &["insert"],
        &["createIndexes"],
        &["swapping"],
        &["renameCollection"],
        &["renameCollection", "renameCollection", "renameCollection"],
        &["viewOn", "viewOn"],
        &["done"],
        &["done", "drop"],
    ];
    let options = RestoreOptions::new().with_replace();
    for (n, words) in steps.iter().enumerate() {
        let all = [Trouble::One, Trouble::Gone, Trouble::Cut, Trouble::Vanished];
        {
            let trouble = all[n % 4];
            let what = format!("{trouble:?} at {words:?}");
            let target = old(&server).await;
            let before = target.all().await;
            let proxy = Proxy::after_words(server.port(), trouble, words);
            let begun = Instant::now();
            let done = bring_back(&repository, &target.with(through(&proxy)), &options).await;
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", begun.elapsed());
            assert!(proxy.has_begun(), "{what}: it was never said");
            drop(proxy);
            match &done {
                Ok(_) => {
                    for name in ["a", "b", "c", "v"] {
                        assert_eq!(target.documents(name).await, source.documents(name).await, "{what}");
                    }
                }
                // When no word gets through any more, what was begun waits for the next one.
                Err(error)
                    if [Trouble::One, Trouble::Cut].contains(&trouble)
                        && error.context("left behind").or(error.context("half done")).is_none() =>
                {
                    assert_same(&target.all().await, &before, &format!("{what}: {error:?}"));
                }
                Err(_) => {}
            }
            if target.names().await.iter().any(|name| name.starts_with("kronos-restore.")) {
                tokio::time::sleep(SILENCE).await;
            }
            bring_back(&repository, &target.source(), &options).await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
            assert_same(&target.all().await, &expected, &what);
            assert_nothing_beside(&target, &what).await;
        }
    }
}

/// The connection over which an index is made is cut, or falls silent, or that over which indexes are
/// listed: the restore goes on over others.
async fn lost_index(server: Server) {
    let source = new(&server).await;
    let repository = repository().await;
    back_up(&repository, &source.source()).await.unwrap();
    let cut = Proxy::after_words(server.port(), Trouble::One, &["createIndexes"]);
    let list = Proxy::after_words(server.port(), Trouble::One, &["listIndexes"]);
    let silent = Wire::losing(server.port(), |command| command.contains_key("createIndexes"));
    for (what, port) in [("cut", cut.port), ("list", list.port), ("silent", silent.port)] {
        let target = server.new_database();
        let to = target.with(|settings| {
            settings.hosts = vec![format!("127.0.0.1:{port}")];
            settings.read_timeout = Duration::from_secs(2);
        });
        let begun = Instant::now();
        bring_back(&repository, &to, &RestoreOptions::new()).await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
        assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", begun.elapsed());
        assert_same(&target.all().await, &source.all().await, what);
        assert_nothing_beside(&target, what).await;
    }
    assert!(cut.has_begun() && list.has_begun() && silent.heard(Heard::has_lost));
}
