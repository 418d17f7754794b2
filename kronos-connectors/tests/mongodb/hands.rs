//! Collections that are made, dropped, renamed, and dropped and made again while a backup runs: what is
//! restored is what was there at the end of it.
//!
//! `SecantusDB` makes a collection for a document that is written to none without a word about it, where
//! MongoDB's log has a `create` before the first document: so these tests say `create`. It gives a
//! collection another UUID when it is renamed, where MongoDB keeps it: so nothing is written to one that
//! was read and renamed. It tells in its oplog of indexes and updates in a form of its own: so there are
//! none. What cannot be tested here is tested beside the code, in `replay/rehearsal.rs`, on events in
//! their documented form.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kronos_connectors::mongodb::{Changes, MongodbSource};
use kronos_core::{BackupOptions, Error, ErrorKind, Limits, RestoreOptions, RunContext, backup};
use libtest_mimic::Trial;
use mongodb::bson::{Document, doc, rawdoc};

use crate::proxy::{Proxy, Trouble};
use crate::server::{Database, Server, assert_same, bring_back, on, repository};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on("hands::made_and_dropped", made_and_dropped),
        on("hands::renamed", renamed),
        on("hands::made_without_a_word", made_without_a_word),
        on("hands::a_server_that_falls_silent_meanwhile", falls_silent),
    ]
}

/// So many reads of documents the sources have.
const READS: usize = 4;

async fn source(server: &Server) -> Database {
    let source = server.new_database();
    let body = "x".repeat(500);
    for (name, count) in [("a", 400), ("b", 300), ("c", 200), ("d", 100)] {
        source.run(doc! { "create": name }).await;
        source.insert(name, (0..count).map(|n| rawdoc! { "_id": n, "of": name, "body": &*body }).collect()).await;
        let index = doc! { "key": { "of": 1 }, "name": format!("of {name}") };
        source.run(doc! { "createIndexes": name, "indexes": [index] }).await;
    }
    source.run(doc! { "create": "tick" }).await;
    source
}

async fn write(database: &Database, collection: &str, ids: std::ops::Range<i32>) {
    database.insert(collection, ids.map(|n| rawdoc! { "_id": n, "new": collection }).collect()).await;
}

async fn rename(database: &Database, from: &str, to: &str) {
    let whole = |name: &str| format!("{}.{name}", database.name);
    let ask = doc! { "renameCollection": whole(from), "to": whole(to), "dropTarget": true };
    database.server.client.database("admin").run_command(ask).await.unwrap();
}

