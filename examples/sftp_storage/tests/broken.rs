//! Connections that break and servers that are killed, at any moment.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{
    BackupOptions, ChunkerParameters, ErrorKind, Event, Observer, Protection, ReadData, Repository, RestoreOptions,
    Retry, RunContext, StorageExt, backup, check, find_backup, restore,
};
use libtest_mimic::Trial;

use super::key;
use super::server::{Place, block_on, on_the_server, variable};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        on_the_server("a_cut_connection_is_made_again", |place| block_on(cut(place))),
        on_the_server("an_upload_goes_on_over_another_connection", |place| block_on(cut_uploads(place))),
        on_the_server("a_server_that_stops_answering", |place| block_on(stopped(place))),
        on_the_server("the_server_is_killed", |place| block_on(killed(place))),
    ]
}

/// Sends a signal to the processes that serve connections: children of the one that waits for them, and theirs.
fn signal_sessions(place: &Place, signal: &str) {
    let mut processes = vec![place.process().to_string()];
    let mut looked_at = 0;
    while let Some(process) = processes.get(looked_at) {
        let children = Command::new("pgrep").args(["-P", process]).output().unwrap();
        processes.extend(String::from_utf8(children.stdout).unwrap().lines().map(str::to_owned));
        looked_at += 1;
    }
    assert!(processes.len() > 1, "there is no session");
    // One of them may just have ended by itself.
    let _ = Command::new("kill").args(["-s", signal]).args(&processes[1..]).output().unwrap();
}

async fn cut(place: Place) {
    let storage = place.clone().with("timeout", "10").fresh();
    let there = key("a/b");
    storage.put(&there, Bytes::from_static(b"content")).await.unwrap();
    // While nothing is under way, nobody notices.
    signal_sessions(&place, "KILL");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(storage.get(&there).await.unwrap(), "content");
    // In the middle of many calls, each says that it may be made again.
    let bytes = Bytes::from(vec![3; 8 << 20]);
    for round in 0..5 {
        let calls: Vec<_> = (0..8)
            .map(|n| {
                let (storage, bytes) = (Arc::clone(&storage), bytes.clone());
                tokio::spawn(async move { storage.put(&key(&format!("c/{n}")), bytes).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(10 + 30 * round)).await;
        signal_sessions(&place, "KILL");
        for call in calls {
            if let Err(error) = call.await.unwrap() {
                // A call that is made in the very moment of the cut may have to wait for its time to be up.
                assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Timeout), "{error:?}");
                assert_eq!(error.retry(), Retry::Later, "{error:?}");
            }
        }
        assert_eq!(storage.get(&there).await.unwrap(), "content", "the next call connects again");
    }
    for object in storage.list_all(None).await.unwrap().iter().filter(|object| object.key != there) {
        assert!(storage.get(&object.key).await.unwrap() == bytes, "what has a name is whole");
    }
}

async fn cut_uploads(place: Place) {
    const PART: usize = 5 << 20;
    let storage = place.fresh();
    let whole: Vec<u8> = (0..4 * PART + 1000).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut upload = storage.begin_upload(&key("a/large")).await.unwrap();
    for (n, part) in (0..).zip(whole.chunks(PART)) {
        let cutter = tokio::task::spawn_blocking({
            let place = place.clone();
            move || {
                std::thread::sleep(Duration::from_millis(n * 15));
                signal_sessions(&place, "KILL");
            }
        });
        while let Err(error) = upload.write(Bytes::copy_from_slice(part)).await {
            assert_eq!(error.retry(), Retry::Later, "{error:?}");
        }
        cutter.await.unwrap();
    }
    while let Err(error) = upload.finish().await {
        assert_eq!(error.retry(), Retry::Later, "{error:?}");
    }
    assert!(storage.get(&key("a/large")).await.unwrap() == whole, "each part once, in order");
}

async fn stopped(place: Place) {
    let storage = place.clone().with("timeout", "2").fresh();
    let there = key("a/b");
    storage.put(&there, Bytes::from_static(b"content")).await.unwrap();
    signal_sessions(&place, "STOP");
    let error = storage.get(&there).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Later), "{error:?}");
    assert_eq!(storage.get(&there).await.unwrap(), "content", "over a new connection");
    signal_sessions(&place, "KILL");
}

/// Counts what is tried again, and lets nothing go on once there are bytes to be sent, until the server is
/// dead.
#[derive(Debug, Default)]
struct Retries {
    count: AtomicU32,
    is_sending: AtomicBool,
    is_dead: AtomicBool,
}

impl Observer for Retries {
    fn on_event(&self, event: &Event) {
        match event {
            Event::Retrying { .. } => {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            Event::Progress { stored: 1.., .. } => {
                self.is_sending.store(true, Ordering::Relaxed);
                let began = Instant::now();
                while !self.is_dead.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(20) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            _ => {}
        }
    }
}

/// The server dies in the middle of a backup and comes back.
async fn killed(place: Place) {
    let files = tempfile::tempdir().unwrap();
    let (data, restored) = (files.path().join("data.db"), files.path().join("restored.db"));
    let database = rusqlite::Connection::open(&data).unwrap();
    let fill = "CREATE TABLE t (b BLOB); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 96)
                INSERT INTO t SELECT randomblob(1048576) FROM n;";
    database.execute_batch(fill).unwrap();
    database.close().unwrap();

    let location = place.new_location();
    let (storage, retries) = (place.open(&location), Arc::new(Retries::default()));
    let run = RunContext::new().with_observer(Arc::clone(&retries) as Arc<dyn Observer>);
    let parameters = ChunkerParameters::default();
    let repository = Repository::init(Arc::clone(&storage), &Protection::None, parameters, &run).await.unwrap();
    let source = Arc::new(SqliteSource::new(SqliteSettings::file(&data)).unwrap());
    let told = Arc::clone(&retries);
    let killer = std::thread::spawn(move || {
        while !told.is_sending.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        for action in ["KILL", "RESTART"] {
            let output = Command::new("sh").args(["-c", &variable(action).unwrap()]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            told.is_dead.store(true, Ordering::Relaxed);
        }
    });
    let first = backup(&repository, &*source, &BackupOptions::new(), &run).await;
    killer.join().unwrap();
    assert!(retries.count.load(Ordering::Relaxed) > 0, "it was at work");
    if let Err(error) = first {
        assert_eq!(error.retry(), Retry::Exhausted, "{error:?}");
        backup(&repository, &*source, &BackupOptions::new(), &run).await.unwrap();
    }
    let report = check(&repository, ReadData::All, &run).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    let latest = find_backup(&repository, "latest", &run).await.unwrap();
    let target = SqliteSource::new(SqliteSettings::file(&restored)).unwrap();
    restore(&repository, &latest, &target, &RestoreOptions::new(), &run).await.unwrap();
    assert!(std::fs::read(&data).unwrap() == std::fs::read(&restored).unwrap());
}
