//! Figures of the daemon for metrics: what waits, what runs, what is due, and what was before.

use std::collections::BTreeMap;

use kronos_core::{Result, Timestamp};

use super::Care;
use crate::daemon::overview::rows;
use crate::metrics::{Metrics, Queue};
use crate::report::RunReport;
use crate::store::{JobStore, Outcome, RunRecord, RunState, TaskState};

/// So far back it is looked for the last run that went well.
const HISTORY: usize = 50;

/// Shows how all jobs stand; `shown` are those that were shown before.
pub(super) fn show(care: &Care, states: &[TaskState], shown: &mut BTreeMap<String, Standing>, now: Timestamp) {
    care.metrics.queue(queue(states, now));
    if let Some(log) = &care.log_health {
        care.metrics.log_lines_lost(log.health().lost);
    }
    let mut jobs: BTreeMap<String, Standing> = BTreeMap::new();
    for row in rows(states, &care.jobs, now) {
        let job = jobs.entry(row.task.job).or_default();
        job.paused |= row.paused.is_some();
        if row.paused.is_none() {
            job.next_due = [job.next_due, row.next_due].into_iter().flatten().min();
        }
    }
    // One that has no schedule any more is neither due nor paused.
    for job in shown.keys().filter(|job| !jobs.contains_key(*job)) {
        Standing::default().show(&care.metrics, job);
    }
    for (job, standing) in &jobs {
        standing.show(&care.metrics, job);
    }
    *shown = jobs;
}

/// How a job stands: all its scheduled tasks together.
#[derive(Debug, Default)]
pub(super) struct Standing {
    next_due: Option<Timestamp>,
    paused: bool,
}

impl Standing {
    fn show(&self, metrics: &Metrics, job: &str) {
        metrics.next_due(job, self.next_due);
        metrics.paused(job, self.paused);
    }
}

fn queue(states: &[TaskState], now: Timestamp) -> Queue {
    let mut queue = Queue::default();
    for state in states {
        if let Some(RunState::Queued { not_before, .. }) = state.queued.as_ref().map(|run| &run.state)
            && *not_before <= now
        {
            // What waits for the end of a blackout or of a pause has not waited for a place meanwhile.
            queue.waiting += 1;
            queue.oldest = Some(queue.oldest.map_or(*not_before, |oldest| oldest.min(*not_before)));
        }
        // One whose claim has run out is about to be declared interrupted.
        let runs = |run: &RunRecord| matches!(run.state, RunState::Running { until, .. } if until >= now);
        queue.running += u64::from(state.running.as_ref().is_some_and(runs));
    }
    queue
}

/// Takes over how tasks stand, as far as this process has not seen itself how that came to be: all of
/// it the first time, which is `at_start`; later of jobs that come back into the configuration, and of
/// runs by other programs. Whoever runs a job here tells the metrics before the store.
pub(super) async fn recall(
    metrics: &Metrics,
    store: &dyn JobStore,
    states: &[TaskState],
    at_start: bool,
) -> Result<()> {
    // What has happened since then is told, and counted, by those who saw it.
    let until = metrics.started().filter(|_| at_start);
    let mut reports: Vec<RunReport> = Vec::new();
    for state in states {
        let Some(last) = state.last.as_ref().filter(|_| metrics.knows(&state.task.job)) else { continue };
        match metrics.last_end(&state.task) {
            Some(known) if !at_start => {
                reports.extend(last.report().filter(|report| report.finished > known).cloned());
            }
            _ => reports.extend(history(store, state, last, until).await?),
        }
    }
    reports.sort_by_key(|report| report.finished);
    for report in &reports {
        metrics.recall(report);
    }
    Ok(())
}

/// The reports that say how a task stands: from the last run that went well on, so that a job that fails
/// is as old as its last backup.
async fn history(
    store: &dyn JobStore,
    state: &TaskState,
    last: &RunRecord,
    until: Option<Timestamp>,
) -> Result<Vec<RunReport>> {
    let runs = match told(last) {
        Some(report) if report.ended.is_well() => vec![last.clone()],
        _ => store.runs(Some(&state.task), HISTORY).await?,
    };
    let mut reports: Vec<RunReport> = Vec::new();
    for report in runs.iter().filter_map(told).filter(|report| until.is_none_or(|until| report.finished < until)) {
        let enough = report.ended.is_well();
        reports.push(report);
        if enough {
            break;
        }
    }
    Ok(reports)
}

fn told(run: &RunRecord) -> Option<RunReport> {
    match &run.state {
        RunState::Ended { outcome: Outcome::Reported(report), .. } => Some((**report).clone()),
        RunState::Ended { at, outcome: Outcome::Interrupted } => Some(run.interrupted(*at)),
        _ => None,
    }
}
