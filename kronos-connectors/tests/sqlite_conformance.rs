//! SQLite joins the suite that every connector passes.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::testing::{ConnectorFixture, Subject, connector_conformance};

use common::{contents, fill, sql};

#[derive(Debug)]
struct Files {
    root: tempfile::TempDir,
    count: AtomicU32,
    journal_mode: &'static str,
}

impl Files {
    fn directory(&self) -> PathBuf {
        self.root.path().join(self.count.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

#[async_trait]
impl ConnectorFixture for Files {
    async fn source(&self) -> Subject {
        let directory = self.directory();
        std::fs::create_dir(&directory).unwrap();
        for name in ["app.db", "users.db"] {
            fill(&directory.join(name), &format!("PRAGMA journal_mode={}", self.journal_mode), 2000);
        }
        let settings = SqliteSettings::directory(&directory, ["app.db", "users.db"]);
        Subject { connector: Arc::new(SqliteSource::new(settings).unwrap()), place: directory.display().to_string() }
    }

    async fn mutate(&self, source: &Subject) {
        sql(&Path::new(&source.place).join("users.db"), "INSERT INTO t(body) VALUES (hex(randomblob(500)))");
    }

    async fn empty_target(&self) -> Subject {
        let directory = self.directory();
        let settings = SqliteSettings::directory(&directory, [""; 0]);
        Subject { connector: Arc::new(SqliteSource::new(settings).unwrap()), place: directory.display().to_string() }
    }

    async fn contents(&self, subject: &Subject) -> String {
        let Ok(entries) = std::fs::read_dir(&subject.place) else { return String::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        // A dump that was just dropped may be closing them; they are a part of their databases.
        paths.retain(|path| !path.to_string_lossy().ends_with("-wal") && !path.to_string_lossy().ends_with("-shm"));
        paths.iter().fold(String::new(), |text, path| text + &format!("{:?}\n{}", path.file_name(), contents(path)))
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

async fn conforms(journal_mode: &'static str) {
    let root = tempfile::tempdir().unwrap();
    connector_conformance(&Files { root, count: AtomicU32::new(0), journal_mode }).await;
}

#[tokio::test]
async fn in_wal_mode() {
    conforms("wal").await;
}

#[tokio::test]
async fn in_rollback_mode() {
    conforms("delete").await;
}
