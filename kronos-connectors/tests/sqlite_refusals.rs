//! What is no database, or cannot be read, is refused with the right words.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{file, fill, open};
use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{
    ConnectionStatus, Connector, DumpRequest, Error, ErrorKind, Registry, Result, Retry, RunContext, SourceSettings,
};

async fn refused(path: &Path) -> Error {
    let begun = file(path).begin_dump(&DumpRequest::default(), &RunContext::new()).await;
    let error = begun.map(drop).expect_err("begin_dump");
    assert_eq!(error.context("path").map(|p| p.ends_with("app.db")), Some(true), "{error}");
    error
}

async fn status(path: &Path) -> (ConnectionStatus, Option<String>) {
    let report = file(path).test_connection().await.unwrap();
    (report.status, report.message)
}

#[tokio::test]
async fn a_missing_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    assert_eq!(refused(&path).await.kind(), ErrorKind::NotFound);
    assert_eq!(status(&path).await.0, ConnectionStatus::Disconnected);
    assert_eq!(file(&path).fingerprint().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!path.exists(), "it was created");
}

#[tokio::test]
async fn a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    std::fs::create_dir(&path).unwrap();
    let error = refused(&path).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Config, "a directory, not a SQLite database"));
    assert_eq!(status(&path).await.0, ConnectionStatus::Error);
}

#[tokio::test]
async fn a_file_of_another_kind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    std::fs::write(&path, "not a database, but long enough to have a header".repeat(100)).unwrap();
    let error = refused(&path).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Config, "not a SQLite database"));
    let (status, message) = status(&path).await;
    assert_eq!(status, ConnectionStatus::Error);
    assert!(message.unwrap().contains("not a SQLite database"));
    assert_eq!(common::listing(directory.path()), ["app.db"]);
}

#[tokio::test]
async fn a_pipe_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(refused(&path).await.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_malformed_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&path, "", 1000);
    // The schema's page is no b-tree any more.
    std::fs::File::options().write(true).open(&path).unwrap().write_all_at(&[0xee; 16], 100).unwrap();
    assert_eq!(refused(&path).await.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_file_that_was_cut_short() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&path, "", 60_000);
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    let whole: Result<()> = async {
        let dump = file(&path).begin_dump(&DumpRequest::default(), &RunContext::new()).await?;
        dump.open(kronos_core::StreamId(0)).await?.collect().await?;
        dump.finish().await.map(drop)
    }
    .await;
    assert_eq!(whole.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_locked_database_is_worth_another_try() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&path, "", 10);
    let writer = open(&path);
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = refused(&path).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Locked, Retry::Later));
}

#[tokio::test]
async fn one_bad_file_of_several_refuses_all() {
    let directory = tempfile::tempdir().unwrap();
    fill(&directory.path().join("good.db"), "", 10);
    let source = SqliteSource::new(SqliteSettings::directory(directory.path(), ["good.db", "missing.db"])).unwrap();
    let error = source.begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn files_are_left_out_by_name() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["app.db", "cache.db"] {
        fill(&directory.path().join(name), "", 10);
    }
    let source = SqliteSource::new(SqliteSettings::directory(directory.path(), ["app.db", "cache.db"])).unwrap();
    let request = DumpRequest { exclude: vec!["cache*".to_owned(), "public.*".to_owned()], ..DumpRequest::default() };
    let (outline, _) = common::dump_with(&source, &request).await;
    assert_eq!(outline.streams.len(), 1);
    assert!(outline.warnings[0].contains("public.*"), "{:?}", outline.warnings);
}

#[test]
fn settings_that_make_no_sense() {
    let mut registry = Registry::new();
    kronos_connectors::register(&mut registry);
    let of = |host: Option<&str>, databases: &[&str]| SourceSettings {
        host: host.map(str::to_owned),
        databases: databases.iter().map(|&d| d.to_owned()).collect(),
        ..SourceSettings::default()
    };
    assert!(registry.engines().contains(&"sqlite"));
    for settings in [
        of(None, &[]),
        of(None, &["a.db", "b.db"]),
        of(None, &["/"]),
        of(None, &[".."]),
        of(Some("/srv"), &["../a.db"]),
        of(Some("/srv"), &["/etc/a.db"]),
        of(Some("/srv"), &["a.db", "a.db"]),
        of(Some(""), &["a.db"]),
        SourceSettings { user: Some("me".to_owned()), ..of(None, &["a.db"]) },
    ] {
        let error = registry.connector("sqlite3", &settings).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{settings:?}");
    }
    let source = registry.connector("sqlite", &of(Some("/srv/shop"), &["a.db", "b.db"])).unwrap();
    assert_eq!((source.describe().as_str(), source.default_job().as_str()), ("sqlite:/srv/shop (a.db, b.db)", "shop"));
}

#[tokio::test]
async fn a_moved_file_and_one_restored_in_place_are_the_same_source() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let moved = directory.path().join("moved.db");
    fill(&path, "", 10);
    let first = file(&path).fingerprint().await.unwrap();
    std::fs::rename(&path, &moved).unwrap();
    assert!(first.is_same_source(&file(&moved).fingerprint().await.unwrap()));
    fill(&path, "", 10);
    let new = file(&path).fingerprint().await.unwrap();
    assert!(first.is_same_source(&new));
    assert!(!file(&moved).fingerprint().await.unwrap().is_same_source(&new));
    let mut elsewhere = SqliteSettings::file(&path);
    elsewhere.machine = "other".to_owned();
    assert!(!new.is_same_source(&SqliteSource::new(elsewhere).unwrap().fingerprint().await.unwrap()));
}
