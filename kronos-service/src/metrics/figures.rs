//! What is known, as plain data: exposed to Prometheus, and kept beside a textfile.

use std::collections::BTreeMap;

use kronos_core::Timestamp;
use kronos_core::inspect::PoolStatistics;
use serde::{Deserialize, Serialize};

use super::Names;
use super::latency::Latency;
use crate::report::{Ended, Operation};

/// All figures of a process, or of a textfile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    pub(super) jobs: BTreeMap<String, JobFigures>,
    pub(super) storages: BTreeMap<String, StorageState>,
    /// Of this process only: another one has other pools and another queue.
    #[serde(skip)]
    pub(super) pools: BTreeMap<String, Option<PoolStatistics>>,
    #[serde(skip)]
    pub(super) service: Service,
}

/// One job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct JobFigures {
    pub(super) operations: BTreeMap<Operation, Runs>,
    pub(super) backup: Option<LastBackup>,
    pub(super) read: u64,
    pub(super) stored: u64,
    pub(super) chunks: u64,
    pub(super) new_chunks: u64,
    /// When each storage last had the newest backup.
    pub(super) storages: BTreeMap<String, Timestamp>,
    pub(super) next_due: Option<Timestamp>,
    pub(super) paused: bool,
    pub(super) missed: u64,
    /// In seconds.
    pub(super) capture_lag: Option<f64>,
}

/// The runs of one operation of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Runs {
    pub(super) last_success: Option<Timestamp>,
    pub(super) last_end: Option<Timestamp>,
    /// In seconds.
    pub(super) last_duration: Option<f64>,
    /// How many have failed since the last one that did not.
    pub(super) failing: u64,
    pub(super) ended: BTreeMap<Ended, u64>,
    pub(super) failures: BTreeMap<String, u64>,
}

/// The newest backup of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LastBackup {
    pub(super) bytes: u64,
    pub(super) read: u64,
    pub(super) stored: u64,
    pub(super) rows: Option<u64>,
}

/// One storage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StorageState {
    pub(super) up: Option<bool>,
    pub(super) last_success: Option<Timestamp>,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) dropped: u64,
    pub(super) caught_up: u64,
    pub(super) forgotten: u64,
    pub(super) freed: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) requests: BTreeMap<String, Latency>,
}

/// What waits and what runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Runs that are due and wait for a place.
    pub waiting: u64,
    /// Runs at work.
    pub running: u64,
    /// Since when the oldest of those that wait was due.
    pub oldest: Option<Timestamp>,
}

/// The daemon itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Service {
    pub(super) started: Option<Timestamp>,
    pub(super) queue: Queue,
    pub(super) reload_succeeded: Option<bool>,
    pub(super) reloaded: Option<Timestamp>,
    pub(super) log_lines_lost: u64,
}

impl Figures {
    pub(super) fn new(started: Timestamp) -> Self {
        let service = Service { started: Some(started), ..Service::default() };
        Self { service, ..Self::default() }
    }

    /// Every name has figures, and no other has.
    pub(super) fn configure(&mut self, names: &Names) {
        self.jobs.retain(|name, _| names.jobs.contains(name));
        self.storages.retain(|name, _| names.storages.contains(name));
        self.pools.retain(|name, _| names.databases.contains(name));
        for job in self.jobs.values_mut() {
            job.storages.retain(|name, _| names.storages.contains(name));
        }
        self.add(names);
    }

    /// Every name has figures; the others keep theirs.
    pub(super) fn add(&mut self, names: &Names) {
        for name in &names.jobs {
            self.jobs.entry(name.clone()).or_default();
        }
        for name in &names.storages {
            self.storages.entry(name.clone()).or_default();
        }
        for name in &names.databases {
            self.pools.entry(name.clone()).or_default();
        }
    }

    /// Of a name that the configuration has not, nothing is noted: its job was removed while a run
    /// was on its way.
    pub(super) fn with_job(&mut self, name: &str, change: impl FnOnce(&mut JobFigures)) {
        if let Some(job) = self.jobs.get_mut(name) {
            change(job);
        }
    }

    pub(super) fn with_storage(&mut self, name: &str, change: impl FnOnce(&mut StorageState)) {
        if let Some(storage) = self.storages.get_mut(name) {
            change(storage);
        }
    }
}
