//! What runs a job, and what it is asked for.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Id, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::report::{Ended, Operation, RunReport, Trigger};
use crate::store::RunRecord;

/// Runs jobs.
#[async_trait]
pub trait Runner: std::fmt::Debug + Send + Sync {
    /// Runs one job to its end, and says how it ended. Once `request.cancel` is cancelled it comes
    /// to an end soon, keeping what a next run can go on with.
    async fn run(&self, job: &str, request: RunRequest) -> RunReport;
}

/// What is asked of a [`Runner`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunRequest {
    /// The run's own id.
    pub id: Id,
    /// What is to be done.
    pub operation: Operation,
    /// Who asks.
    pub trigger: Trigger,
    /// The time of the schedule that is answered.
    pub due: Option<Timestamp>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// When the run began.
    pub started: Timestamp,
    /// When it will be stopped.
    pub deadline: Option<Timestamp>,
    /// Stops the run.
    pub cancel: CancellationToken,
    why: Arc<OnceLock<StopReason>>,
}

/// Why a run was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// It took longer than it may.
    Timeout,
    /// The program is to end; its next start takes the run up again.
    Shutdown,
    /// The run was declared interrupted, and somebody else may have taken it up.
    Lost,
}

impl RunRequest {
    pub(super) fn new(
        run: &RunRecord,
        started: Timestamp,
        deadline: Option<Timestamp>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            id: run.id,
            operation: run.task.operation,
            trigger: run.trigger,
            due: run.due,
            attempt: run.attempt,
            started,
            deadline,
            cancel,
            why: Arc::default(),
        }
    }

    /// Why it was asked to stop, once it was.
    pub fn stopped(&self) -> Option<StopReason> {
        self.why.get().copied()
    }

    /// The report of this run as it begins.
    pub fn report(&self, job: &str) -> RunReport {
        let report = RunReport::begin(self.id, self.operation, job, self.trigger, self.started);
        RunReport { attempt: self.attempt, due: self.due, ..report }
    }

    /// The report as it counts: what was cancelled for its timeout has failed. A runner calls this
    /// before it tells anybody of the report.
    #[must_use]
    pub fn conclude(&self, mut report: RunReport) -> RunReport {
        if report.ended == Ended::Cancelled && self.stopped() == Some(StopReason::Timeout) {
            report.ended = Ended::Failed;
            let allowed = self.deadline.map_or_else(Default::default, |deadline| deadline.since(self.started));
            let error = Error::new(ErrorKind::Timeout, "the run took longer than its timeout")
                .with("timeout", format!("{}s", allowed.as_secs()))
                .with(
                    "hint",
                    "what was stored is kept, the next run goes on from there; see limits.timeout of the job",
                );
            report.error = Some(Failure::of(&error));
        }
        report
    }

    pub(super) fn stop(&self, why: StopReason) {
        // The first reason is the one that counts.
        let _ = self.why.set(why);
        self.cancel.cancel();
    }
}
