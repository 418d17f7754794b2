//! What a run into one or several storages did, as `kronos.backup/1` shows it.

use kronos_core::{BackupInfo, BackupPlan, Error, Id};
use serde::Serialize;

use crate::config::JobMethod;
use crate::failure::Failure;
use crate::report::{BackupFigures, Ended, RunReport, StorageEnded, StorageFigures};

/// What one job did.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct JobResult {
    /// The job.
    pub job: String,
    /// The source, without secrets.
    pub source: Option<String>,
    /// How the source was read: `native` or `tool`.
    pub method: &'static str,
    /// What was planned.
    pub plan: Option<BackupPlan>,
    /// The backup, when there is one.
    pub backup: Option<BackupInfo>,
    /// Why the strategy fell back or did nothing.
    pub reason: Option<String>,
    /// Damaged backups that this one has made whole.
    pub healed: Vec<Id>,
    /// One for each storage.
    pub storages: Vec<StorageResult>,
    /// Why the job failed as a whole.
    pub error: Option<Failure>,
}

/// What became of one storage.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct StorageResult {
    /// Its location, without secrets.
    pub storage: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Backups of earlier runs that were copied to it.
    pub caught_up: u64,
    /// It still lacks backups that another storage has; a later run tries again.
    pub behind: bool,
    /// Backups that the job's rules let go here, oldest first.
    pub forgotten: Vec<Id>,
    /// Bytes freed here.
    pub freed: u64,
    /// What went wrong there.
    pub error: Option<Failure>,
    /// The same as an error, for whoever shows hints.
    #[serde(skip)]
    pub cause: Option<Error>,
    /// Its name in the configuration.
    #[serde(skip)]
    pub name: Option<String>,
}

/// Whether a storage has the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The backup was made here.
    BackedUp,
    /// The backup was copied to here.
    Copied,
    /// A dry run: it would be made here.
    WouldBackUp,
    /// A dry run: it would be copied to here.
    WouldCopy,
    /// The strategy found nothing to do.
    NothingToDo,
    /// It was too slow and has not got the backup.
    Dropped,
    /// Something went wrong there.
    Failed,
}

impl JobResult {
    /// A job that has done nothing yet.
    pub fn new(job: impl Into<String>, method: JobMethod) -> Self {
        let method = if method == JobMethod::Tool { "tool" } else { "native" };
        let (storages, source) = (Vec::new(), None);
        let (plan, backup, reason, healed, error) = (None, None, None, Vec::new(), None);
        Self { job: job.into(), source, method, plan, backup, reason, healed, storages, error }
    }

    /// Notes why the job failed as a whole.
    pub fn fail(&mut self, error: &Error) {
        self.error = Some(Failure::of(error));
    }

    /// Whether it failed, as a whole or in one of its storages.
    pub fn has_failed(&self) -> bool {
        self.error.is_some() || self.storages.iter().any(|s| s.outcome == Outcome::Failed)
    }

    /// Whether there was nothing to do.
    pub fn did_nothing(&self) -> bool {
        !self.storages.is_empty() && self.storages.iter().all(|s| s.outcome == Outcome::NothingToDo)
    }

    /// Writes down what others are told of it.
    pub fn tell(&self, report: &mut RunReport) {
        report.job.clone_from(&self.job);
        report.source.clone_from(&self.source);
        report.error.clone_from(&self.error);
        report.backup = self.backup.as_ref().map(|b| BackupFigures {
            id: b.id,
            strategy: b.kind,
            bytes: b.bytes,
            bytes_read: b.bytes_read,
            bytes_stored: b.bytes_stored,
            rows: b.rows,
            chunks: None,
        });
        report.notes.extend(self.backup.iter().flat_map(|b| b.warnings.iter().cloned()));
        report.storages = self.storages.iter().map(StorageResult::figures).collect();
        let all_have_it =
            self.storages.iter().all(|s| !s.behind && !matches!(s.outcome, Outcome::Failed | Outcome::Dropped));
        report.ended = match &self.error {
            Some(error) if error.kind == "cancelled" => Ended::Cancelled,
            Some(_) => Ended::Failed,
            None if self.did_nothing() => Ended::Nothing,
            None if all_have_it && report.warnings.is_empty() => Ended::Succeeded,
            None => Ended::Warnings,
        };
    }
}

impl StorageResult {
    /// What others are told of it.
    pub(super) fn figures(&self) -> StorageFigures {
        StorageFigures {
            storage: self.name.clone().unwrap_or_else(|| self.storage.clone()),
            ended: match self.outcome {
                Outcome::BackedUp | Outcome::Copied => StorageEnded::Stored,
                Outcome::WouldBackUp | Outcome::WouldCopy | Outcome::NothingToDo => StorageEnded::Nothing,
                Outcome::Dropped => StorageEnded::Dropped,
                Outcome::Failed => StorageEnded::Failed,
            },
            caught_up: self.caught_up,
            behind: self.behind || matches!(self.outcome, Outcome::Failed | Outcome::Dropped),
            forgotten: self.forgotten.len() as u64,
            freed: self.freed,
            error: self.error.clone(),
        }
    }
}
