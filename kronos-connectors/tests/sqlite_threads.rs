//! No thread outlives its dump. Alone in its file: threads are counted for the whole process.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{file, fill};
use kronos_core::{Connector, DumpRequest, RunContext, StreamId};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter(|task| {
            let name = std::fs::read_to_string(task.as_ref().unwrap().path().join("comm"));
            name.is_ok_and(|name| name.trim() == "kronos-sqlite")
        })
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_thread_outlives_its_dump() {
    for mode in ["wal", "delete"] {
        for aborted in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("app.db");
            fill(&path, &format!("PRAGMA journal_mode={mode}"), 60_000);
            let dump = file(&path).begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
            let mut stream = dump.open(StreamId(0)).await.unwrap();
            stream.next().await.unwrap();
            // In rollback mode a local copy may be complete by now, and the thread that made it gone.
            assert!(threads() > 0 || mode == "delete", "the test looks for the wrong name");
            // The stream is still there: it is the dump that ends the threads.
            if aborted {
                dump.abort().await;
            } else {
                drop(dump);
            }
            let begun = Instant::now();
            while threads() > 0 {
                assert!(begun.elapsed() < Duration::from_secs(20), "a thread lives on: {mode}, aborted: {aborted}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            drop(stream);
        }
    }
}
