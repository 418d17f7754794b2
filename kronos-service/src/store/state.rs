//! What a job store holds.

use std::fmt;

use kronos_core::{Id, Timestamp};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::report::{Operation, RunReport, Trigger};

/// The kind of the failure of a run that was interrupted: no error of a program has it.
const INTERRUPTED: &str = "interrupted";

/// What is scheduled: an operation of a job. A job's backups and its verification are two tasks,
/// and one does not wait for the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Task {
    /// The job.
    pub job: String,
    /// What is done.
    pub operation: Operation,
}

impl Task {
    /// An operation of a job.
    pub fn new(job: impl Into<String>, operation: Operation) -> Self {
        Self { job: job.into(), operation }
    }

    /// The backups of a job.
    pub fn backup(job: impl Into<String>) -> Self {
        Self::new(job, Operation::Backup)
    }
}

/// Who runs something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// New with each start of a program.
    pub id: Id,
    /// For people: such as `kronos daemon on db1, process 4711`.
    pub name: String,
}

/// A run, from the moment it is queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's own id.
    pub id: Id,
    /// What is run.
    pub task: Task,
    /// The task's epoch when it was queued.
    pub epoch: u32,
    /// Who asked for it.
    pub trigger: Trigger,
    /// The time of the schedule that it answers.
    pub due: Option<Timestamp>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// How far it is.
    pub state: RunState,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It waits for its time, or for room.
    Queued {
        /// Since when.
        since: Timestamp,
        /// It does not begin earlier.
        not_before: Timestamp,
    },
    /// It goes on.
    Running {
        /// Who runs it.
        owner: Owner,
        /// Since when.
        started: Timestamp,
        /// It counts as interrupted unless the owner moves this on.
        until: Timestamp,
    },
    /// It is over.
    Ended {
        /// Since when.
        at: Timestamp,
        /// How.
        outcome: Outcome,
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It ended by itself, well or not.
    Reported(Box<RunReport>),
    /// Whoever ran it was killed, or lost the store.
    Interrupted,
    /// It never began.
    Dropped(SkipReason),
}

/// Why a time that was due has no run of its own, or a queued run never began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SkipReason {
    /// Nobody was there: the machine was off, asleep, or the daemon not running.
    Missed,
    /// One run stands for several times that came together, such as after a blackout window.
    Merged,
    /// The run before it still went on.
    Running,
    /// The run before it still waited for room.
    Waiting,
    /// The task was paused.
    Paused,
    /// A later run takes its place.
    Superseded,
    /// The task was taken out of the schedule.
    Removed,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missed => "nobody was there to run it",
            Self::Merged => "one run stands for several",
            Self::Running => "the run before it still went on",
            Self::Waiting => "the run before it still waited for room",
            Self::Paused => "paused",
            Self::Superseded => "a later run took its place",
            Self::Removed => "taken out of the schedule",
        })
    }
}

/// Times that were due and have no run of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// What was due.
    pub task: Task,
    /// The task's epoch.
    pub epoch: u32,
    /// The first of these times.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many: of more than 10,000 at least so many; 0 where nobody counted.
    pub count: u64,
    /// Why.
    pub reason: SkipReason,
    /// When that was found.
    pub at: Timestamp,
    /// The run that makes up for them.
    pub made_up_by: Option<Id>,
}

/// A task that is to be scheduled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// What.
    pub task: Task,
    /// [`Schedule::rule`](crate::schedule::Schedule::rule).
    pub rule: String,
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskState {
    /// What.
    pub task: Task,
    /// The rule under which it was adopted.
    pub rule: String,
    /// Every time that was due until then is dealt with.
    pub handled: Timestamp,
    /// Rises when the clock was set back by much.
    pub epoch: u32,
    /// Since when it is paused.
    pub paused: Option<Timestamp>,
    /// Whether it was taken out of the schedule.
    pub retired: bool,
    /// The run that waits.
    pub queued: Option<RunRecord>,
    /// The run that goes on.
    pub running: Option<RunRecord>,
    /// The newest run that has begun and is over.
    pub last: Option<RunRecord>,
}

/// Times that were due are dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// What was due.
    pub task: Task,
    /// The epoch that the caller knows.
    pub epoch: u32,
    /// What the caller takes to be handled.
    pub handled: Timestamp,
    /// What is handled afterwards.
    pub until: Timestamp,
    /// The run that is to be queued. A retry that waits makes room for it.
    pub run: Option<RunRecord>,
    /// Why other times have none.
    pub skips: Vec<Skip>,
}

