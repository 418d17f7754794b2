//! The rule that decides what the next backup of a job reads: pure functions of its history.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connector::Capabilities;
use crate::id::Id;
use crate::time::Timestamp;

/// What a backup was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupKind {
    /// Nothing: everything was read.
    Full,
    /// The newest backup.
    Incremental,
    /// The newest full backup.
    Differential,
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Differential => "differential",
        })
    }
}

/// One backup, as a strategy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastBackup {
    /// Its id.
    pub id: Id,
    /// What it was compared with.
    pub kind: BackupKind,
    /// When it was begun.
    pub started: Timestamp,
    /// Whether a later verification found it bad.
    pub failed_verification: bool,
}

/// The backups of a job that still exist, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The backups.
    pub backups: Vec<PastBackup>,
}

/// What the next backup reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Everything.
    Full {
        /// Why, when the strategy would have preferred something else.
        reason: Option<String>,
    },
    /// What changed since a backup.
    Since {
        /// The backup.
        parent: Id,
        /// Incremental or differential.
        kind: BackupKind,
    },
    /// Nothing is to be done.
    Skip {
        /// Why.
        reason: String,
    },
}

/// Decides what the next backup reads. Pure: no clock, no storage, no database.
///
/// Every implementation passes `kronos_core::testing::strategy_conformance`.
pub trait Strategy: fmt::Debug + Send + Sync {
    /// The name users write.
    fn name(&self) -> &str;
    /// Decides.
    fn plan(&self, history: &History, can: &Capabilities, now: Timestamp) -> Plan;
}

/// Everything is read each time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Full;

impl Strategy for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn plan(&self, _: &History, _: &Capabilities, _: Timestamp) -> Plan {
        Plan::Full { reason: None }
    }
}

/// What changed since the newest backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Incremental {
    /// A full backup once the newest full one is this old.
    pub full_every: Option<Duration>,
}

impl Strategy for Incremental {
    fn name(&self) -> &'static str {
        "incremental"
    }

    fn plan(&self, history: &History, can: &Capabilities, now: Timestamp) -> Plan {
        if !can.incremental {
            return fall_back("the engine has no incremental backups");
        }
        let Some(full) = newest_full(history) else {
            return fall_back(NO_FULL);
        };
        if is_due(full, self.full_every, now) {
            return fall_back("the newest full backup is old enough for the next");
        }
        match good(history).next_back() {
            Some(parent) => Plan::Since { parent: parent.id, kind: BackupKind::Incremental },
            None => fall_back("there is no good backup to compare with"),
        }
    }
}

/// What changed since the newest full backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Differential {
    /// A full backup once the newest full one is this old.
    pub full_every: Option<Duration>,
}

impl Strategy for Differential {
    fn name(&self) -> &'static str {
        "differential"
    }

    fn plan(&self, history: &History, can: &Capabilities, now: Timestamp) -> Plan {
        if !can.differential {
            return fall_back("the engine has no differential backups");
        }
        match newest_full(history) {
            None => fall_back(NO_FULL),
            Some(full) if is_due(full, self.full_every, now) => {
                fall_back("the newest full backup is old enough for the next")
            }
            Some(full) => Plan::Since { parent: full.id, kind: BackupKind::Differential },
        }
    }
}

const NO_FULL: &str = "there is no good full backup to follow";

fn fall_back(reason: &str) -> Plan {
    Plan::Full { reason: Some(reason.to_owned()) }
}

fn good(history: &History) -> impl DoubleEndedIterator<Item = &PastBackup> {
    history.backups.iter().filter(|b| !b.failed_verification)
}

fn newest_full(history: &History) -> Option<&PastBackup> {
    good(history).rfind(|b| b.kind == BackupKind::Full)
}

fn is_due(full: &PastBackup, every: Option<Duration>, now: Timestamp) -> bool {
    every.is_some_and(|every| now.since(full.started) >= every)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(n: u8, kind: BackupKind, day: i64, failed: bool) -> PastBackup {
        PastBackup { id: Id([n; 16]), kind, started: at(day), failed_verification: failed }
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_micros(day * 86_400_000_000)
    }

    #[test]
    fn increments_follow_the_newest_good_backup_and_differentials_the_full_one() {
        let can = Capabilities::new().with_increments();
        let history = History {
            backups: vec![
                past(1, BackupKind::Full, 0, false),
                past(2, BackupKind::Incremental, 1, false),
                past(3, BackupKind::Incremental, 2, true),
            ],
        };
        let plan = Incremental::default().plan(&history, &can, at(3));
        assert_eq!(plan, Plan::Since { parent: Id([2; 16]), kind: BackupKind::Incremental });
        let plan = Differential::default().plan(&history, &can, at(3));
        assert_eq!(plan, Plan::Since { parent: Id([1; 16]), kind: BackupKind::Differential });
        let weekly = Incremental { full_every: Some(Duration::from_hours(48)) };
        assert!(matches!(weekly.plan(&history, &can, at(3)), Plan::Full { reason: Some(_) }));
        assert!(matches!(
            Incremental::default().plan(&history, &Capabilities::new(), at(3)),
            Plan::Full { reason: Some(_) }
        ));
    }
}
