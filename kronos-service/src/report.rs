//! What one run of a job did: what hooks, notifications, the job store, metrics and the audit log
//! are told. Shown as `kronos.run/1`.

use kronos_core::{BackupKind, Id, Timestamp};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Operation {
    /// Makes a backup, and lets go of old ones afterwards.
    Backup,
    /// Brings a backup back.
    Restore,
    /// Restores into a scratch place and compares.
    Verify,
    /// Lets go of old backups.
    Prune,
    /// Brings backups to a storage that has missed them.
    CatchUp,
}

/// Who asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Trigger {
    /// Somebody, or a program such as cron, by a command.
    Manual,
    /// The schedule.
    Schedule,
    /// A run that had failed.
    Retry,
    /// The machine was off, or the daemon not running, when the schedule would have.
    Missed,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ended {
    /// As it should.
    Succeeded,
    /// Well, but something should be looked at: a storage that was down, a warning of the engine.
    Warnings,
    /// There was nothing to do.
    Nothing,
    /// No storage has the backup.
    Failed,
    /// It was stopped; the next run goes on where it was.
    Cancelled,
}

impl Ended {
    /// Whether it went well. That nothing had to be done is well, too: the newest backup is as good as
    /// new.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Succeeded | Self::Warnings | Self::Nothing)
    }
}

/// The chunks that a backup was cut into, those of streams taken over unread apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkFigures {
    /// All of them.
    pub cut: u64,
    /// Those that at least one storage lacked; the rest was there.
    pub new: u64,
}

/// The backup that a run made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFigures {
    /// Its id, the same in every storage.
    pub id: Id,
    /// What it was compared with.
    pub strategy: BackupKind,
    /// Bytes of all its streams.
    pub bytes: u64,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Bytes added to one storage.
    pub bytes_stored: u64,
    /// The number of its rows, where the engine has such.
    pub rows: Option<u64>,
    /// Its chunks, where they were counted.
    #[serde(default)]
    pub chunks: Option<ChunkFigures>,
}

/// Whether a storage has the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StorageEnded {
    /// It was made here, or copied to here.
    Stored,
    /// There was nothing to do.
    Nothing,
    /// It was too slow and has not got the backup; it is caught up later.
    Dropped,
    /// Something went wrong there; it is caught up later.
    Failed,
}

/// What became of one storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageFigures {
    /// Its name in the configuration, else its location without secrets.
    pub storage: String,
    /// Whether it has the backup.
    pub ended: StorageEnded,
    /// Backups of earlier runs that were copied to it.
    pub caught_up: u64,
    /// It lacks backups that another storage has, or may have.
    #[serde(default)]
    pub behind: bool,
    /// Backups that the retention rules let go there.
    #[serde(default)]
    pub forgotten: u64,
    /// Bytes freed there.
    #[serde(default)]
    pub freed: u64,
    /// What went wrong there.
    pub error: Option<Failure>,
}

/// What one run of a job did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunReport {
    /// The run's own id: it stands in each line of the log.
    pub run: Id,
    /// What was done.
    pub operation: Operation,
    /// The job.
    pub job: String,
    /// Who asked for it.
    pub trigger: Trigger,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When the schedule wanted it.
    pub due: Option<Timestamp>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// How it ended.
    pub ended: Ended,
    /// Why it failed as a whole.
    pub error: Option<Failure>,
    /// What somebody should look at, one line each.
    pub warnings: Vec<String>,
    /// What is good to know, one line each: what an engine cannot bring into a backup, for instance.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The source, without secrets.
    pub source: Option<String>,
    /// The backup, when there is one.
    pub backup: Option<BackupFigures>,
    /// One for each storage of the job.
    pub storages: Vec<StorageFigures>,
}

impl RunReport {
    /// A run that has begun and done nothing yet; it counts as failed until somebody says otherwise.
    pub fn begin(run: Id, operation: Operation, job: impl Into<String>, trigger: Trigger, started: Timestamp) -> Self {
        Self {
            run,
            operation,
            job: job.into(),
            trigger,
            attempt: 1,
            due: None,
            started,
            finished: started,
            ended: Ended::Failed,
            error: None,
            warnings: Vec::new(),
            notes: Vec::new(),
            source: None,
            backup: None,
            storages: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kronos_core::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_report_survives_json() {
        let mut report =
            RunReport::begin(Id([7; 16]), Operation::Backup, "shop", Trigger::Schedule, Timestamp::from_micros(1));
        let cause = Error::new(ErrorKind::Io, "the disk is gone");
        let error = Error::new(ErrorKind::StorageFull, "no room").with("hint", "make some").with_source(cause);
        report.error = Some(Failure::of(&error));
        report.storages.push(StorageFigures {
            storage: "main".to_owned(),
            ended: StorageEnded::Dropped,
            caught_up: 1,
            behind: true,
            forgotten: 2,
            freed: 3,
            error: None,
        });
        let text = serde_json::to_string(&report).expect("a report is JSON");
        assert_eq!(serde_json::from_str::<RunReport>(&text).expect("what was written"), report);
        assert!(text.contains(r#""operation":"backup""#) && text.contains(r#""hint":"make some""#), "{text}");
        assert!(text.contains("no room") && text.contains("the disk is gone"), "{text}");
    }
}
