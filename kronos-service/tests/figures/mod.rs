//! Figures of every kind, so that every metric is shown.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kronos_core::inspect::PoolStatistics;
use kronos_core::testing::{ManualClock, MemoryStorage};
use kronos_core::{BackupKind, Error, ErrorKind, Id, Key, Storage, Timestamp};
use kronos_service::metrics::{MeasuredStorage, Metrics, Names, Queue};
use kronos_service::{
    BackupFigures, ChunkFigures, Ended, Failure, Operation, RunReport, StorageEnded, StorageFigures, Trigger,
};

pub(crate) const OPERATIONS: [Operation; 5] =
    [Operation::Backup, Operation::Restore, Operation::Verify, Operation::Prune, Operation::CatchUp];

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(crate) fn names(jobs: &[&str], storages: &[&str]) -> Names {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Names { jobs: set(jobs), storages: set(storages), databases: set(&["shop"]) }
}

/// A run that began 10 seconds before its end.
pub(crate) fn run(operation: Operation, job: &str, ended: Ended, finished: i64) -> RunReport {
    let mut report = RunReport::begin(Id([7; 16]), operation, job, Trigger::Schedule, at(finished - 10));
    report.finished = at(finished);
    report.ended = ended;
    if ended == Ended::Failed {
        report.error = Some(Failure::of(&Error::new(ErrorKind::Timeout, "too slow")));
    } else if operation == Operation::Backup {
        report.backup = Some(BackupFigures {
            id: Id([8; 16]),
            strategy: BackupKind::Full,
            bytes: 1000,
            bytes_read: 900,
            bytes_stored: 250,
            rows: Some(7),
            chunks: Some(ChunkFigures { cut: 10, new: 4 }),
        });
    }
    report
}

pub(crate) fn storage(name: &str, ended: StorageEnded) -> StorageFigures {
    let failed = (ended == StorageEnded::Failed).then(|| Failure::of(&Error::new(ErrorKind::ConnectionFailed, "gone")));
    StorageFigures {
        storage: name.to_owned(),
        ended,
        caught_up: 1,
        behind: failed.is_some(),
        forgotten: 2,
        freed: 30,
        error: failed,
    }
}

/// Every metric there is has at least one series.
pub(crate) async fn full() -> Metrics {
    let metrics = Metrics::new(at(1));
    metrics.configure(&names(&["shop"], &["main", "offsite"]));
    for operation in OPERATIONS {
        for ended in [Ended::Succeeded, Ended::Failed] {
            let mut report = run(operation, "shop", ended, 100);
            report.storages = vec![storage("main", StorageEnded::Stored), storage("offsite", StorageEnded::Failed)];
            metrics.record(&report);
        }
    }
    metrics.next_due("shop", Some(at(200)));
    metrics.missed("shop", 1);
    metrics.capture_lag("shop", Duration::from_millis(1500));
    metrics.queue(Queue { waiting: 2, running: 1, oldest: Some(at(90)) });
    metrics.reloaded(at(50), true);
    metrics.pool("shop", PoolStatistics { max: 20, size: 3, active: 1, idle: 2, waiting: 0 });
    let clock = Arc::new(ManualClock::new(at(100)));
    let measured = MeasuredStorage::new(Arc::new(MemoryStorage::new()), "main", metrics.clone(), clock);
    let key = Key::new("a/b").expect("a name");
    measured.put(&key, Bytes::from_static(b"12345")).await.expect("a put");
    measured.get(&key).await.expect("what was put");
    metrics
}
