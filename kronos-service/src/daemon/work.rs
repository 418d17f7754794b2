//! The loop: look at the time, settle what is due, begin what has its turn, sleep.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kronos_core::{Id, Result, Timestamp};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::attend::LEASE;
use super::decide::{after_end, after_interruption};
use super::pauses::after_store_failures;
use super::runner::{RunRequest, StopReason};
use super::{DaemonEvent, DaemonSettings, Parts, ScheduledJob};
use crate::failure::Failure;
use crate::report::RunReport;
use crate::store::{Outcome, Owner, RunRecord, RunState, Task, TaskState};

/// Longer than this the daemon does not sleep; then it looks for runs that were interrupted.
const ROUND: Duration = Duration::from_mins(1);
/// Clocks are set right by less all the time.
const TOLERATED: Duration = Duration::from_secs(5);
/// Ends of runs are written so often before a stop gives up.
const LAST_ATTEMPTS: u32 = 5;

#[derive(Debug)]
pub(super) struct Work {
    pub(super) settings: DaemonSettings,
    pub(super) parts: Parts,
    pub(super) owner: Owner,
    /// Jobs that are to be loaded.
    pub(super) wanted: Option<Vec<ScheduledJob>>,
    pub(super) entries: BTreeMap<Task, Entry>,
    /// Runs that wait, with the time before which nothing has to be tried.
    pub(super) waiting: BTreeMap<Id, (RunRecord, Timestamp)>,
    pub(super) going: HashMap<tokio::task::Id, Going>,
    pub(super) runs: JoinSet<RunReport>,
    /// Runs that are over and not yet written down.
    over: Vec<(Going, RunReport)>,
    /// When each task last began.
    pub(super) begun: BTreeMap<Task, Timestamp>,
    seen: Timestamp,
    reaps: Timestamp,
    reload: mpsc::UnboundedReceiver<(DaemonSettings, Vec<ScheduledJob>)>,
    stop: CancellationToken,
}

/// A scheduled task.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: ScheduledJob,
    pub(super) state: TaskState,
    /// When the run of the next due begins.
    pub(super) wakes: Option<Timestamp>,
}

/// A run that goes on.
#[derive(Debug)]
pub(super) struct Going {
    pub(super) run: RunRecord,
    pub(super) source: String,
    pub(super) request: RunRequest,
}

impl Work {
    pub(super) fn new(
        settings: DaemonSettings,
        jobs: Vec<ScheduledJob>,
        parts: Parts,
        reload: mpsc::UnboundedReceiver<(DaemonSettings, Vec<ScheduledJob>)>,
        stop: CancellationToken,
    ) -> Self {
        let now = parts.clock.now();
        Self {
            owner: parts.owner(),
            settings,
            parts,
            wanted: Some(jobs),
            entries: BTreeMap::new(),
            waiting: BTreeMap::new(),
            going: HashMap::new(),
            runs: JoinSet::new(),
            over: Vec::new(),
            begun: BTreeMap::new(),
            seen: now,
            reaps: now,
            reload,
            stop,
        }
    }

    pub(super) fn tell(&self, event: &DaemonEvent<'_>) {
        self.parts.observer.on_event(event);
    }

