//! JSON files join the suite that every connector passes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use kronos_core::testing::{ConnectorFixture, Subject, connector_conformance};
use kronos_core::{DumpRequest, ErrorKind, RunContext, StreamId};

use super::JsonFiles;

#[derive(Debug)]
struct Directories {
    root: tempfile::TempDir,
    count: AtomicU32,
}

impl Directories {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), count: AtomicU32::new(0) }
    }
}

#[async_trait]
impl ConnectorFixture for Directories {
    async fn source(&self) -> Subject {
        let subject = self.empty_target().await;
        fs::create_dir(&subject.place).unwrap();
        fs::write(format!("{}/orders.json", subject.place), format!("[{}1]", "12345, ".repeat(50_000))).unwrap();
        fs::write(format!("{}/users.json", subject.place), "[]").unwrap();
        subject
    }

    async fn mutate(&self, source: &Subject) {
        let (new, users) = (format!("{}/.new", source.place), format!("{}/users.json", source.place));
        fs::write(&new, fs::read_to_string(&users).unwrap().replace(']', " ]")).unwrap();
        fs::rename(&new, &users).unwrap();
    }

    async fn empty_target(&self) -> Subject {
        let path = self.root.path().join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        Subject { connector: Arc::new(JsonFiles::new(&path)), place: path.display().to_string() }
    }

    async fn contents(&self, subject: &Subject) -> String {
        let Ok(entries) = fs::read_dir(&subject.place) else { return String::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let show = |path| format!("{:?} {}\n", std::path::Path::file_name(path), fs::read_to_string(path).unwrap());
        paths.iter().map(|path| show(path)).collect()
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn conforms() {
    connector_conformance(&Directories::new()).await;
}

#[tokio::test]
async fn a_file_that_is_written_into_ends_the_dump() {
    let directories = Directories::new();
    let source = directories.source().await;
    let dump = source.connector.begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
    fs::write(format!("{}/orders.json", source.place), "[]").unwrap();
    let read = dump.open(StreamId(0)).await.unwrap().collect().await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(dump.finish().await.is_err());
}
