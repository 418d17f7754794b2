//! What a backup would do, and what it did.

use serde::Serialize;

use crate::error::Error;
use crate::id::Id;
use crate::manifest::BackupInfo;
use crate::strategy::BackupKind;

/// What a backup would do.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BackupPlan {
    /// The job.
    pub job: String,
    /// Whether the job would be made.
    pub new_job: bool,
    /// Full, incremental or differential; `None` when there is nothing to do.
    #[serde(rename = "strategy")]
    pub kind: Option<BackupKind>,
    /// The backup it would be compared with.
    pub parent: Option<Id>,
    /// Why the strategy fell back or does nothing.
    pub reason: Option<String>,
    /// About how many bytes would be read.
    pub estimate: u64,
}

/// What a backup did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The backup; `None` when the strategy found nothing to do.
    pub backup: Option<BackupInfo>,
    /// Why the strategy fell back or did nothing.
    pub reason: Option<String>,
    /// Backups that had been damaged, and are whole again because this one stored what they lacked.
    pub healed: Vec<Id>,
}

/// What a backup into several storages did. There is one in at least one of them, unless there was
/// nothing to do.
#[derive(Debug)]
#[non_exhaustive]
pub struct SeveralReport {
    /// One for each storage, in the order in which they were given.
    pub storages: Vec<StorageReport>,
    /// Why the strategy fell back or did nothing.
    pub reason: Option<String>,
}

impl SeveralReport {
    /// The backup, in the first storage that has it. It has the same id in all of them.
    pub fn backup(&self) -> Option<&BackupInfo> {
        self.storages.iter().find_map(|s| match &s.outcome {
            StorageOutcome::Committed(backup) => Some(&**backup),
            _ => None,
        })
    }
}

/// What became of one of several storages.
#[derive(Debug)]
#[non_exhaustive]
pub struct StorageReport {
    /// Which.
    pub storage: String,
    /// Whether it has the backup.
    pub outcome: StorageOutcome,
    /// Backups that had been damaged there, and are whole again.
    pub healed: Vec<Id>,
}

/// Whether a storage has the backup.
#[derive(Debug)]
pub enum StorageOutcome {
    /// It has.
    Committed(Box<BackupInfo>),
    /// It has not, for there was nothing to do.
    NothingToDo,
    /// It has not: this went wrong there. The error's context says if that is in doubt.
    Failed(Error),
    /// It has not: the others had waited for it long enough, see [`SlowStorage`](crate::SlowStorage).
    Dropped(Error),
}