/// Backs up, and does something when documents are read for the time of this number; someone writes all
/// the while.
async fn meanwhile<F: Future<Output = ()>>(
    source: &Database,
    changes: Changes,
    read: usize,
    deed: impl FnOnce() -> F,
) -> Result<kronos_core::Repository, Error> {
    let repository = repository().await;
    let (proxy, moment) = Proxy::waiting(source.server.port(), &vec!["hint"; read]);
    let from: MongodbSource = source.with(|settings| {
        settings.hosts = vec![format!("127.0.0.1:{}", proxy.port)];
        settings.changes = changes;
    });
    let (stop, tick) = (Arc::new(AtomicBool::new(false)), source.server.client.database(&source.name));
    let stopped = stop.clone();
    let ticking = tokio::spawn(async move {
        let mut n = 0;
        while !stopped.load(Ordering::Relaxed) {
            tick.collection::<Document>("tick").insert_one(doc! { "_id": n }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            n += 1;
        }
    });
    let options = BackupOptions::new();
    let mut limits = Limits::default();
    limits.parallel = 1;
    let run = RunContext::new().with_limits(limits);
    let (made, ()) = tokio::join!(backup(&repository, &from, &options, &run), moment.meanwhile(deed()));
    stop.store(true, Ordering::Relaxed);
    ticking.await.unwrap();
    made.map(|_| repository)
}

/// All but the collection that is written all the while.
async fn all(database: &Database) -> String {
    let all = database.all().await;
    all.lines().filter(|line| !line.starts_with("tick")).collect::<Vec<_>>().join("\n")
}

async fn assert_brought_back(source: &Database, repository: &kronos_core::Repository, what: &str) {
    let target = source.server.new_database();
    let done = bring_back(repository, &target.source(), &RestoreOptions::new()).await;
    done.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_same(&all(&target).await, &all(source).await, what);
}

async fn made_and_dropped(server: Server) {
    for changes in [Changes::ChangeStream, Changes::Oplog] {
        for read in 1..=READS {
            let source = source(&server).await;
            let deed = || async {
                // Made, with an index. `SecantusDB` forgets options when a collection is renamed.
                source.run(doc! { "create": "new" }).await;
                write(&source, "new", 0..20).await;
                if changes == Changes::ChangeStream {
                    let index = doc! { "key": { "x": 1 }, "name": "by x" };
                    source.run(doc! { "createIndexes": "new", "indexes": [index] }).await;
                }
                // Dropped; dropped and made again with other documents; made and dropped.
                source.run(doc! { "drop": "b" }).await;
                source.run(doc! { "drop": "c" }).await;
                source.run(doc! { "create": "c" }).await;
                write(&source, "c", 50..60).await;
                source.run(doc! { "create": "gone" }).await;
                write(&source, "gone", 0..5).await;
                source.run(doc! { "drop": "gone" }).await;
                // Made beside and put into its place.
                source.run(doc! { "create": "beside" }).await;
                write(&source, "beside", 7..9).await;
                rename(&source, "beside", "d").await;
                write(&source, "d", 9..11).await;
            };
            let what = format!("{changes:?}, read {read}");
            let made = meanwhile(&source, changes, read, deed).await;
            let repository = made.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_brought_back(&source, &repository, &what).await;
        }
    }
}

/// What was read is told by the moment: once it is known, and once it is an error of the backup.
async fn renamed(server: Server) {
    let (mut done, mut refused) = (0, 0);
    for (read, changes) in (1..=READS).flat_map(|read| [(read, Changes::ChangeStream), (read, Changes::Oplog)]) {
        let source = source(&server).await;
        let deed = || async {
            write(&source, "a", 1000..1010).await;
            rename(&source, "a", "moved").await;
            source.run(doc! { "create": "a" }).await;
            write(&source, "a", 0..3).await;
            // Over another one, whose documents and indexes are those of nobody then.
            write(&source, "c", 1000..1010).await;
            rename(&source, "b", "c").await;
        };
        match meanwhile(&source, changes, read, deed).await {
            Ok(repository) => {
                done += 1;
                assert_brought_back(&source, &repository, &format!("{changes:?}, read {read}")).await;
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
                assert!(error.to_string().contains("renamed"), "{error}");
            }
        }
    }
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
}

/// A log with a hole makes no backup: here documents of a collection of whose making it does not tell,
/// which no MongoDB does.
async fn made_without_a_word(server: Server) {
    if !server.is_silent {
        return;
    }
    let source = source(&server).await;
    let deed = || async { write(&source, "new", 0..5).await };
    let error = meanwhile(&source, Changes::ChangeStream, 1, deed).await.unwrap_err();
    assert_eq!((error.kind(), error.context("collection").is_some()), (ErrorKind::Corrupt, true), "{error:?}");
}

/// While changes are applied, nothing is waited for longer than documents.
async fn falls_silent(server: Server) {
    let source = source(&server).await;
    let deed = || async {
        write(&source, "a", 1000..1010).await;
        source.run(doc! { "create": "new" }).await;
        write(&source, "new", 0..5).await;
        rename(&source, "new", "newer").await;
    };
    let repository = meanwhile(&source, Changes::ChangeStream, 1, deed).await.unwrap();
    let longest = Duration::from_secs(20);
    // Only while changes are applied these are said.
    for words in [&["deletes"][..], &["create", "deletes", "create"], &["renameCollection"]] {
        for trouble in [Trouble::Silent, Trouble::Vanished] {
            let target = server.new_database();
            let proxy = Proxy::after_words(server.port(), trouble, words);
            let to = target.with(|settings| {
                settings.hosts = vec![format!("127.0.0.1:{}", proxy.port)];
                (settings.connect_timeout, settings.read_timeout) = (Duration::from_secs(1), Duration::from_secs(1));
                settings.silence = Duration::from_secs(1);
            });
            let begun = Instant::now();
            let done = bring_back(&repository, &to, &RestoreOptions::new()).await;
            let what = format!("{words:?}, {trouble:?}");
            assert!(proxy.has_begun() && begun.elapsed() < longest, "{what}: {:?}", begun.elapsed());
            // The one connection that is silent may not be needed any more.
            if done.is_err() || trouble != Trouble::Silent {
                let error = done.expect_err(&what);
                assert!([ErrorKind::ConnectionFailed, ErrorKind::Timeout].contains(&error.kind()), "{error:?}");
                drop(proxy);
                tokio::time::sleep(Duration::from_millis(1200)).await;
                let done = bring_back(&repository, &target.source(), &RestoreOptions::new()).await;
                done.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            }
            assert_same(&all(&target).await, &all(&source).await, &what);
        }
    }
}
