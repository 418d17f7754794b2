//! A run that somebody asks for: beside the daemon, but never at the same time as a run of the same
//! task.

use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, Retry, Timestamp};
use tokio_util::sync::CancellationToken;

use super::attend::{HEARTBEAT, LEASE, attend};
use super::runner::{RunRequest, StopReason};
use super::{DaemonEvent, Parts};
use crate::report::{RunReport, Trigger};
use crate::store::{Claimed, Outcome, Owner, RunRecord, RunState, Task};

/// How often it is looked whether a run that is waited for has ended.
const LOOK: Duration = Duration::from_secs(1);
/// Whoever lives has renewed a claim by then.
const SILENCE: Duration = Duration::from_secs(HEARTBEAT.as_secs() + 5);
/// The end of a run is written so often.
const ATTEMPTS: u32 = 5;

/// Runs a task now, whether it is scheduled or not, and paused or not. `timeout` is how long it may
/// take, `cancel` stops it. When a run of the task goes on already, it is waited for up to `wait`;
/// then an error of kind `Locked` says who runs it. Failed runs are not tried again.
pub async fn run_now(
    parts: &Parts,
    task: &Task,
    timeout: Option<Duration>,
    cancel: CancellationToken,
    wait: Option<Duration>,
) -> Result<RunReport> {
    run_claimed(parts, task, (Trigger::Manual, 1), timeout, cancel, wait).await
}

/// The same for whoever asks: who that is, and which attempt it is.
pub(super) async fn run_claimed(
    parts: &Parts,
    task: &Task,
    asked: (Trigger, u32),
    timeout: Option<Duration>,
    cancel: CancellationToken,
    wait: Option<Duration>,
) -> Result<RunReport> {
    let owner = parts.owner();
    let Some(run) = begin(parts, task, asked, &owner, &cancel, wait).await? else {
        return Err(Error::new(ErrorKind::Cancelled, "the run was cancelled before it began"));
    };
    let started = run.moment();
    let request =
        RunRequest::new(&run, started, timeout.map(|timeout| started.plus(timeout)), CancellationToken::new());
    parts.observer.on_event(&DaemonEvent::Started(&run));
    let report = {
        let mut running = Box::pin(attend(parts, owner.id, &task.job, request.clone(), timeout));
        tokio::select! {
            report = &mut running => report,
            () = cancel.cancelled() => {
                request.stop(StopReason::Shutdown);
                running.await
            }
        }
    };
    let outcome = Outcome::Reported(Box::new(report.clone()));
    let mut attempt = 1;
    loop {
        match parts.store.end(run.id, owner.id, parts.clock.now(), &outcome, None).await {
            Ok(true) => parts.observer.on_event(&DaemonEvent::Ended { run: &run, report: &report, next: None }),
            Ok(false) => parts.observer.on_event(&DaemonEvent::Lost { run: &run, report: &report }),
            Err(error) if attempt < ATTEMPTS && error.retry() == Retry::Later => {
                parts.observer.on_event(&DaemonEvent::StoreFailed(&error));
                parts.timer.sleep(LOOK * attempt).await;
                attempt += 1;
                continue;
            }
            Err(error) => return Err(error),
        }
        return Ok(report);
    }
}

/// Claims the task; none when it was cancelled meanwhile.
async fn begin(
    parts: &Parts,
    task: &Task,
    (trigger, attempt): (Trigger, u32),
    owner: &Owner,
    cancel: &CancellationToken,
    wait: Option<Duration>,
) -> Result<Option<RunRecord>> {
    let (mut waited, mut silent) = (Duration::ZERO, None);
    while !cancel.is_cancelled() {
        let now = parts.clock.now();
        let epoch = parts.store.task(task).await?.map_or(0, |state| state.epoch);
        let run = RunRecord {
            id: parts.id(),
            task: task.clone(),
            epoch,
            trigger,
            due: None,
            attempt,
            state: RunState::Running { owner: owner.clone(), started: now, until: now.plus(LEASE) },
        };
        let other = match parts.store.begin(&run).await? {
            Claimed::Yes(run) => return Ok(Some(*run)),
            Claimed::Busy(other) => other,
            Claimed::Gone | Claimed::Paused => {
                return Err(Error::new(ErrorKind::Internal, "the job store refused a run that it should not refuse"));
            }
        };
        // A clock that was set, or a machine that slept, makes claims look old whose owners live: such a one
        // says so soon.
        if let Some(until) = other.held_until().filter(|until| *until <= now) {
            let claim = (other.id, until);
            let seen = silent.take().filter(|(known, _)| *known == claim).map_or(Duration::ZERO, |(_, seen)| seen);
            if seen < SILENCE {
                silent = Some((claim, seen + LOOK));
                parts.timer.sleep(LOOK).await;
                continue;
            }
        }
        // Left behind by somebody who was killed. No run follows: this one takes its place.
        if parts.store.interrupt(other.id, now, None).await? {
            parts.observer.on_event(&DaemonEvent::Interrupted { run: &other, next: None });
            continue;
        }
        if wait.is_none_or(|wait| waited >= wait) {
            return Err(held(&other, now));
        }
        parts.timer.sleep(LOOK).await;
        waited += LOOK;
    }
    Ok(None)
}

fn held(run: &RunRecord, now: Timestamp) -> Error {
    let error = Error::new(ErrorKind::Locked, "a run of this job goes on already").with("job", &run.task.job);
    match &run.state {
        RunState::Running { owner, started, .. } => {
            error.with("by", &owner.name).with("since", format!("{started}, {}s", now.since(*started).as_secs()))
        }
        _ => error,
    }
}
