//! What goes along with a run, whoever asked for it: those that are told of its beginning and its end,
//! and the log, in which each of its events stands with the run's id.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Event, Id, Observer, Result, RunContext, Timestamp};

use crate::failure::{Failure, causes, line};
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

impl Frame {
    /// A first attempt with a new id.
    pub fn new(operation: Operation, job: impl Into<String>, trigger: Trigger, run: &RunContext) -> Self {
        let mut id = [0; 16];
        run.entropy.fill(&mut id);
        Self { run: Id(id), operation, job: job.into(), trigger, attempt: 1, due: None }
    }

    /// Does the work, and tells all followers before and after. The work writes down in the report what
    /// it did; if it gives an error, the run has failed, or was stopped.
    pub async fn follow<W>(&self, followers: &[Arc<dyn Follower>], run: &RunContext, work: W) -> (RunReport, Result<()>)
    where
        W: AsyncFnOnce(&RunContext, &mut RunReport) -> Result<()>,
    {
        let mut report = RunReport::begin(self.run, self.operation, &self.job, self.trigger, run.clock.now());
        (report.attempt, report.due) = (self.attempt, self.due);
        let log = LogObserver::new(run_span(self.run, &self.job), Arc::clone(&run.clock));
        let ears = Arc::new(Ears { inner: Arc::clone(&run.observer), log, warnings: Mutex::default() });
        let listening = run.clone().with_observer(Arc::clone(&ears) as Arc<dyn Observer>);
        for follower in followers {
            let told = follower.begun(&report).await;
            untold(told, &**follower, &listening);
        }
        let done = work(&listening, &mut report).await;
        settle(&mut report, &done);
        report.warnings.extend(ears.take());
        if report.ended == Ended::Succeeded && !report.warnings.is_empty() {
            report.ended = Ended::Warnings;
        }
        report.finished = run.clock.now();
        for follower in followers {
            let told = follower.ended(&report).await;
            untold(told, &**follower, &listening);
        }
        // What the followers themselves had trouble with is known to whoever asked for the run.
        report.warnings.extend(ears.take());
        (report, done)
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
        run.emit(&Event::Warning { message: format!("{}: {}", follower.name(), told_of(&error)) });
    }
}

fn told_of(error: &Error) -> String {
    let mut lines = vec![line(error)];
    lines.extend(causes(error));
    lines.join(": ")
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