/// What became of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It holds.
    Done,
    /// Someone else was there before: epoch or handled are not what the caller knew, or the task is
    /// unknown.
    Stale,
    /// It has a run to queue, but the task is paused.
    Paused,
    /// It has a run to queue, but this one still goes on.
    Running(Id),
    /// It has a run to queue, but this one still waits.
    Waiting(Id),
}

/// Whether a run has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is the caller's.
    Yes(Box<RunRecord>),
    /// It does not wait any more.
    Gone,
    /// This one of the same task goes on.
    Busy(Box<RunRecord>),
    /// The task is paused.
    Paused,
}

impl RunRecord {
    /// The same run, begun.
    pub(crate) fn running(&self, owner: &Owner, now: Timestamp, until: Timestamp) -> Self {
        let state = RunState::Running { owner: owner.clone(), started: now, until };
        Self { state, ..self.clone() }
    }

    /// The same run, over.
    pub(crate) fn ended(&self, at: Timestamp, outcome: Outcome) -> Self {
        Self { state: RunState::Ended { at, outcome }, ..self.clone() }
    }

    /// Until when the claim of whoever runs it holds, unless it is renewed.
    pub(crate) fn held_until(&self) -> Option<Timestamp> {
        match self.state {
            RunState::Running { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Whether it answers a run that was there before, and may make room for a new one.
    pub(crate) fn again(&self) -> bool {
        self.trigger == Trigger::Retry
    }

    /// Whether it has ended after having begun.
    pub(crate) fn begun_and_ended(&self) -> bool {
        matches!(&self.state, RunState::Ended { outcome, .. } if !matches!(outcome, Outcome::Dropped(_)))
    }

    /// The report of a run that goes on, and of which it was found at `at` that nobody runs it any more: the
    /// report that it could not make itself.
    pub fn interrupted(&self, at: Timestamp) -> RunReport {
        let Task { job, operation } = &self.task;
        let mut report = RunReport::begin(self.id, *operation, job, self.trigger, self.moment());
        (report.attempt, report.due) = (self.attempt, self.due);
        report.finished = at.max(report.started);
        let by = match &self.state {
            RunState::Running { owner, .. } => format!(" (by: {})", owner.name),
            _ => String::new(),
        };
        let hint = "what was stored is kept, and the next run goes on from there; the log of the system tells whether \
                    the machine went down or memory ran out";
        report.error = Some(Failure {
            kind: INTERRUPTED.to_owned(),
            message: format!("the run was interrupted: its program was killed, or its machine went down{by}"),
            causes: Vec::new(),
            hint: Some(hint.to_owned()),
        });
        report
    }

    /// What it reported.
    pub fn report(&self) -> Option<&RunReport> {
        match &self.state {
            RunState::Ended { outcome: Outcome::Reported(report), .. } => Some(report),
            _ => None,
        }
    }
}

impl RunRecord {
    /// When it was queued, begun or over: lists show the newest first.
    pub fn moment(&self) -> Timestamp {
        match self.state {
            RunState::Queued { since, .. } => since,
            RunState::Running { started, .. } => started,
            RunState::Ended { at, .. } => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use kronos_core::Id;

    use super::*;
    use crate::report::Ended;

    #[test]
    fn a_run_that_was_interrupted_has_failed() {
        let at = Timestamp::from_micros;
        let owner = Owner { id: Id([1; 16]), name: "kronos daemon on db1".to_owned() };
        let run = RunRecord {
            id: Id([7; 16]),
            task: Task::backup("shop"),
            epoch: 0,
            trigger: Trigger::Missed,
            due: Some(at(5)),
            attempt: 3,
            state: RunState::Running { owner, started: at(10), until: at(20) },
        };
        let report = run.interrupted(at(90));
        assert_eq!((report.run, report.job.as_str(), report.operation), (Id([7; 16]), "shop", Operation::Backup));
        assert_eq!((report.trigger, report.attempt, report.due), (Trigger::Missed, 3, Some(at(5))));
        assert_eq!((report.started, report.finished, report.ended), (at(10), at(90), Ended::Failed));
        let error = report.error.unwrap();
        assert_eq!(error.kind, "interrupted");
        assert!(error.message.contains("kronos daemon on db1") && error.hint.is_some(), "{error:?}");
        // A clock that was set back makes no run end before it began.
        assert_eq!(run.interrupted(at(3)).finished, at(10));
    }
}
