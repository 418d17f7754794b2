//! What a run's report adds to the figures.

use super::figures::{Figures, JobFigures, LastBackup, StorageState};
use crate::report::{Ended, Operation, RunReport, StorageEnded, StorageFigures};

impl Figures {
    /// Takes a run into account; without `count` its state only.
    pub(super) fn apply(&mut self, report: &RunReport, count: bool) {
        let storages = &self.storages;
        if let Some(job) = self.jobs.get_mut(&report.job) {
            job.apply(report, count);
            for storage in report.storages.iter().filter(|s| storages.contains_key(&s.storage)) {
                let good = matches!(storage.ended, StorageEnded::Stored | StorageEnded::Nothing);
                if report.operation == Operation::Backup && good {
                    let at = job.storages.entry(storage.storage.clone()).or_insert(report.finished);
                    *at = if count { report.finished } else { report.finished.max(*at) };
                }
            }
        }
        for storage in &report.storages {
            self.with_storage(&storage.storage, |state| state.apply(storage, report, count));
        }
    }
}

impl JobFigures {
    fn apply(&mut self, report: &RunReport, count: bool) {
        let runs = self.operations.entry(report.operation).or_default();
        if !count && runs.last_end.is_some_and(|end| end > report.finished) {
            // It is remembered late, and says only how old the last good one is.
            if report.ended.is_well() {
                runs.last_success = runs.last_success.max(Some(report.finished));
            }
            return;
        }
        runs.last_end = Some(report.finished);
        runs.last_duration = Some(report.finished.since(report.started).as_secs_f64());
        match report.ended {
            // That nothing had to be done is well, too: the newest backup is as good as new.
            Ended::Succeeded | Ended::Warnings | Ended::Nothing => {
                runs.last_success = Some(report.finished);
                runs.failing = 0;
            }
            Ended::Failed => runs.failing += 1,
            Ended::Cancelled => {}
        }
        if count {
            *runs.ended.entry(report.ended).or_default() += 1;
            if report.ended == Ended::Failed {
                let kind = report.error.as_ref().map_or("unknown", |error| error.kind.as_str());
                *runs.failures.entry(kind.to_owned()).or_default() += 1;
            }
        }
        if report.operation != Operation::Backup {
            return;
        }
        if let Some(backup) = &report.backup {
            self.backup = Some(LastBackup {
                bytes: backup.bytes,
                read: backup.bytes_read,
                stored: backup.bytes_stored,
                rows: backup.rows,
            });
            if count {
                self.read += backup.bytes_read;
                self.stored += backup.bytes_stored;
                self.chunks += backup.chunks.map_or(0, |chunks| chunks.cut);
                self.new_chunks += backup.chunks.map_or(0, |chunks| chunks.new);
            }
        }
    }
}

impl StorageState {
    fn apply(&mut self, storage: &StorageFigures, report: &RunReport, count: bool) {
        match storage.ended {
            StorageEnded::Stored | StorageEnded::Nothing => {
                self.up = Some(true);
                self.last_success = Some(report.finished);
            }
            StorageEnded::Failed => self.up = Some(false),
            // It was too slow, which says nothing of whether it answers.
            StorageEnded::Dropped => {}
        }
        if !count {
            return;
        }
        if storage.ended == StorageEnded::Dropped {
            self.dropped += 1;
        }
        if storage.ended == StorageEnded::Failed {
            let kind = storage.error.as_ref().map_or("unknown", |error| error.kind.as_str());
            *self.failures.entry(kind.to_owned()).or_default() += 1;
        }
        self.caught_up += storage.caught_up;
        self.forgotten += storage.forgotten;
        self.freed += storage.freed;
    }
}
