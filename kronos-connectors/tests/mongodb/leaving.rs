//! What is left on a server of a dump that nobody wants any more, and a server that is stopped and
//! started again in the middle.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kronos_connectors::mongodb::Changes;
use kronos_core::{Connector, DumpRequest, ErrorKind, RestoreOptions, RunContext, StreamId, list};
use libtest_mimic::Trial;
use mongodb::bson::{Document, doc};

use crate::failures::{assert_nothing_beside, large, new, old};
use crate::proxy::Proxy;
use crate::server::{Database, Server, assert_same, back_up, bring_back, is_required, on, repository};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![on("leaving::a_dump_that_is_dropped_leaves_nothing", dropped)];
    for (name, test) in [("leaving::restarted_in_a_backup", 0), ("leaving::restarted_in_a_restore", 1)] {
        // Only a server that was started for the tests may be stopped by one.
        let is_ours = std::env::var_os("KRONOS_TEST_MONGODB_PID").is_some();
        trials.push(match (is_ours || is_required(), test) {
            (true, 0) => on(name, in_a_backup),
            (true, _) => on(name, in_a_restore),
            (false, _) => {
                let name = format!("{name} (the server is not of scripts/servers)");
                Trial::test(name, || Ok(())).with_ignored_flag(true)
            }
        });
    }
    trials
}

/// Open cursors and connections, as the server counts them.
pub(crate) async fn counts(server: &Server) -> (i64, i64) {
    let status = server.client.database("admin").run_command(doc! { "serverStatus": 1 }).await.unwrap();
    let whole = |of: &Document, name: &str| of.get_i64(name).or_else(|_| of.get_i32(name).map(i64::from)).unwrap();
    let cursors = status.get_document("metrics").and_then(|metrics| metrics.get_document("cursor"));
    let cursors = cursors.and_then(|cursor| cursor.get_document("open")).unwrap();
    (whole(cursors, "total"), whole(status.get_document("connections").unwrap(), "current"))
}

async fn dropped(server: Server) {
    let source = large(&server).await;
    let before = counts(&server).await;
    for is_aborted in [false, true] {
        let from = source.with(|settings| (settings.changes, settings.range) = (Changes::ChangeStream, 256 << 10));
        // It only tells how far it is while someone writes.
        let writing = {
            let other = server.client.database(&source.name).collection::<Document>("tick");
            tokio::spawn(async move {
                loop {
                    other.insert_one(doc! {}).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
        };
        let request = DumpRequest { parallel: 4, ..DumpRequest::default() };
        let dump = from.begin_dump(&request, &RunContext::new()).await.unwrap();
        let is_read = |name: &str| name.contains(".a") || name.contains(".b");
        let (mut streams, outline) = (Vec::new(), dump.outline().clone());
        for (n, info) in outline.streams.iter().enumerate().filter(|(_, info)| is_read(&info.name)).take(4) {
            let mut stream = dump.open(StreamId(u32::try_from(n).unwrap())).await.unwrap();
            stream.next().await.unwrap_or_else(|error| panic!("{}: {error:?}", info.name));
            streams.push(stream);
        }
        assert!(streams.len() > 1);
        let during = counts(&server).await;
        assert!(during.0 > before.0 && during.1 > before.1, "{during:?}, before {before:?}");
        if is_aborted {
            dump.abort().await;
            drop(streams);
        } else {
            drop(streams);
            drop(dump);
        }
        writing.abort();
        let mut left = counts(&server).await;
        for _ in 0..100 {
            if left.0 <= before.0 && left.1 <= before.1 + 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            left = counts(&server).await;
        }
        // The one connection is of the test, which writes beside.
        assert!(left.0 <= before.0 && left.1 <= before.1 + 1, "aborted {is_aborted}: {left:?}, before {before:?}");
    }
}

/// Ends the server at once, and starts it with the same data.
fn restart() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/servers");
    for verb in ["kill", "restart"] {
        let done = Command::new(&program).args([verb, "mongodb"]).output().unwrap();
        assert!(done.status.success(), "{verb}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Whole, or an error and no backup; the next one is whole.
async fn in_a_backup(server: Server) {
    let source = large(&server).await;
    let expected = source.all().await;
    let (repository, run) = (repository().await, RunContext::new());
    let mut committed = 0;
    for words in [&["hint"][..], &["hint", "hint", "hint"], &["listIndexes"]] {
        let proxy = Proxy::doing(server.port(), words, restart);
        let from = source.with(|settings| {
            settings.hosts = vec![format!("127.0.0.1:{}", proxy.port)];
            settings.range = 64 << 10;
        });
        match back_up(&repository, &from).await {
            Ok(_) => committed += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionFailed, "{words:?}: {error:?}"),
        }
        assert!(proxy.has_begun(), "{words:?} was never said");
        assert_eq!(list(&repository, None, &run).await.unwrap().backups.len(), committed, "{words:?}");
    }
    back_up(&repository, &source.source()).await.unwrap();
    for backup in list(&repository, None, &run).await.unwrap().backups {
        let target = server.new_database();
        let found = kronos_core::find_backup(&repository, &backup.id.to_string(), &run).await.unwrap();
        kronos_core::restore(&repository, &found, &target.source(), &RestoreOptions::new(), &run).await.unwrap();
        assert_same(&target.all().await, &expected, "after a restart");
    }
}

/// Old or new, and after the next restore new; nothing is left beside it.
async fn in_a_restore(server: Server) {
    let source = new(&server).await;
    let expected = source.all().await;
    let repository = repository().await;
    back_up(&repository, &source.source()).await.unwrap();
    let options = RestoreOptions::new().with_replace();
    for words in [&["insert"][..], &["createIndexes"], &["renameCollection"], &["viewOn"], &["done"]] {
        let target: Database = old(&server).await;
        // What a majority has is in mongod's journal. SecantusDB writes down some moments later what it has
        // taken, and a kill must not take back what was there before the restore.
        server.client.database("admin").run_command(doc! { "fsync": 1 }).await.unwrap();
        let before = target.all().await;
        let proxy = Proxy::doing(server.port(), words, restart);
        let to = target.with(|settings| {
            settings.hosts = vec![format!("127.0.0.1:{}", proxy.port)];
            settings.silence = Duration::from_secs(2);
        });
        let done = bring_back(&repository, &to, &options).await;
        assert!(proxy.has_begun(), "{words:?} was never said");
        match done {
            Ok(_) => assert_same(&target.all().await, &expected, &format!("{words:?}")),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionFailed, "{words:?}: {error:?}");
                // Of another test a restore may be settling what this one left, and be in the middle of it.
                let told = ["left behind", "half done", "meanwhile"];
                if told.iter().all(|name| error.context(name).is_none()) {
                    assert_same(&target.all().await, &before, &format!("{words:?}: {error:?}"));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(2200)).await;
        bring_back(&repository, &target.source(), &options).await.unwrap_or_else(|e| panic!("{words:?}: {e:?}"));
        assert_same(&target.all().await, &expected, &format!("{words:?}"));
        assert_nothing_beside(&target, "restarted").await;
    }
}
