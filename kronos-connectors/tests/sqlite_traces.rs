//! A backup leaves no trace: no file beside the database, no changed byte in it.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{contents, dump, file, fill, open, restore, round_trip, sql};
use kronos_core::Connector;

/// Every file of a directory but those that only connections look at, with its bytes.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            // The index of a log in use: its bytes are locks and marks.
            let bytes = if name.ends_with("-shm") { Vec::new() } else { std::fs::read(entry.path()).unwrap() };
            (name, bytes)
        })
        .collect()
}

async fn leaves_no_trace(path: &Path) {
    let directory = path.parent().unwrap();
    let before = files(directory);
    let source = file(path);
    dump(&source).await;
    source.databases().await.unwrap();
    source.estimate_size().await.unwrap();
    source.test_connection().await.unwrap();
    source.fingerprint().await.unwrap();
    let after = files(directory);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, bytes) in before {
        assert!(after[&name] == bytes, "{name} was changed");
    }
}

#[tokio::test]
async fn of_a_closed_database() {
    for mode in ["wal", "delete", "truncate", "persist"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        fill(&path, &format!("PRAGMA journal_mode={mode}"), 1000);
        leaves_no_trace(&path).await;
    }
}

#[tokio::test]
async fn of_one_that_a_program_has_open() {
    for idle in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        fill(&path, "PRAGMA journal_mode=wal", 1000);
        let writer = open(&path);
        writer.execute_batch("PRAGMA wal_autocheckpoint=0; SELECT * FROM t").unwrap();
        if !idle {
            writer.execute_batch("INSERT INTO t(body) VALUES ('in the log')").unwrap();
        }
        leaves_no_trace(&path).await;
        // Its locks are still there: a checkpoint by someone else would wait for its reads.
        writer.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        sql(&path, "INSERT INTO t(body) VALUES ('later')");
        let other = open(&path);
        other.busy_timeout(std::time::Duration::ZERO).unwrap();
        let busy: i64 = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
        assert_eq!(busy, 1, "the writer lost its locks");
    }
}

/// A log that a crashed program has left: what it committed is in there only.
fn leave_log(directory: &Path, with_index: bool) -> std::path::PathBuf {
    let path = directory.join("live.db");
    fill(&path, "PRAGMA journal_mode=wal", 1000);
    let writer = open(&path);
    writer.execute_batch("PRAGMA wal_autocheckpoint=0; INSERT INTO t(body) VALUES ('only in the log')").unwrap();
    let crashed = directory.join("crashed");
    std::fs::create_dir(&crashed).unwrap();
    let suffixes: &[&str] = if with_index { &["", "-wal", "-shm"] } else { &["", "-wal"] };
    for suffix in suffixes {
        std::fs::copy(directory.join(format!("live.db{suffix}")), crashed.join(format!("app.db{suffix}"))).unwrap();
    }
    crashed.join("app.db")
}

#[tokio::test]
async fn of_one_whose_program_has_crashed() {
    for with_index in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = leave_log(directory.path(), with_index);
        leaves_no_trace(&path).await;
        let streams = dump(&file(&path)).await;
        let target = directory.path().join("restored.db");
        restore(&file(&target), &streams, false).await.unwrap();
        assert!(contents(&target).contains("only in the log"));
    }
}

#[tokio::test]
async fn an_empty_log_that_was_left_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&path, "PRAGMA journal_mode=wal", 100);
    std::fs::write(directory.path().join("app.db-wal"), "").unwrap();
    leaves_no_trace(&path).await;
}

#[tokio::test]
async fn the_log_of_a_lost_database_is_not_thrown_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = leave_log(directory.path(), true);
    std::fs::write(&path, "").unwrap();
    let before = files(path.parent().unwrap());
    let request = kronos_core::DumpRequest::default();
    let error = file(&path).begin_dump(&request, &kronos_core::RunContext::new()).await.unwrap_err();
    assert_eq!(error.kind(), kronos_core::ErrorKind::Corrupt);
    assert!(files(path.parent().unwrap()) == before);
}

#[tokio::test]
async fn the_restored_file_has_nothing_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&path, "PRAGMA journal_mode=wal", 100);
    round_trip(&path).await;
    assert_eq!(common::listing(directory.path()), ["app.db", "restored.db"]);
}

#[tokio::test]
async fn a_transaction_that_a_crash_cut_short_is_rolled_back_as_any_program_would() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    fill(&path, "", 3000);
    let expected = contents(&path);
    let writer = open(&path);
    // A cache this small spills: half of the transaction is in the file, with a journal to undo it.
    writer.execute_batch("PRAGMA cache_size=5; BEGIN; UPDATE t SET body = 'uncommitted' || id").unwrap();
    let crashed = directory.path().join("app.db");
    std::fs::copy(&path, &crashed).unwrap();
    std::fs::copy(directory.path().join("live.db-journal"), directory.path().join("app.db-journal")).unwrap();
    let half = std::fs::read(&crashed).unwrap();
    assert!(half.windows(11).any(|bytes| bytes == b"uncommitted"), "the test has no half transaction");
    let streams = dump(&file(&crashed)).await;
    let target = directory.path().join("restored.db");
    restore(&file(&target), &streams, false).await.unwrap();
    assert!(contents(&target) == expected, "half a transaction was backed up");
}
