//! A file is called unchanged only when that is proven.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs::{File, FileTimes};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{dump, dump_with, file, fill, open, sql};
use kronos_core::{DumpRequest, Previous, SystemClock, Timestamp};

/// A database, and a previous backup of it that began `after` it was last touched.
struct Case {
    _directory: tempfile::TempDir,
    path: PathBuf,
    previous: Previous,
}

impl Case {
    async fn new(mode: &str, after: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        fill(&path, &format!("PRAGMA journal_mode={mode}"), 500);
        // Nobody waits in a test: the previous backup says that it began later than it did.
        let started = now().plus(after);
        let read = dump(&file(&path)).await.remove(0);
        let streams = [("app.db".to_owned(), read.previous())].into();
        Self { _directory: directory, path, previous: Previous { started, read_in_full: now(), streams } }
    }

    async fn old_enough(mode: &str) -> Self {
        Self::new(mode, Duration::from_secs(3)).await
    }

    async fn is_unchanged(&self) -> bool {
        let request = DumpRequest { previous: Some(self.previous.clone()), ..DumpRequest::default() };
        let (outline, read) = dump_with(&file(&self.path), &request).await;
        assert_eq!(outline.streams[0].unchanged, read.is_empty());
        read.is_empty()
    }
}

fn now() -> Timestamp {
    kronos_core::Clock::now(&SystemClock)
}

/// Writes bytes into the last page of a file, and puts its times back.
fn tamper(path: &Path) {
    let before = std::fs::metadata(path).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(b"x", before.len() - 1).unwrap();
    let times = FileTimes::new().set_modified(before.modified().unwrap()).set_accessed(before.accessed().unwrap());
    file.set_times(times).unwrap();
}

#[tokio::test]
async fn an_untouched_file_is_not_read() {
    for mode in ["delete", "wal"] {
        let case = Case::old_enough(mode).await;
        assert!(case.is_unchanged().await, "{mode}");
        assert!(case.is_unchanged().await, "{mode}: the backup itself touched it");
    }
}

#[tokio::test]
async fn a_commit_is_seen() {
    for mode in ["delete", "wal"] {
        let case = Case::old_enough(mode).await;
        sql(&case.path, "UPDATE t SET body = upper(body) || '' WHERE id = 1");
        assert!(!case.is_unchanged().await, "{mode}");
    }
}

#[tokio::test]
async fn a_commit_that_is_only_in_the_log_is_seen() {
    let case = Case::old_enough("wal").await;
    let writer = open(&case.path);
    writer.execute_batch("PRAGMA wal_autocheckpoint=0; INSERT INTO t(body) VALUES ('x')").unwrap();
    assert!(!case.is_unchanged().await);
    // And such a backup is no ground for the next one: the file does not show its state.
    let read = dump(&file(&case.path)).await.remove(0);
    assert!(!read.info.attributes.contains_key("stat"));
}

#[tokio::test]
async fn an_idle_program_does_not_matter() {
    let case = Case::old_enough("wal").await;
    let _idle = open(&case.path).execute_batch("SELECT * FROM t");
    assert!(case.is_unchanged().await);
}

#[tokio::test]
async fn a_change_in_place_of_the_same_size_with_the_time_put_back_is_seen() {
    let case = Case::old_enough("delete").await;
    std::thread::sleep(Duration::from_millis(20));
    let before = std::fs::metadata(&case.path).unwrap();
    tamper(&case.path);
    let after = std::fs::metadata(&case.path).unwrap();
    assert_eq!((before.modified().unwrap(), before.len()), (after.modified().unwrap(), after.len()));
    assert!(!case.is_unchanged().await);
}

#[tokio::test]
async fn another_file_under_the_same_name_is_seen() {
    let case = Case::old_enough("delete").await;
    let copy = case.path.with_file_name("copy.db");
    std::fs::copy(&case.path, &copy).unwrap();
    std::fs::rename(&copy, &case.path).unwrap();
    assert!(!case.is_unchanged().await);
}

#[tokio::test]
async fn a_journal_beside_it_is_a_doubt() {
    let case = Case::old_enough("delete").await;
    std::fs::write(case.path.with_file_name("app.db-journal"), "").unwrap();
    assert!(!case.is_unchanged().await);
}

#[tokio::test]
async fn a_file_touched_just_before_the_previous_backup_is_a_doubt() {
    let case = Case::new("delete", Duration::from_secs(1)).await;
    assert!(!case.is_unchanged().await);
}

#[tokio::test]
async fn after_a_week_everything_is_read_again() {
    let mut case = Case::old_enough("delete").await;
    let day = Duration::from_hours(24);
    case.previous.read_in_full = now().minus(6 * day);
    assert!(case.is_unchanged().await);
    case.previous.read_in_full = now().minus(7 * day);
    assert!(!case.is_unchanged().await);
}