    pub(super) async fn run(mut self) -> Result<()> {
        self.load().await?;
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            let wake = match self.round().await {
                Ok(wake) => {
                    if std::mem::take(&mut failures) > 0 {
                        self.tell(&DaemonEvent::StoreBack);
                    }
                    wake
                }
                Err(error) => {
                    self.tell(&DaemonEvent::StoreFailed(&error));
                    self.tell(&DaemonEvent::Stalled(&error));
                    let pause = after_store_failures(failures);
                    failures += 1;
                    self.parts.clock.now().plus(pause)
                }
            };
            let timer = self.parts.timer.clone();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                Some(ended) = self.runs.join_next_with_id() => self.ended(ended),
                Some((settings, jobs)) = self.reload.recv() => {
                    // These hold at once: a store that fails must not keep a stop from being shorter.
                    self.settings = settings;
                    self.wanted = Some(jobs);
                }
                () = timer.sleep_until(wake) => {}
            }
        }
        self.finish().await
    }

    /// Does all that is to be done now; says when there may be more.
    async fn round(&mut self) -> Result<Timestamp> {
        let now = self.look();
        self.write_ends().await?;
        if self.wanted.is_some() {
            self.load().await?;
        }
        self.reap(now).await?;
        self.settle(now).await?;
        let turn = self.dispatch(now).await?;
        let due = self.entries.values().filter_map(|entry| entry.wakes).min();
        Ok([due, turn, Some(self.reaps)].into_iter().flatten().min().unwrap_or(self.reaps))
    }

    /// The time; after a jump of the clock others first get the time for a heartbeat.
    fn look(&mut self) -> Timestamp {
        let now = self.parts.clock.now();
        if now < self.seen || now.since(self.seen) > 2 * ROUND {
            self.reaps = now.plus(LEASE);
        }
        if self.seen.since(now) > TOLERATED {
            self.tell(&DaemonEvent::SetBack { from: self.seen, now });
        }
        self.seen = now;
        now
    }

    /// Declares interrupted what somebody has left behind.
    async fn reap(&mut self, now: Timestamp) -> Result<()> {
        if now < self.reaps {
            return Ok(());
        }
        for run in self.parts.store.expired(now).await? {
            // Ours have their heartbeat, and their own end.
            if self.going.values().any(|going| going.run.id == run.id)
                || self.over.iter().any(|(it, _)| it.run.id == run.id)
            {
                continue;
            }
            let job = self.entries.get(&run.task).map(|entry| &entry.job);
            let next = job.and_then(|job| after_interruption(job, &run, self.parts.id(), now));
            if self.parts.store.interrupt(run.id, now, next.as_ref()).await? {
                self.tell(&DaemonEvent::Interrupted { run: &run, next: next.as_ref() });
                self.refresh(&run.task).await?;
            }
        }
        // Another daemon may have queued runs and be gone.
        for run in self.parts.store.queued().await? {
            if let RunState::Queued { not_before, .. } = run.state
                && self.entries.contains_key(&run.task)
            {
                self.waiting.entry(run.id).or_insert((run, not_before));
            }
        }
        self.reaps = now.plus(ROUND);
        Ok(())
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, RunReport), JoinError>) {
        let (id, report) = match ended {
            Ok((id, report)) => (id, Ok(report)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(going) = self.going.remove(&id) else { return };
        let report = report.unwrap_or_else(|error| {
            let mut report = going.request.report(&going.run.task.job);
            report.finished = self.parts.clock.now();
            let error =
                kronos_core::Error::new(kronos_core::ErrorKind::Internal, "the run panicked").with_source(error);
            report.error = Some(Failure::of(&error));
            report
        });
        self.over.push((going, report));
    }

    /// Writes down how runs ended; what fails stays to be written.
    async fn write_ends(&mut self) -> Result<()> {
        while let Some((going, report)) = self.over.last() {
            let (run, now) = (&going.run, self.parts.clock.now());
            let job = self.entries.get(&run.task).map(|entry| &entry.job);
            let next = job.and_then(|job| after_end(job, run, report, going.request.stopped(), self.parts.id(), now));
            let outcome = Outcome::Reported(Box::new(report.clone()));
            if self.parts.store.end(run.id, self.owner.id, now, &outcome, next.as_ref()).await? {
                self.tell(&DaemonEvent::Ended { run, report, next: next.as_ref() });
            } else {
                self.tell(&DaemonEvent::Lost { run, report });
            }
            let task = run.task.clone();
            self.over.pop();
            self.refresh(&task).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<()> {
        self.tell(&DaemonEvent::Stopping { running: self.going.len() });
        let timer = self.parts.timer.clone();
        let mut patience = Box::pin(timer.sleep(self.settings.stop_within));
        let mut patient = true;
        loop {
            tokio::select! {
                biased;
                ended = self.runs.join_next_with_id() => match ended {
                    Some(ended) => self.ended(ended),
                    None => break,
                },
                () = &mut patience, if patient => {
                    patient = false;
                    self.going.values().for_each(|going| going.request.stop(StopReason::Shutdown));
                }
            }
        }
        let mut attempt = 0;
        while let Err(error) = self.write_ends().await {
            attempt += 1;
            if attempt == LAST_ATTEMPTS {
                return Err(error);
            }
            self.tell(&DaemonEvent::StoreFailed(&error));
            self.parts.timer.sleep(after_store_failures(0) * attempt).await;
        }
        Ok(())
    }
}
