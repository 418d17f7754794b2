//! Storages that are behind are caught up: who has a turn, and what goes on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use kronos_core::{ErrorKind, Id, Result, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::behind::{ATTEMPTS, Turn, speaks, turn};
use super::journal::TARGET;
use super::{CATCH_UP_PAUSE, CATCH_UPS, Care, LONGEST_CATCH_UP_PAUSE};
use crate::daemon::Parts;
use crate::daemon::manual::run_claimed;
use crate::failure::in_full;
use crate::report::{Operation, RunReport, Trigger};
use crate::store::{RunRecord, Task, TaskState};

/// Before the newest backup so many are looked through for one that came as far as its storages.
const BACKUPS: usize = 50;

/// Storages that are behind, and what goes on about it.
#[derive(Debug)]
pub(super) struct CatchUps {
    parts: Parts,
    /// What was found out of each job. It holds as long as its last runs are the same.
    known: BTreeMap<String, Known>,
    /// Whatever the store says, no attempt before this.
    rest: BTreeMap<String, Timestamp>,
    going: HashMap<tokio::task::Id, Going>,
    runs: JoinSet<Result<RunReport>>,
}

#[derive(Debug, Default)]
struct Known {
    /// The last backup and the last catch-up that are over.
    last: (Option<Id>, Option<Id>),
    turn: Option<Turn>,
}

#[derive(Debug)]
struct Going {
    job: String,
    cancel: CancellationToken,
}

impl CatchUps {
    pub(super) fn new(parts: Parts) -> Self {
        let (known, rest, going, runs) = (BTreeMap::new(), BTreeMap::new(), HashMap::new(), JoinSet::new());
        Self { parts, known, rest, going, runs }
    }

    /// Begins what has its turn, unless the daemon is `stopping`; says when the next one has.
    pub(super) async fn look(
        &mut self,
        care: &Care,
        states: &[TaskState],
        now: Timestamp,
        stopping: bool,
    ) -> Result<Option<Timestamp>> {
        self.reap(now);
        let jobs: BTreeSet<&String> = care.backups.iter().collect();
        self.known.retain(|job, _| jobs.contains(job));
        self.rest.retain(|_, rest| *rest > now && rest.since(now) <= LONGEST_CATCH_UP_PAUSE);
        let mut ready: Vec<(Timestamp, &String)> = Vec::new();
        let mut next = None;
        for job in jobs {
            let Some(at) = self.turn_of(job, states, now).await? else { continue };
            if at <= now {
                ready.push((at, job));
            } else {
                next = Some(next.map_or(at, |next: Timestamp| next.min(at)));
            }
        }
        ready.sort();
        for (_, job) in ready {
            if stopping || self.going.len() >= CATCH_UPS {
                break;
            }
            self.begin(care, job);
        }
        Ok(next)
    }

    /// When this job is to be caught up, unless that goes on or something else is in the way.
    async fn turn_of(&mut self, job: &str, states: &[TaskState], now: Timestamp) -> Result<Option<Timestamp>> {
        let state = |task: &Task| states.binary_search_by(|state| state.task.cmp(task)).ok().map(|at| &states[at]);
        let (backup, catch_up) = (Task::backup(job), Task::new(job, Operation::CatchUp));
        let (Some(backup), catch_up) = (state(&backup), state(&catch_up)) else { return Ok(None) };
        if backup.paused.is_some() {
            return Ok(None);
        }
        if backup.running.is_some() {
            // It catches up itself, and its end is a new beginning.
            self.going.values().filter(|going| going.job == job).for_each(|going| going.cancel.cancel());
            return Ok(None);
        }
        if catch_up.is_some_and(|state| state.running.is_some()) || self.going.values().any(|going| going.job == job) {
            return Ok(None);
        }
        let id = |state: Option<&TaskState>| state.and_then(|state| state.last.as_ref()).map(|run| run.id);
        let last = (id(Some(backup)), id(catch_up));
        if self.known.get(job).is_none_or(|known| known.last != last) {
            let turn = self.find(backup, catch_up, now).await?;
            if let Some(Turn { at, attempt: 1, storages }) = &turn {
                let storages = storages.join(", ");
                info!(target: TARGET, event = "storage.behind", job, storages, %at, "{storages} will be caught up");
            }
            self.known.insert(job.to_owned(), Known { last, turn });
        }
        let Some(turn) = self.known.get(job).and_then(|known| known.turn.as_ref()) else { return Ok(None) };
        // It is never that far away, unless the clock was set back.
        let at = if turn.at.since(now) > LONGEST_CATCH_UP_PAUSE { now } else { turn.at };
        Ok(Some(self.rest.get(job).map_or(at, |rest| at.max(*rest))))
    }

