//! Decisions, without any doing: what becomes of times that are due, and whether a run that is over
//! is taken up again.

use std::time::Duration;

use kronos_core::{Id, Timestamp};

use super::ScheduledJob;
use super::pauses::doubled;
use super::runner::StopReason;
use crate::report::{Ended, RunReport, Trigger};
use crate::schedule::{Missed, Pending, Span};
use crate::store::{RunRecord, RunState, Settlement, Skip, SkipReason, TaskState};

/// A run that begins later than this was missed, and not just somewhat late.
pub(super) const TOLERANCE: Duration = Duration::from_mins(2);
/// Runs that were interrupted are taken up again even where failed ones are not.
const AFTER_INTERRUPTION: u32 = 2;
const LONGEST_PAUSE: Duration = Duration::from_hours(6);

/// One run for what is pending, as far as the policy wants one, and reasons for the rest.
pub(super) fn settlement(
    job: &ScheduledJob,
    state: &TaskState,
    pending: &Pending,
    id: Id,
    now: Timestamp,
) -> Settlement {
    let run = |due, trigger| RunRecord {
        id,
        task: job.task.clone(),
        epoch: state.epoch,
        trigger,
        due: Some(due),
        attempt: 1,
        state: RunState::Queued { since: now, not_before: job.schedule.defer(now) },
    };
    let reason = Reason { job, state, now };
    let (run, skips) = match (pending.late, pending.timely) {
        (late, Some(timely)) => {
            let late = late.map(|late| reason.of(late, SkipReason::Missed, Some(id)));
            let merged = timely.without_last().map(|merged| reason.of(merged, SkipReason::Merged, Some(id)));
            (Some(run(timely.last, Trigger::Schedule)), late.into_iter().chain(merged).collect())
        }
        (Some(late), None) if job.schedule.settings().missed == Missed::Once => {
            let others = late.without_last().map(|others| reason.of(others, SkipReason::Missed, Some(id)));
            (Some(run(late.last, Trigger::Missed)), others.into_iter().collect())
        }
        (late, None) => (None, late.map(|late| reason.of(late, SkipReason::Missed, None)).into_iter().collect()),
    };
    reason.settlement(pending, run, skips)
}

/// No run for what is pending, for another is there, or the task is paused.
pub(super) fn refusal(
    job: &ScheduledJob,
    state: &TaskState,
    pending: &Pending,
    why: SkipReason,
    other: Option<Id>,
    now: Timestamp,
) -> Settlement {
    let reason = Reason { job, state, now };
    let spans = [pending.late, pending.timely].into_iter().flatten();
    reason.settlement(pending, None, spans.map(|span| reason.of(span, why, other)).collect())
}

struct Reason<'a> {
    job: &'a ScheduledJob,
    state: &'a TaskState,
    now: Timestamp,
}

impl Reason<'_> {
    fn of(&self, span: Span, reason: SkipReason, made_up_by: Option<Id>) -> Skip {
        let Span { first, last, count, .. } = span;
        let (task, epoch) = (self.job.task.clone(), self.state.epoch);
        Skip { task, epoch, first, last, count, reason, at: self.now, made_up_by }
    }

    fn settlement(&self, pending: &Pending, run: Option<RunRecord>, skips: Vec<Skip>) -> Settlement {
        Settlement {
            task: self.job.task.clone(),
            epoch: self.state.epoch,
            handled: self.state.handled,
            until: pending.last().unwrap_or(self.state.handled),
            run,
            skips,
        }
    }
}

/// The run that takes up a run which has ended.
pub(super) fn after_end(
    job: &ScheduledJob,
    run: &RunRecord,
    report: &RunReport,
    stopped: Option<StopReason>,
    id: Id,
    now: Timestamp,
) -> Option<RunRecord> {
    if run.trigger == Trigger::Manual {
        return None;
    }
    let settings = job.schedule.settings();
    match report.ended {
        Ended::Cancelled if stopped == Some(StopReason::Shutdown) => Some(again(job, run, id, run.attempt, now, now)),
        Ended::Failed if run.attempt <= settings.retries => {
            let longest = LONGEST_PAUSE.max(settings.retry_pause);
            let at = now.plus(doubled(settings.retry_pause, run.attempt - 1, longest));
            Some(again(job, run, id, run.attempt + 1, at, now))
        }
        _ => None,
    }
}

/// The run that takes up a run which was interrupted.
pub(super) fn after_interruption(job: &ScheduledJob, run: &RunRecord, id: Id, now: Timestamp) -> Option<RunRecord> {
    let retries = job.schedule.settings().retries.max(AFTER_INTERRUPTION);
    let wanted = run.trigger != Trigger::Manual && run.attempt <= retries;
    wanted.then(|| again(job, run, id, run.attempt + 1, now, now))
}

fn again(job: &ScheduledJob, run: &RunRecord, id: Id, attempt: u32, at: Timestamp, now: Timestamp) -> RunRecord {
    let state = RunState::Queued { since: now, not_before: job.schedule.defer(at) };
    RunRecord { id, trigger: Trigger::Retry, attempt, state, ..run.clone() }
}
