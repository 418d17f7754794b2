//! A job store in one SQLite file, for the processes of one machine.

mod change;
mod rows;
mod schema;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Id, Result, Retry, Timestamp};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::{
    Adoption, Claimed, HISTORY, JobStore, Outcome, Owner, RunRecord, Settled, Settlement, Skip, SkipReason, Task,
    TaskState,
};

/// A job store in one SQLite file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    connection: Arc<Mutex<Connection>>,
    path: Arc<Path>,
    /// Which file was opened, by its device and number.
    file: (u64, u64),
    history: usize,
}

/// Which file has this name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl SqliteStore {
    /// Opens the file, or makes it, with the directories above it. Several processes may have it
    /// open; it must not lie on a network file system.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open_with_history(path, HISTORY).await
    }

    /// The same; so many ended runs, and so many reasons, of each task are kept.
    pub async fn open_with_history(path: impl Into<PathBuf>, history: usize) -> Result<Self> {
        let path: Arc<Path> = path.into().into();
        let file = path.clone();
        let opened = tokio::task::spawn_blocking(move || schema::open(&file)).await.map_err(stopped)??;
        let file = identity(&path).ok_or_else(|| gone(&path))?;
        Ok(Self { connection: Arc::new(Mutex::new(opened)), file, path, history })
    }

    /// Runs one transaction on a thread that may block.
    async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, usize) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (connection, path, history) = (self.connection.clone(), self.path.clone(), self.history);
        // What is written into a file without a name is seen by nobody.
        if identity(&path) != Some(self.file) {
            return Err(gone(&path));
        }
        let done = tokio::task::spawn_blocking(move || -> rusqlite::Result<T> {
            // A panic within has rolled its transaction back.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            // Two that read first and write later would both be told that they came too late.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction, history)?;
            transaction.commit()?;
            Ok(value)
        });
        done.await.map_err(stopped)?.map_err(|e| failed(e, &path))
    }
}

fn gone(path: &Path) -> Error {
    Error::new(ErrorKind::Conflict, "the job store was removed or replaced")
        .with("path", path.display())
        .with_retry(Retry::Later)
        .with("hint", "start the daemon again")
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "the thread of the job store has stopped").with_source(error)
}

fn failed(error: rusqlite::Error, path: &Path) -> Error {
    let code = error.sqlite_error_code();
    let (kind, message) = match code {
        Some(ErrorCode::DiskFull) => (ErrorKind::StorageFull, "no room for the job store"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (ErrorKind::Locked, "the job store is locked"),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => (ErrorKind::Corrupt, "the job store is damaged"),
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            (ErrorKind::PermissionDenied, "the job store cannot be opened for writing")
        }
        _ => (ErrorKind::Io, "the job store failed"),
    };
    let retry = match code {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Retry::Never,
        _ => Retry::Later,
    };
    let error = Error::new(kind, message).with("path", path.display()).with_retry(retry).with_source(error);
    match kind {
        ErrorKind::Corrupt => error.with("hint", "put the file aside: what it remembers of runs begins anew"),
        _ => error,
    }
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn tasks(&self) -> Result<Vec<TaskState>> {
        self.transact(|t, _| rows::tasks(t, None)).await
    }

    async fn task(&self, task: &Task) -> Result<Option<TaskState>> {
        let task = task.clone();
        self.transact(move |t, _| Ok(rows::tasks(t, Some(&task))?.pop())).await
    }

    async fn adopt(&self, adoptions: &[Adoption], now: Timestamp) -> Result<()> {
        let adoptions = adoptions.to_vec();
        self.transact(move |t, _| adoptions.iter().try_for_each(|adoption| change::adopt(t, adoption, now))).await
    }

    async fn retire(&self, tasks: &[Task], now: Timestamp) -> Result<()> {
        let tasks = tasks.to_vec();
        self.transact(move |t, history| tasks.iter().try_for_each(|task| change::retire(t, task, now, history))).await
    }

    async fn settle(&self, settlements: &[Settlement], now: Timestamp) -> Result<Vec<Settled>> {
        let settlements = settlements.to_vec();
        self.transact(move |t, history| settlements.iter().map(|one| change::settle(t, one, now, history)).collect())
            .await
    }

    async fn claim(&self, run: Id, owner: &Owner, now: Timestamp, until: Timestamp) -> Result<Claimed> {
        let owner = owner.clone();
        self.transact(move |t, _| change::claim(t, run, &owner, now, until)).await
    }

    async fn begin(&self, run: &RunRecord) -> Result<Claimed> {
        let run = run.clone();
        self.transact(move |t, _| change::begin(t, &run)).await
    }

    async fn renew(&self, run: Id, owner: Id, until: Timestamp) -> Result<bool> {
        self.transact(move |t, _| change::renew(t, run, owner, until)).await
    }

    async fn end(
        &self,
        run: Id,
        owner: Id,
        at: Timestamp,
        outcome: &Outcome,
        next: Option<&RunRecord>,
    ) -> Result<bool> {
        let (outcome, next) = (outcome.clone(), next.cloned());
        self.transact(move |t, history| match rows::running(t, run, Some(owner), None)? {
            Some(running) => change::over(t, &running, at, outcome, next.as_ref(), history).map(|()| true),
            None => Ok(false),
        })
        .await
    }

    async fn queued(&self) -> Result<Vec<RunRecord>> {
        self.transact(|t, _| rows::all_queued(t)).await
    }

    async fn expired(&self, now: Timestamp) -> Result<Vec<RunRecord>> {
        self.transact(move |t, _| rows::expired(t, now)).await
    }

    async fn interrupt(&self, run: Id, now: Timestamp, next: Option<&RunRecord>) -> Result<bool> {
        let next = next.cloned();
        self.transact(move |t, history| match rows::running(t, run, None, Some(now))? {
            Some(running) => {
                change::over(t, &running, now, Outcome::Interrupted, next.as_ref(), history).map(|()| true)
            }
            None => Ok(false),
        })
        .await
    }

    async fn drop_queued(&self, run: Id, at: Timestamp, why: SkipReason) -> Result<bool> {
        self.transact(move |t, history| match rows::queued(t, run)? {
            Some(queued) => change::over(t, &queued, at, Outcome::Dropped(why), None, history).map(|()| true),
            None => Ok(false),
        })
        .await
    }

    async fn pause(&self, task: &Task, now: Timestamp) -> Result<()> {
        let paused = task.clone();
        let known = self.transact(move |t, _| change::pause(t, &paused, now)).await?;
        if known { Ok(()) } else { Err(unknown(task)) }
    }

    async fn resume(&self, task: &Task, now: Timestamp) -> Result<()> {
        let resumed = task.clone();
        let known = self.transact(move |t, history| change::resume(t, &resumed, now, history)).await?;
        if known { Ok(()) } else { Err(unknown(task)) }
    }

    async fn rewind(&self, task: &Task, epoch: u32, to: Timestamp) -> Result<bool> {
        let task = task.clone();
        self.transact(move |t, _| change::rewind(t, &task, epoch, to)).await
    }

    async fn runs(&self, task: Option<&Task>, limit: usize) -> Result<Vec<RunRecord>> {
        let task = task.cloned();
        self.transact(move |t, _| rows::runs(t, task.as_ref(), limit)).await
    }

    async fn skips(&self, task: Option<&Task>, limit: usize) -> Result<Vec<Skip>> {
        let task = task.cloned();
        self.transact(move |t, _| rows::skips(t, task.as_ref(), limit)).await
    }
}

fn unknown(task: &Task) -> Error {
    Error::new(ErrorKind::NotFound, "the job store knows no such job").with("job", &task.job)
}
