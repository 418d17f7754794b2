//! What is written into the audit log: somebody did something to something, and how it ended.

use std::collections::BTreeMap;

use kronos_core::Id;
use serde::Serialize;

use crate::mask::mask;
use crate::report::{Ended, Operation, RunReport};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// A backup was made.
    Backup,
    /// A backup was brought back.
    Restore,
    /// A backup was restored into a scratch place and compared.
    Verify,
    /// Backups were let go by the rules of retention.
    Prune,
    /// One backup was let go by hand.
    Forget,
    /// A backup was protected, or released.
    Hold,
    /// Backups were copied to another storage.
    Copy,
    /// A backup was written as plain files.
    Export,
    /// A database was asked.
    Query,
    /// A key was added, removed or changed.
    Key,
    /// A repository was made.
    Init,
    /// The daemon began.
    Start,
    /// The daemon ended.
    Stop,
    /// The configuration was read anew.
    Reload,
    /// A job was paused, resumed or run by hand.
    Schedule,
    /// The log itself: what it found of a crash, or of damage, when it went on.
    Log,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// It has begun; another entry says how it ended.
    Started,
    /// As it should.
    Succeeded,
    /// Well, with warnings.
    Warnings,
    /// There was nothing to do.
    Nothing,
    /// It failed.
    Failed,
    /// It was not allowed, or not confirmed.
    Refused,
    /// It was stopped.
    Cancelled,
}

/// Something that is to be written into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What was done.
    pub action: Action,
    /// What it was done to: a job, a storage, a key, a database.
    pub subject: String,
    /// The run, where it was one.
    pub run: Option<Id>,
    /// How it ended.
    pub outcome: Outcome,
    /// What else should be known. Never a secret; logins in URLs are hidden all the same.
    pub details: BTreeMap<String, String>,
}

impl Deed {
    /// Something done, without a run and details.
    pub fn new(action: Action, subject: &str, outcome: Outcome) -> Self {
        Self { action, subject: mask(subject), run: None, outcome, details: BTreeMap::new() }
    }

    /// The same with one more detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.details.insert(name.to_owned(), mask(&value.to_string()));
        self
    }

    /// What a run of a job did.
    pub fn of(report: &RunReport) -> Self {
        let action = match report.operation {
            Operation::Backup => Action::Backup,
            Operation::Restore => Action::Restore,
            Operation::Verify => Action::Verify,
            Operation::Prune => Action::Prune,
            Operation::CatchUp => Action::Copy,
        };
        let outcome = match report.ended {
            Ended::Succeeded => Outcome::Succeeded,
            Ended::Warnings => Outcome::Warnings,
            Ended::Nothing => Outcome::Nothing,
            Ended::Failed => Outcome::Failed,
            Ended::Cancelled => Outcome::Cancelled,
        };
        let mut deed = Self::new(action, &report.job, outcome);
        deed.run = Some(report.run);
        deed = deed.with("trigger", name_of(report.trigger)).with("attempt", report.attempt);
        deed = deed.with("started", report.started);
        if let Some(source) = &report.source {
            deed = deed.with("source", source);
        }
        if let Some(backup) = &report.backup {
            deed = deed.with("backup", backup.id);
        }
        if let Some(error) = &report.error {
            deed = deed.with("error", &error.message).with("error_kind", &error.kind);
        }
        for storage in &report.storages {
            let mut became = name_of(storage.ended);
            if storage.forgotten > 0 {
                became = format!("{became}, {} forgotten", storage.forgotten);
            }
            deed = deed.with(&mask(&format!("storage {}", storage.storage)), became);
        }
        deed
    }
}

/// The name that a plain enumeration has in JSON.
pub(crate) fn name_of(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => unreachable!("an enumeration without fields is a text in JSON, not {other:?}"),
    }
}
