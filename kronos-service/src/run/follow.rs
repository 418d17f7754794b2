//! What goes along with a run, whoever asked for it: those that are told of its beginning and its end,
//! and the log, in which each of its events stands with the run's id.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{ErrorKind, Event, Id, Observer, Result, RunContext, Timestamp};

use crate::daemon::RunRequest;
use crate::failure::{Failure, in_full};
use crate::logs::{LogObserver, run_span};
use crate::report::{Ended, Operation, RunReport, Trigger};

/// Somebody who is told of every run: notifications, the audit log, metrics, the log.
///
/// What goes wrong here is a warning of the run and never makes it fail.
#[async_trait]
pub trait Follower: fmt::Debug + Send + Sync {
    /// What it is called in a warning, such as `notifications`.
    fn name(&self) -> &'static str;

    /// A run has begun.
    async fn begun(&self, report: &RunReport) -> Result<()>;

    /// A run has ended.
    async fn ended(&self, report: &RunReport) -> Result<()>;
}

/// A run that is about to begin.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Frame {
    /// The run's own id.
    pub run: Id,
    /// What is done.
    pub operation: Operation,
    /// The job.
    pub job: String,
    /// Who asked for it.
    pub trigger: Trigger,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// When the schedule wanted it.
    pub due: Option<Timestamp>,
    /// What the daemon asked for.
    asked: Option<RunRequest>,
}

impl Frame {
    /// A first attempt with a new id.
    pub fn new(operation: Operation, job: impl Into<String>, trigger: Trigger, run: &RunContext) -> Self {
        let mut id = [0; 16];
        run.entropy.fill(&mut id);
        Self { run: Id(id), operation, job: job.into(), trigger, attempt: 1, due: None, asked: None }
    }

    /// The run that the daemon asks for.
    pub fn of(job: &str, request: &RunRequest) -> Self {
        Self {
            run: request.id,
            operation: request.operation,
            job: job.to_owned(),
            trigger: request.trigger,
            attempt: request.attempt,
            due: request.due,
            asked: Some(request.clone()),
        }
    }

    /// Tells all followers that the run begins. The work is done with the context of what comes back,
    /// and writes down in its report what it did.
    pub async fn begin(&self, followers: Vec<Arc<dyn Follower>>, run: &RunContext) -> Following {
        let mut report = RunReport::begin(self.run, self.operation, &self.job, self.trigger, run.clock.now());
        (report.attempt, report.due) = (self.attempt, self.due);
        let log = LogObserver::new(run_span(self.run, &self.job), Arc::clone(&run.clock));
        let ears = Arc::new(Ears { inner: Arc::clone(&run.observer), log, warnings: Mutex::default() });
        let context = run.clone().with_observer(Arc::clone(&ears) as Arc<dyn Observer>);
        for follower in &followers {
            let told = follower.begun(&report).await;
            untold(told, &**follower, &context);
        }
        Following { context, report, followers, ears, asked: self.asked.clone() }
    }
}

/// A run that goes on, and is followed.
#[derive(Debug)]
#[must_use = "followers wait for the end"]
pub struct Following {
    /// What the work is done with.
    pub context: RunContext,
    /// What it has done so far.
    pub report: RunReport,
    followers: Vec<Arc<dyn Follower>>,
    ears: Arc<Ears>,
    asked: Option<RunRequest>,
}

impl Following {
    /// Tells all followers that the run has ended: after an error it has failed, or was stopped.
    pub async fn end(self, done: &Result<()>) -> RunReport {
        let Self { context, mut report, followers, ears, asked } = self;
        settle(&mut report, done);
        report.warnings.extend(ears.take());
        if report.ended == Ended::Succeeded && !report.warnings.is_empty() {
            report.ended = Ended::Warnings;
        }
        if let Some(asked) = &asked {
            report = asked.conclude(report);
        }
        report.finished = context.clock.now();
        for follower in &followers {
            let told = follower.ended(&report).await;
            untold(told, &**follower, &context);
        }
        // What the followers themselves had trouble with is known to whoever asked for the run.
        report.warnings.extend(ears.take());
        report
    }
}

/// How the run ended, as far as the work has not said so.
fn settle(report: &mut RunReport, done: &Result<()>) {
    match done {
        Err(error) => {
            report.error.get_or_insert_with(|| Failure::of(error));
            report.ended = if error.kind() == ErrorKind::Cancelled { Ended::Cancelled } else { Ended::Failed };
        }
        Ok(()) if report.ended == Ended::Failed && report.error.is_none() => report.ended = Ended::Succeeded,
        Ok(()) => {}
    }
}

fn untold(told: Result<()>, follower: &dyn Follower, run: &RunContext) {
    if let Err(error) = told {
        run.emit(&Event::Warning { message: format!("{}: {}", follower.name(), in_full(&error)) });
    }
}

/// Hears the warnings of a run on their way.
#[derive(Debug)]
struct Ears {
    inner: Arc<dyn Observer>,
    log: LogObserver,
    warnings: Mutex<Vec<String>>,
}

impl Ears {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Ears {
    fn on_event(&self, event: &Event) {
        if let Event::Warning { message } = event {
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
        }
        self.log.on_event(event);
        self.inner.on_event(event);
    }
}
