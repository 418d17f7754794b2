//! Runners for the tests: one that works on storages in memory, and one that pretends to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::testing::MemorySource;
use kronos_core::{BackupOptions, Clock, Error, ErrorKind, Result, RunContext};
use kronos_service::daemon::{RunRequest, Runner};
use kronos_service::{
    BackupTask, CatchUpTask, Company, Ended, Failure, Follower, JobMethod, Jobs, Operation, Place, Places, RunReport,
    StorageEnded, StorageFigures, Trigger,
};

use super::cellar::Cellar;
use super::world::SetClock;

/// One job, `shop`, whose storages are in a cellar.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) cellar: Cellar,
    pub(crate) source: MemorySource,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) followers: Vec<Arc<dyn Follower>>,
}

impl Places for Shop {
    fn place<'a>(&'a self, location: &str) -> Result<Box<dyn Place + 'a>> {
        self.cellar.place(location)
    }
}

impl Jobs for Shop {
    fn backup(&self, job: &str) -> Result<BackupTask> {
        Ok(BackupTask {
            connector: Arc::new(self.source.clone()),
            job: Some(job.to_owned()),
            storages: self.cellar.choices(),
            method: JobMethod::Native,
            options: BackupOptions::new(),
            retention: None,
            dry_run: false,
        })
    }

    fn catch_up(&self, job: &str) -> Result<CatchUpTask> {
        Ok(CatchUpTask { job: job.to_owned(), storages: self.cellar.choices(), retention: None })
    }

    fn context(&self, _: &str) -> RunContext {
        let mut run = RunContext::new();
        run.clock = self.clock.clone();
        run
    }

    fn company(&self, _: &str) -> Company {
        Company { hooks: None, followers: self.followers.clone() }
    }
}

/// A run as it was made, in time since midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Played {
    pub(crate) job: String,
    pub(crate) operation: Operation,
    pub(crate) trigger: Trigger,
    pub(crate) attempt: u32,
    pub(crate) from: Duration,
    pub(crate) to: Option<Duration>,
    pub(crate) ended: Option<Ended>,
    /// Whether it left a storage behind, where it has said so.
    pub(crate) behind: Option<bool>,
}

impl Played {
    /// How long it was at work beside another one.
    pub(crate) fn beside(&self, other: &Self) -> Duration {
        let end = |played: &Self| played.to.unwrap_or(Duration::MAX);
        end(self).min(end(other)).saturating_sub(self.from.max(other.from))
    }
}

/// Notes when a run is over, also when its program is killed.
struct Noting<'a>(&'a Player, usize);

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        self.0.played.lock().unwrap()[self.1].to = Some(self.0.began.elapsed());
    }
}

/// Pretends that jobs have the storages `main` and `off`.
#[derive(Debug)]
pub(crate) struct Player {
    clock: Arc<SetClock>,
    began: tokio::time::Instant,
    /// Of these jobs the storage `off` is down.
    pub(crate) down: Mutex<BTreeSet<String>>,
    /// Of these jobs the source is down.
    broken: Mutex<BTreeSet<String>>,
    /// How long a backup takes, and a catch-up.
    pub(crate) lengths: Mutex<(Duration, Duration)>,
    played: Mutex<Vec<Played>>,
}

impl Player {
    pub(crate) fn new(clock: Arc<SetClock>) -> Arc<Self> {
        let (down, broken, played) = (Mutex::default(), Mutex::default(), Mutex::default());
        let lengths = Mutex::new((Duration::ZERO, Duration::ZERO));
        Arc::new(Self { clock, began: tokio::time::Instant::now(), down, broken, lengths, played })
    }

    pub(crate) fn take_down(&self, job: &str) {
        self.down.lock().unwrap().insert(job.to_owned());
    }

    pub(crate) fn bring_up(&self, job: &str) {
        self.down.lock().unwrap().remove(job);
    }

    pub(crate) fn break_source(&self, job: &str, is_down: bool) {
        let mut broken = self.broken.lock().unwrap();
        if is_down {
            broken.insert(job.to_owned());
        } else {
            broken.remove(job);
        }
    }

    pub(crate) fn takes(&self, backup: Duration, catch_up: Duration) {
        *self.lengths.lock().unwrap() = (backup, catch_up);
    }

    pub(crate) fn all(&self) -> Vec<Played> {
        self.played.lock().unwrap().clone()
    }

    pub(crate) fn played(&self, operation: Operation) -> Vec<Played> {
        self.played.lock().unwrap().iter().filter(|played| played.operation == operation).cloned().collect()
    }

    /// When catch-ups of a job began, in minutes, and which attempts they were.
    pub(crate) fn catch_ups(&self, job: &str) -> Vec<(u64, u32)> {
        let all = self.played(Operation::CatchUp).into_iter().filter(|played| played.job == job);
        all.map(|played| (played.from.as_secs() / 60, played.attempt)).collect()
    }

    fn report(&self, job: &str, mut report: RunReport) -> RunReport {
        if report.operation == Operation::Backup && self.broken.lock().unwrap().contains(job) {
            report.error = Some(Failure::of(&Error::new(ErrorKind::ConnectionFailed, "the source is down")));
            return report;
        }
        let is_down = self.down.lock().unwrap().contains(job);
        report.ended = if is_down { Ended::Warnings } else { Ended::Succeeded };
        report.storages = [("main", false), ("off", is_down)].map(|(name, is_down)| figures(name, is_down)).into();
        report
    }
}

fn figures(name: &str, is_down: bool) -> StorageFigures {
    let error = is_down.then(|| Failure::of(&Error::new(ErrorKind::ConnectionFailed, "the storage is down")));
    let ended = if is_down { StorageEnded::Failed } else { StorageEnded::Stored };
    StorageFigures { storage: name.to_owned(), ended, caught_up: 0, behind: is_down, forgotten: 0, freed: 0, error }
}

#[async_trait]
impl Runner for Player {
    async fn run(&self, job: &str, request: RunRequest) -> RunReport {
        let at = {
            let mut played = self.played.lock().unwrap();
            played.push(Played {
                job: job.to_owned(),
                operation: request.operation,
                trigger: request.trigger,
                attempt: request.attempt,
                from: self.began.elapsed(),
                to: None,
                ended: None,
                behind: None,
            });
            played.len() - 1
        };
        let noting = Noting(self, at);
        let lengths = *self.lengths.lock().unwrap();
        let length = if request.operation == Operation::Backup { lengths.0 } else { lengths.1 };
        let mut report = request.report(job);
        tokio::select! {
            () = tokio::time::sleep(length) => report = self.report(job, report),
            () = request.cancel.cancelled() => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                report.ended = Ended::Cancelled;
            }
        }
        report.finished = self.clock.now();
        let report = request.conclude(report);
        drop(noting);
        let behind = report.storages.iter().any(|storage| storage.behind);
        let played = &mut self.played.lock().unwrap()[at];
        (played.ended, played.behind) = (Some(report.ended), (!report.storages.is_empty()).then_some(behind));
        report
    }
}
