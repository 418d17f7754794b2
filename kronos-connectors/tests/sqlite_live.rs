//! Databases that are written while they are backed up.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Read, file, fill, integrity, listing, open, restore, sql};
use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{Connector, Dump, DumpRequest, Piece, RunContext, StreamId};
use rusqlite::ErrorCode;

const ACCOUNTS: i64 = 1000;

fn bank(path: &Path, mode: &str, padding: u32) {
    fill(path, &format!("PRAGMA journal_mode={mode}"), padding);
    sql(
        path,
        &format!(
            "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INT); CREATE TABLE done(n INTEGER PRIMARY KEY);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < {ACCOUNTS})
             INSERT INTO account SELECT i, 100 FROM n"
        ),
    );
}

/// A program that moves money about every few milliseconds, and is not patient.
struct Writer {
    stop: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Writer {
    fn start(path: &Path, patience: Duration, junk: i64) -> Self {
        let (stop, commits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (path, stopped, counter) = (path.to_owned(), stop.clone(), commits.clone());
        let thread = std::thread::spawn(move || {
            let mut connection = open(&path);
            connection.busy_timeout(patience).unwrap();
            let mut busy = 0;
            let mut n = 0;
            while !stopped.load(Ordering::Relaxed) {
                n += 1;
                let moved = (|| {
                    let t = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
                    let (from, to) = (n * 7 % ACCOUNTS + 1, n * 13 % ACCOUNTS + 1);
                    t.execute("UPDATE account SET balance = balance - 1 WHERE id = ?1", [from])?;
                    t.execute("UPDATE account SET balance = balance + 1 WHERE id = ?1", [to])?;
                    t.execute("INSERT INTO done VALUES (NULL)", [])?;
                    t.execute("UPDATE t SET body = hex(randomblob(?1)) WHERE id = 1", [junk])?;
                    t.commit()
                })();
                match moved {
                    Ok(()) => drop(counter.fetch_add(1, Ordering::Relaxed)),
                    Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => busy += 1,
                    Err(e) => panic!("{e}"),
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            busy
        });
        let writer = Self { stop, commits, thread: Some(thread) };
        while writer.commits() < 5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        writer
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// How often it was told that the database is busy.
    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Reads the one stream, with a pause after each piece.
async fn read_slowly(dump: &dyn Dump, pause: Duration) -> Read {
    let mut stream = dump.open(StreamId(0)).await.unwrap();
    let info = stream.info().clone();
    let mut bytes = Vec::new();
    loop {
        match stream.next().await.unwrap().unwrap() {
            Piece::Data(data) => bytes.extend_from_slice(&data),
            Piece::End(end) => return Read { info, bytes, end },
        }
        tokio::time::sleep(pause).await;
    }
}

async fn assert_whole(read: Read, directory: &Path) -> PathBuf {
    let target = directory.join("restored.db");
    restore(&file(&target), &[read], false).await.unwrap();
    assert_eq!(integrity(&target), "ok");
    let sum: i64 = open(&target).query_row("SELECT sum(balance) FROM account", [], |row| row.get(0)).unwrap();
    assert_eq!(sum, ACCOUNTS * 100, "the books do not balance");
    target
}

fn done(path: &Path) -> u64 {
    open(path).query_row("SELECT count(*) FROM done", [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_wal_mode_nobody_waits_and_one_moment_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    bank(&path, "wal", 60_000);
    let writer = Writer::start(&path, Duration::ZERO, 100);

    let before = writer.commits();
    let dump = file(&path).begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
    let snapshot = writer.commits();
    let read = read_slowly(&*dump, Duration::from_millis(30)).await;
    let checkpoint = dump.finish().await.unwrap();
    let after = writer.commits();

    assert_eq!(checkpoint.streams[&StreamId(0)], read.end);
    assert!(checkpoint.warnings.is_empty(), "{:?}", checkpoint.warnings);
    assert!(after - snapshot >= 50, "only {} commits went on during the dump", after - snapshot);
    assert_eq!(writer.end(), 0, "the writer had to wait");
    let target = assert_whole(read, directory.path()).await;
    let seen = done(&target);
    assert!(before <= seen && seen <= snapshot + 1, "{before} <= {seen} <= {snapshot}: not the moment of begin_dump");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_rollback_mode_writers_wait_for_a_copy_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    bank(&path, "delete", 60_000);
    let writer = Writer::start(&path, Duration::from_secs(5), 100);

    let dump = file(&path).begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
    let snapshot = writer.commits();
    assert!(dump.outline().warnings[0].contains("not in WAL mode"), "{:?}", dump.outline().warnings);
    let read = read_slowly(&*dump, Duration::from_millis(30)).await;
    let during = writer.commits() - snapshot;
    dump.finish().await.unwrap();

    assert!(during >= 20, "only {during} commits went on while the stream was read");
    assert_eq!(writer.end(), 0);
    let seen = done(&assert_whole(read, directory.path()).await);
    assert!(seen <= snapshot + 1, "{seen} > {snapshot}");
}

#[tokio::test]
async fn a_small_database_in_rollback_mode_is_let_go_before_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    bank(&path, "delete", 100);
    let dump = file(&path).begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
    let impatient = open(&path);
    impatient.busy_timeout(Duration::ZERO).unwrap();
    impatient.execute_batch("INSERT INTO done VALUES (NULL)").unwrap();
    let read = read_slowly(&*dump, Duration::ZERO).await;
    dump.finish().await.unwrap();
    assert_eq!(done(&assert_whole(read, directory.path()).await), 0);
}

#[tokio::test]
async fn several_files_are_read_as_of_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["a.db", "b.db", "c.db"];
    for (name, mode) in names.into_iter().zip(["wal", "wal", "delete"]) {
        bank(&directory.path().join(name), mode, 100);
    }
    let source = SqliteSource::new(SqliteSettings::directory(directory.path(), names)).unwrap();
    let dump = source.begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
    // Between the opening of one stream and the next, everything changes.
    for (id, name) in (0..).map(StreamId).zip(names) {
        for changed in names {
            sql(&directory.path().join(changed), "INSERT INTO done VALUES (NULL)");
        }
        let stream = dump.open(id).await.unwrap();
        let info = stream.info().clone();
        assert_eq!(info.name, name);
        let (bytes, end) = stream.collect().await.unwrap();
        let target = assert_whole(Read { info, bytes, end }, directory.path()).await;
        assert_eq!(done(&target), 0, "{name}");
        std::fs::remove_file(target).unwrap();
    }
    dump.finish().await.unwrap();
}

fn limited(path: &Path, spool: &Path) -> SqliteSource {
    let mut settings = SqliteSettings::file(path);
    settings.wal_limit = 64 << 10;
    settings.spool_dir = Some(spool.to_owned());
    SqliteSource::new(settings).unwrap()
}

/// Waits until a checkpoint can empty the log: nobody holds a snapshot any more.
async fn log_is_free(path: &Path) -> bool {
    let connection = open(path);
    connection.busy_timeout(Duration::ZERO).unwrap();
    for _ in 0..200 {
        let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
        if busy == 0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grows_too_far_is_let_go_while_the_reader_stands_still() {
    let directory = tempfile::tempdir().unwrap();
    let spool = directory.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let path = directory.path().join("app.db");
    bank(&path, "wal", 60_000);

    for opened in [true, false] {
        let dump = limited(&path, &spool).begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
        let then = done(&path);
        let mut stream = None;
        if opened {
            let mut begun = dump.open(StreamId(0)).await.unwrap();
            let Some(Piece::Data(first)) = begun.next().await.unwrap() else { panic!("no data") };
            stream = Some((begun, first.to_vec()));
        }
        assert!(std::fs::metadata(&path).unwrap().len() > 16 << 20, "the queue must not hold all of it");
        sql(
            &path,
            "PRAGMA wal_autocheckpoint=0; INSERT INTO done VALUES (NULL); UPDATE t SET body = body || 'x' WHERE id % 10 = 0",
        );
        assert!(log_is_free(&path).await, "the snapshot is still held, opened: {opened}");
        assert_eq!(listing(&spool), [""; 0], "a local copy has no name");

        let read = match stream {
            Some((stream, mut bytes)) => {
                let info = stream.info().clone();
                let (rest, end) = stream.collect().await.unwrap();
                bytes.extend(rest);
                Read { info, bytes, end }
            }
            None => read_slowly(&*dump, Duration::ZERO).await,
        };
        let checkpoint = dump.finish().await.unwrap();
        assert!(checkpoint.warnings[0].contains("outgrew the limit"), "{:?}", checkpoint.warnings);
        let target = assert_whole(read, directory.path()).await;
        assert_eq!(done(&target), then, "not the moment of begin_dump");
        std::fs::remove_file(target).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_has_no_place_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    bank(&path, "delete", 60_000);
    let source = limited(&path, &directory.path().join("missing"));
    let error = source.begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap_err();
    assert_eq!(error.kind(), kronos_core::ErrorKind::NotFound);
    assert!(error.context("path").unwrap().ends_with("missing"));
}

fn holds(directory: &Path) -> bool {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .any(|fd| std::fs::read_link(fd.unwrap().path()).is_ok_and(|to| to.starts_with(directory)))
}

async fn settles(what: &str, settled: impl Fn() -> bool) {
    let begun = Instant::now();
    while !settled() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_up_in_the_middle_it_leaves_nothing_behind() {
    for (mode, how) in [("wal", "dump"), ("wal", "stream"), ("wal", "run"), ("delete", "dump"), ("delete", "stream")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        bank(&path, mode, 60_000);
        let before = listing(directory.path());
        let run = RunContext::new();
        let dump = file(&path).begin_dump(&DumpRequest::default(), &run).await.unwrap();
        let mut stream = dump.open(StreamId(0)).await.unwrap();
        stream.next().await.unwrap();
        match how {
            "dump" => {
                drop(dump);
                // The reader learns that there is no more.
                while let Ok(piece) = stream.next().await {
                    assert!(!matches!(piece, Some(Piece::End(_)) | None), "a given up dump ended well");
                }
            }
            "stream" => {
                drop(stream);
                assert!(dump.finish().await.is_err());
            }
            _ => {
                run.cancel.cancel();
                while let Ok(piece) = stream.next().await {
                    assert!(!matches!(piece, Some(Piece::End(_)) | None), "a cancelled dump ended well");
                }
                assert!(dump.finish().await.is_err());
            }
        }
        let real = directory.path().canonicalize().unwrap();
        settles("a file is still open", || !holds(&real)).await;
        assert_eq!(listing(directory.path()), before, "{mode}, {how}");
        sql(&path, "BEGIN EXCLUSIVE; COMMIT");
    }
}
