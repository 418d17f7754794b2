//! For each way in which a dump or a restore of the mock can fail: no backup comes of it, the target
//! stays as it was, and the repository is clean and can be used afterwards.
#![cfg(feature = "mocks")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use kronos_connectors::mock::{Fault, MockSettings, MockSource};
use kronos_core::testing::MemoryStorage;
use kronos_core::{
    BackupOptions, ChunkerParameters, ConnectionStatus, Connector, Error, ErrorKind, Protection, ReadData, Repository,
    RestoreOptions, Retry, RunContext, backup, check, find_backup, list, restore,
};

const SIZE: u64 = 1 << 20;

/// A source with four streams, and a repository that has one backup of it.
struct Bench {
    source: MockSource,
    repository: Repository,
}

impl Bench {
    async fn new() -> Self {
        let settings = MockSettings::new("shop").with_streams(4).with_size(SIZE).with_change(0.3);
        let source = MockSource::new(settings).unwrap();
        let storage = Arc::new(MemoryStorage::new());
        let chunker = ChunkerParameters::default();
        let repository = Repository::init(storage, &Protection::None, chunker, &RunContext::new()).await.unwrap();
        let bench = Self { source, repository };
        bench.back_up(&RunContext::new()).await.unwrap();
        bench.source.advance();
        bench
    }

    async fn back_up(&self, run: &RunContext) -> Result<(), Error> {
        backup(&self.repository, &self.source, &BackupOptions::new(), run).await.map(drop)
    }

    async fn backups(&self) -> usize {
        list(&self.repository, None, &RunContext::new()).await.unwrap().backups.len()
    }

    async fn restore_into(&self, target: &MockSource, replace: bool, run: &RunContext) -> Result<(), Error> {
        let latest = find_backup(&self.repository, "latest", run).await.unwrap();
        let mut options = RestoreOptions::new();
        options.replace = replace;
        restore(&self.repository, &latest, target, &options, run).await.map(drop)
    }

    async fn is_clean(&self) {
        let report = check(&self.repository, ReadData::All, &RunContext::new()).await.unwrap();
        assert!(report.problems.is_empty() && report.damaged_backups.is_empty(), "{report:?}");
    }

    /// A backup fails with this kind; nothing of it is seen, and the next one is whole.
    async fn survives(&self, fault: Fault, kind: ErrorKind) -> Error {
        let before = self.source.contents();
        self.source.fail_times(fault, 1);
        let error = self.back_up(&RunContext::new()).await.expect_err("a dump that fails");
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(self.backups().await, 1, "a dump that failed became a backup");
        self.is_clean().await;

        self.back_up(&RunContext::new()).await.unwrap();
        assert_eq!(self.backups().await, 2);
        self.is_clean().await;
        let target = MockSource::new(MockSettings::empty("target")).unwrap();
        self.restore_into(&target, false, &RunContext::new()).await.unwrap();
        assert_eq!(target.contents(), before);
        error
    }

    /// A restore fails with this kind; the target stays as it was, and the next one is whole.
    async fn restore_survives(&self, fault: Fault, kind: ErrorKind) {
        self.back_up(&RunContext::new()).await.unwrap();
        let old = MockSettings::new("target").with_streams(2).with_seed(9);
        for (settings, replace) in [(MockSettings::empty("target"), false), (old, true)] {
            let target = MockSource::new(settings).unwrap();
            let before = target.contents();
            target.fail_times(fault, 1);
            let error = self.restore_into(&target, replace, &RunContext::new()).await.expect_err("a restore");
            assert_eq!(error.kind(), kind, "{error:?}");
            assert_eq!(target.contents(), before, "a restore that failed changed its target");
            self.is_clean().await;
            self.restore_into(&target, replace, &RunContext::new()).await.unwrap();
            assert_eq!(target.contents(), self.source.contents());
        }
    }
}

#[tokio::test]
async fn nobody_is_let_in() {
    for (kind, status) in [
        (ErrorKind::ConnectionFailed, ConnectionStatus::Disconnected),
        (ErrorKind::Timeout, ConnectionStatus::Disconnected),
        (ErrorKind::Authentication, ConnectionStatus::Error),
        (ErrorKind::PermissionDenied, ConnectionStatus::Error),
    ] {
        let bench = Bench::new().await;
        bench.source.fail_times(Fault::Connect(kind), 1);
        let report = bench.source.test_connection().await.unwrap();
        assert_eq!((report.status, report.version), (status, None), "{kind:?}");
        assert!(report.message.is_some());
        bench.source.heal();
        let error = bench.survives(Fault::Connect(kind), kind).await;
        let passing = status == ConnectionStatus::Disconnected;
        assert_eq!(error.retry(), if passing { Retry::Later } else { Retry::Never }, "{kind:?}");
    }
}

#[tokio::test]
async fn a_stream_fails_half_way() {
    for after in [0, 100_000, SIZE - 1] {
        Bench::new().await.survives(Fault::Read { after, kind: ErrorKind::QueryFailed }, ErrorKind::QueryFailed).await;
    }
}

#[tokio::test]
async fn a_stream_stops_without_its_end_mark() {
    for after in [0, 100_000, SIZE - 1] {
        Bench::new().await.survives(Fault::Stop { after }, ErrorKind::Io).await;
    }
}

#[tokio::test]
async fn an_end_mark_is_of_other_bytes() {
    Bench::new().await.survives(Fault::WrongEnd, ErrorKind::Internal).await;
}

#[tokio::test]
async fn all_is_read_and_then_the_end_fails() {
    Bench::new().await.survives(Fault::Finish(ErrorKind::ToolFailed), ErrorKind::ToolFailed).await;
}

#[tokio::test]
async fn the_run_is_cancelled_half_way() {
    for after in [0, 100_000, SIZE - 1] {
        Bench::new().await.survives(Fault::Cancel { after }, ErrorKind::Cancelled).await;
    }
}

#[tokio::test]
async fn a_slow_source_is_cancelled_at_once() {
    let slow = MockSettings::new("slow").with_pause(Duration::from_hours(1));
    let source = MockSource::new(slow).unwrap();
    let (run, bench) = (RunContext::new(), Bench::new().await);
    let token = run.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        token.cancel();
    });
    let begun = Instant::now();
    let error = backup(&bench.repository, &source, &BackupOptions::new(), &run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(30), "it waited for {:?}", begun.elapsed());
    assert_eq!(bench.backups().await, 1);
    bench.is_clean().await;
}

#[tokio::test]
async fn a_restore_fails_while_it_writes() {
    for after in [0, 100_000, SIZE - 1] {
        let fault = Fault::Write { after, kind: ErrorKind::StorageFull };
        Bench::new().await.restore_survives(fault, ErrorKind::StorageFull).await;
    }
}

#[tokio::test]
async fn a_restore_fails_at_its_end() {
    Bench::new().await.restore_survives(Fault::Place(ErrorKind::QueryFailed), ErrorKind::QueryFailed).await;
}

#[tokio::test]
async fn a_restore_is_not_let_in() {
    Bench::new().await.restore_survives(Fault::Connect(ErrorKind::Timeout), ErrorKind::Timeout).await;
}
