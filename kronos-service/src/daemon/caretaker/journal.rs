//! The events of a daemon as lines of the log. How a run ended is told by the run itself.

use kronos_core::Error;
use tracing::{debug, error, info, warn};

use crate::audit::name_of;
use crate::daemon::DaemonEvent;
use crate::failure::in_full;
use crate::logs::run_span;
use crate::schedule::{in_words, is_counted};
use crate::store::{RunRecord, RunState, Skip, SkipReason};

pub(super) const TARGET: &str = "kronos::daemon";

/// One line, or none when the run has told of it.
pub(super) fn log(event: &DaemonEvent<'_>) {
    match event {
        DaemonEvent::Loaded { tasks } => info!(target: TARGET, event = "daemon.loaded", tasks, "jobs are scheduled"),
        DaemonEvent::Queued(run) => queued(run),
        DaemonEvent::Started(run) => started(run),
        DaemonEvent::Ended { next: None, .. } | DaemonEvent::Stalled(_) => {}
        DaemonEvent::Ended { run, next: Some(next), .. } => {
            let (again, attempt) = (tracing::field::display(not_before(next)), next.attempt);
            let span = run_span(run.id, &run.task.job);
            info!(target: TARGET, parent: &span, event = "run.again", again, attempt, next = %next.id, "it is run again");
        }
        DaemonEvent::Lost { run, .. } => {
            let span = run_span(run.id, &run.task.job);
            let message = "a run has ended that had been taken for interrupted: this computer was too slow, or slept";
            warn!(target: TARGET, parent: &span, event = "run.lost", "{message}");
        }
        DaemonEvent::Interrupted { run, next } => interrupted(run, *next),
        DaemonEvent::Dropped { run, why } => {
            let span = run_span(run.id, &run.task.job);
            info!(target: TARGET, parent: &span, event = "run.dropped", reason = name_of(why), "it does not run: {why}");
        }
        DaemonEvent::Missed(skip) | DaemonEvent::Skipped(skip) => skipped(skip),
        DaemonEvent::Rewound { job, handled, now } => {
            warn!(
                target: TARGET, event = "daemon.rewound", job, %handled, %now,
                "the clock was set back by much: the schedule goes on from the new time"
            );
        }
        DaemonEvent::SetBack { from, now } => warn!(
            target: TARGET, event = "daemon.set-back", %from, %now,
            "the clock was set back: what was due in that time has run, and the next runs begin after it"
        ),
        DaemonEvent::StoreFailed(error) => store_failed(error),
        DaemonEvent::StoreBack => info!(target: TARGET, event = "store.back", "the job store works again"),
        DaemonEvent::Stopping { running } => {
            info!(target: TARGET, event = "daemon.stopping", running, "no more runs begin");
        }
    }
}

/// The job store does not do what it should.
pub(super) fn store_failed(error: &Error) {
    let kind = error.kind().name();
    error!(target: TARGET, event = "store.failed", kind, error = in_full(error), "the job store has failed");
}

/// What people are to be told is not safe.
pub(super) fn unkept(error: &Error) {
    let (kind, error) = (error.kind().name(), in_full(error));
    warn!(target: TARGET, event = "notify.failed", kind, error, "what is to be told could not be kept");
}

fn queued(run: &RunRecord) {
    let span = run_span(run.id, &run.task.job);
    let (operation, trigger) = (name_of(run.task.operation), name_of(run.trigger));
    let (due, begins) = (run.due.map(tracing::field::display), tracing::field::display(not_before(run)));
    debug!(target: TARGET, parent: &span, event = "run.queued", operation, trigger, due, begins, "it waits for its turn");
}

fn started(run: &RunRecord) {
    let span = run_span(run.id, &run.task.job);
    let (operation, trigger) = (name_of(run.task.operation), name_of(run.trigger));
    let (due, attempt) = (run.due.map(tracing::field::display), run.attempt);
    info!(target: TARGET, parent: &span, event = "run.started", operation, trigger, due, attempt, "{operation} begins");
}

fn interrupted(run: &RunRecord, next: Option<&RunRecord>) {
    let span = run_span(run.id, &run.task.job);
    let (operation, attempt) = (name_of(run.task.operation), run.attempt);
    let by = match &run.state {
        RunState::Running { owner, .. } => owner.name.as_str(),
        _ => "",
    };
    let again = next.map(|next| tracing::field::display(not_before(next)));
    error!(
        target: TARGET, parent: &span, event = "run.interrupted", operation, attempt, by, again,
        "{operation} was interrupted: its program was killed, or its machine went down"
    );
}

/// Times without a run of their own: what stands in `run` is the one that stands for them.
fn skipped(skip: &Skip) {
    let (job, operation, reason) = (&skip.task.job, name_of(skip.task.operation), name_of(skip.reason));
    let (first, last, runs) = (skip.first, skip.last, skip.count);
    let instead = skip.made_up_by.map(tracing::field::display);
    let often = if is_counted(runs) { String::new() } else { format!(" {} times", in_words(runs)) };
    match skip.reason {
        SkipReason::Missed => warn!(
            target: TARGET, event = "run.missed", job, operation, %first, %last, runs, instead,
            "{job}: {operation} was missed{often}, nobody was there to run it"
        ),
        SkipReason::Running | SkipReason::Waiting => warn!(
            target: TARGET, event = "run.skipped", job, operation, reason, %first, %last, runs, instead,
            "{job}: {operation} was due{often} and did not run: {}", skip.reason
        ),
        _ => info!(
            target: TARGET, event = "run.skipped", job, operation, reason, %first, %last, runs, instead,
            "{job}: {operation} was due{often} and did not run: {}", skip.reason
        ),
    }
}

fn not_before(run: &RunRecord) -> kronos_core::Timestamp {
    match run.state {
        RunState::Queued { not_before, .. } => not_before,
        _ => run.moment(),
    }
}
