//! What people see of the schedule, and how they pause it: what `kronos schedule` is made of.

use kronos_core::{Result, Timestamp};

use super::ScheduledJob;
use crate::store::{Adoption, JobStore, RunRecord, Task, TaskState};

/// How a scheduled task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// What is run.
    pub task: Task,
    /// The expression, as it was written.
    pub cron: String,
    /// The time zone in which it holds.
    pub timezone: String,
    /// When it is due next; paused or not.
    pub next_due: Option<Timestamp>,
    /// When that run begins: later than due by jitter and blackout windows.
    pub begins: Option<Timestamp>,
    /// Since when it is paused.
    pub paused: Option<Timestamp>,
    /// The run that waits.
    pub queued: Option<RunRecord>,
    /// The run that goes on.
    pub running: Option<RunRecord>,
    /// The newest run that is over.
    pub last: Option<RunRecord>,
}

/// A run that is to come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upcoming {
    /// When it begins.
    pub begins: Timestamp,
    /// When it is due.
    pub due: Timestamp,
    /// What is run.
    pub task: Task,
}

/// How all of them stand, in the order given.
pub async fn overview(store: &dyn JobStore, jobs: &[ScheduledJob], now: Timestamp) -> Result<Vec<Overview>> {
    Ok(rows(&store.tasks().await?, jobs, now))
}

/// The same by what the store has said of all tasks.
pub(super) fn rows(states: &[TaskState], jobs: &[ScheduledJob], now: Timestamp) -> Vec<Overview> {
    let row = |job: &ScheduledJob| {
        let state = states.binary_search_by(|state| state.task.cmp(&job.task)).ok().map(|at| &states[at]);
        let settings = job.schedule.settings();
        // What a daemon would make up for now is not what comes next.
        let next_due = job.schedule.next_due(state.map_or(now, |state| state.handled.max(now)));
        Overview {
            task: job.task.clone(),
            cron: settings.cron.trim().to_owned(),
            timezone: settings.timezone.clone(),
            next_due,
            begins: next_due.map(|due| job.schedule.begins(&job.task.job, due)),
            paused: state.and_then(|state| state.paused),
            queued: state.and_then(|state| state.queued.clone()),
            running: state.and_then(|state| state.running.clone()),
            last: state.and_then(|state| state.last.clone()),
        }
    };
    jobs.iter().map(row).collect()
}

/// The next `count` runs after `now` of all these jobs, by the time at which they begin.
pub fn upcoming(jobs: &[ScheduledJob], now: Timestamp, count: usize) -> Vec<Upcoming> {
    let mut all: Vec<Upcoming> = jobs
        .iter()
        .flat_map(|job| {
            let dues = std::iter::successors(job.schedule.next_due(now), |due| job.schedule.next_due(*due)).take(count);
            dues.map(|due| Upcoming { begins: job.schedule.begins(&job.task.job, due), due, task: job.task.clone() })
        })
        .collect();
    all.sort();
    all.truncate(count);
    all
}

/// Pauses a job, whether a daemon has seen it yet or not.
pub async fn pause(store: &dyn JobStore, job: &ScheduledJob, now: Timestamp) -> Result<()> {
    make_known(store, job, now).await?;
    store.pause(&job.task, now).await
}

/// Resumes it. What was due meanwhile is not made up for.
pub async fn resume(store: &dyn JobStore, job: &ScheduledJob, now: Timestamp) -> Result<()> {
    make_known(store, job, now).await?;
    store.resume(&job.task, now).await
}

async fn make_known(store: &dyn JobStore, job: &ScheduledJob, now: Timestamp) -> Result<()> {
    // One that is known keeps the rule under which it was adopted: what was due under it is a
    // daemon's to settle.
    match store.task(&job.task).await? {
        Some(_) => Ok(()),
        None => store.adopt(&[Adoption { task: job.task.clone(), rule: job.schedule.rule() }], now).await,
    }
}
