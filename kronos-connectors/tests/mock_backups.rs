//! Backups of the mock: what changes is known, size costs no memory, and a URL makes one.
#![cfg(feature = "mocks")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use kronos_connectors::mock::{MockSettings, MockSource};
use kronos_core::testing::MemoryStorage;
use kronos_core::{
    BackupInfo, BackupOptions, ChunkerParameters, Connector, DumpRequest, ErrorKind, Protection, Registry, Repository,
    RestoreOptions, RunContext, SourceSettings, StreamId, backup, find_backup, restore,
};

async fn repository() -> Repository {
    let storage = Arc::new(MemoryStorage::new());
    Repository::init(storage, &Protection::None, ChunkerParameters::default(), &RunContext::new()).await.unwrap()
}

async fn back_up(repository: &Repository, source: &dyn Connector) -> BackupInfo {
    backup(repository, source, &BackupOptions::new(), &RunContext::new()).await.unwrap().backup.unwrap()
}

#[tokio::test]
async fn the_second_backup_stores_what_changed() {
    let settings = MockSettings::new("shop").with_streams(4).with_size(16 << 20).with_pages(4096).with_change(0.01);
    let (source, repository) = (MockSource::new(settings).unwrap(), repository().await);
    assert!(back_up(&repository, &source).await.bytes_stored > 16 << 20, "these bytes do not compress");
    for _ in 0..3 {
        source.advance();
        // 1% of 1024 pages, in each of four streams.
        assert_eq!(source.changed_bytes(), 4 * 10 * 4096);
        let info = back_up(&repository, &source).await;
        let index = 100_000;
        assert!((source.changed_bytes()..source.changed_bytes() + index).contains(&info.bytes_stored), "{info:?}");
    }
    let target = MockSource::new(MockSettings::empty("target")).unwrap();
    let latest = find_backup(&repository, "latest", &RunContext::new()).await.unwrap();
    restore(&repository, &latest, &target, &RestoreOptions::new(), &RunContext::new()).await.unwrap();
    assert_eq!(target.contents(), source.contents());
    // What was restored is a source like any other.
    target.advance();
    back_up(&repository, &target).await;
}

#[tokio::test]
async fn a_proof_spares_the_reading() {
    let settings = MockSettings::new("shop").with_streams(2).with_proofs();
    let (source, repository) = (MockSource::new(settings).unwrap(), repository().await);
    back_up(&repository, &source).await;
    // Whoever read a stream now would fail.
    source.fail(kronos_connectors::mock::Fault::Read { after: 0, kind: ErrorKind::Io });
    back_up(&repository, &source).await;
    source.advance();
    assert!(backup(&repository, &source, &BackupOptions::new(), &RunContext::new()).await.is_err());
}

#[tokio::test]
async fn a_dump_keeps_what_it_saw_when_it_began() {
    let source = MockSource::new(MockSettings::new("shop").with_change(1.0)).unwrap();
    let before = source.contents();
    let dump = source.begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
    source.advance();
    let (_, end) = dump.open(StreamId(0)).await.unwrap().collect().await.unwrap();
    assert_eq!(before["part-0000"], end);
    assert_ne!(source.contents(), before);
    dump.finish().await.unwrap();
}

#[tokio::test]
async fn hundreds_of_gigabytes_take_no_memory() {
    let source = MockSource::new(MockSettings::new("large").with_streams(3).with_size(900 << 30)).unwrap();
    source.advance();
    assert_eq!(source.estimate_size().await.unwrap(), 900 << 30);
    assert_eq!(source.changed_bytes(), 3 * 786_432 * 4096, "1% of the 78,643,200 pieces of each");
    let dump = source.begin_dump(&DumpRequest::default(), &RunContext::new()).await.unwrap();
    for number in 0..3 {
        let mut stream = dump.open(StreamId(number)).await.unwrap();
        for _ in 0..16 {
            stream.next().await.unwrap();
        }
    }
    dump.abort().await;
}

#[tokio::test]
async fn streams_can_be_left_out() {
    let source = MockSource::new(MockSettings::new("shop").with_streams(3)).unwrap();
    let request = DumpRequest { exclude: vec!["*-0001".to_owned()], ..DumpRequest::default() };
    let dump = source.begin_dump(&request, &RunContext::new()).await.unwrap();
    let names: Vec<&str> = dump.outline().streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["part-0000", "part-0002"]);
}

#[tokio::test]
async fn the_registry_makes_one_by_its_name() {
    let mut registry = Registry::new();
    kronos_connectors::register(&mut registry);
    let options = [("size", "1GB"), ("streams", "4"), ("fail", "connect:timeout")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = SourceSettings { host: Some("shop".to_owned()), options, ..SourceSettings::default() };
    let source = registry.connector("mock", &settings).unwrap();
    assert_eq!((source.describe().as_str(), source.estimate_size().await.unwrap()), ("mock:shop", 1_000_000_000));
    let begun = source.begin_dump(&DumpRequest::default(), &RunContext::new()).await;
    assert_eq!(begun.unwrap_err().kind(), ErrorKind::Timeout);
}