    async fn find(&self, backup: &TaskState, catch_up: Option<&TaskState>, now: Timestamp) -> Result<Option<Turn>> {
        let newest = match &backup.last {
            None => return Ok(None),
            Some(last) if speaks(last) => Some(last.clone()),
            Some(_) => self.parts.store.runs(Some(&backup.task), BACKUPS).await?.into_iter().find(speaks),
        };
        let Some(newest) = newest else { return Ok(None) };
        if turn(&newest, &[], now).is_none() {
            return Ok(None);
        }
        let made: Vec<RunRecord> = match catch_up {
            Some(state) => self.parts.store.runs(Some(&state.task), ATTEMPTS).await?,
            None => Vec::new(),
        };
        Ok(turn(&newest, &made, now))
    }

    fn begin(&mut self, care: &Care, job: &str) {
        let attempt = self.known.get(job).and_then(|known| known.turn.as_ref()).map_or(1, |turn| turn.attempt);
        let (parts, task, cancel) = (self.parts.clone(), Task::new(job, Operation::CatchUp), CancellationToken::new());
        let (asked, timeout) = ((Trigger::Retry, attempt), timeout_of(care, job));
        let stopped = cancel.clone();
        let run = async move { run_claimed(&parts, &task, asked, timeout, stopped, None).await };
        let handle = self.runs.spawn(run);
        self.going.insert(handle.id(), Going { job: job.to_owned(), cancel });
    }

    /// Takes note of those that have ended.
    fn reap(&mut self, now: Timestamp) {
        while let Some(ended) = self.runs.try_join_next_with_id() {
            let (id, ended) = match ended {
                Ok((id, ended)) => (id, ended),
                Err(error) => (error.id(), Err(panicked(error))),
            };
            let Some(going) = self.going.remove(&id) else { continue };
            if let Err(error) = ended {
                tell(&going.job, &error);
            }
            // By the store it may be later. But whatever it says, and even if it can say nothing, there is a
            // pause; the longest after one that was only begun because the clock was set back.
            let known = self.known.get(&going.job).and_then(|known| known.turn.as_ref());
            let odd = known.is_some_and(|turn| turn.at > now);
            let pause = if odd { LONGEST_CATCH_UP_PAUSE } else { CATCH_UP_PAUSE };
            self.rest.insert(going.job, now.plus(pause));
        }
    }

    /// Stops those that go on, and waits for them.
    pub(super) async fn stop(mut self) {
        self.going.values().for_each(|going| going.cancel.cancel());
        while let Some(ended) = self.runs.join_next_with_id().await {
            let (id, ended) = match ended {
                Ok((id, ended)) => (id, ended),
                Err(error) => (error.id(), Err(panicked(error))),
            };
            if let (Some(going), Err(error)) = (self.going.remove(&id), ended) {
                tell(&going.job, &error);
            }
        }
    }
}

/// What the job's backups may take, a catch-up may, too.
fn timeout_of(care: &Care, job: &str) -> Option<Duration> {
    let task = Task::backup(job);
    care.jobs.iter().find(|job| job.task == task)?.schedule.settings().timeout
}

fn panicked(error: tokio::task::JoinError) -> kronos_core::Error {
    kronos_core::Error::new(ErrorKind::Internal, "a catch-up panicked").with_source(error)
}

/// It has not begun, or the store could not be told of its end. What went wrong in it was reported.
fn tell(job: &str, error: &kronos_core::Error) {
    // Somebody else does the same, or it was stopped in time.
    if matches!(error.kind(), ErrorKind::Locked | ErrorKind::Cancelled) {
        return;
    }
    let kind = error.kind().name();
    warn!(target: TARGET, event = "catch-up.failed", job, kind, error = in_full(error), "{job} could not be caught up");
}
