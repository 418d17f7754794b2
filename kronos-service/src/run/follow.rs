//! What goes along with a run, whoever asked for it: those that are told of its beginning and its end,
//! and the log, in which each of its events stands with the run's id.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Event, Id, Observer, Result, RunContext, Timestamp};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::caught::caught;
use crate::daemon::RunRequest;
use crate::failure::{Failure, in_full};
use crate::hooks::Hooks;
use crate::logs::{LogObserver, run_span};
use crate::report::{ChunkFigures, Ended, Operation, RunReport, Trigger};

/// So long a run waits at its beginning for those who are told of it, and at its end; and at the end of one
/// that was stopped.
const BEGINNING: Duration = Duration::from_secs(2);
const ENDING: Duration = Duration::from_mins(5);
const STOPPED: Duration = Duration::from_secs(10);

/// Somebody who is being told, for longer than anybody wants to wait.
type Telling = (Arc<dyn Follower>, JoinHandle<Result<()>>);
const UNTOLD: &str = "telling of the run panicked";

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

/// Who goes along with the runs of one job.
#[derive(Debug, Clone, Default)]
pub struct Company {
    /// Its hooks.
    pub hooks: Option<Hooks>,
    /// Those that are told.
    pub followers: Vec<Arc<dyn Follower>>,
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
    pub async fn begin(&self, company: Company, run: &RunContext) -> Following {
        let mut report = RunReport::begin(self.run, self.operation, &self.job, self.trigger, run.clock.now());
        (report.attempt, report.due) = (self.attempt, self.due);
        let log = LogObserver::new(run_span(self.run, &self.job), Arc::clone(&run.clock));
        let ears = Arc::new(Ears {
            inner: Arc::clone(&run.observer),
            log,
            warnings: Mutex::default(),
            chunks: Mutex::default(),
        });
        let context = run.clone().with_observer(Arc::clone(&ears) as Arc<dyn Observer>);
        let mut late = Vec::new();
        let until = Instant::now() + BEGINNING;
        for follower in &company.followers {
            let (one, beginning) = (Arc::clone(follower), report.clone());
            let mut telling = tokio::spawn(async move { caught(UNTOLD, one.begun(&beginning)).await });
            match timeout_at(until, &mut telling).await {
                Ok(told) => untold(told.unwrap_or_else(panicked), &**follower, &context),
                // The work need not wait: a receiver may say nothing for as long as it likes.
                Err(_) => late.push((Arc::clone(follower), telling)),
            }
        }
        Following { context, report, company, ears, late, asked: self.asked.clone() }
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
    company: Company,
    ears: Arc<Ears>,
    /// Those that have not yet taken in that it began.
    late: Vec<Telling>,
    asked: Option<RunRequest>,
}

impl Following {
    /// Runs the hook `before`, unless the run is stopped. After an error the work must not be done.
    pub async fn prepare(&self) -> Result<()> {
        match &self.company.hooks {
            Some(hooks) => hooks.before(&self.report, &self.context.cancel).await,
            None => Ok(()),
        }
    }

    /// Tells all followers that the run has ended: after an error it has failed, or was stopped.
    pub async fn end<T>(self, done: &Result<T>) -> RunReport {
        let Self { context, mut report, company, ears, late, asked } = self;
        settle(&mut report, done.as_ref().err());
        let patience = || Instant::now() + if context.cancel.is_cancelled() { STOPPED } else { ENDING };
        for (follower, mut telling) in late {
            let told = timeout_at(patience(), &mut telling).await;
            // Whoever hears of the end next must not hear of the beginning after it.
            telling.abort();
            untold(told.map_or_else(slow, |told| told.unwrap_or_else(panicked)), &*follower, &context);
        }
        report.warnings.extend(ears.take());
        if let Some(backup) = &mut report.backup {
            backup.chunks = *ears.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        }
        if report.ended == Ended::Succeeded && !report.warnings.is_empty() {
            report.ended = Ended::Warnings;
        }
        if let Some(asked) = &asked {
            report = asked.conclude(report);
        }
        report.finished = context.clock.now();
        if let Some(hooks) = &company.hooks
            && let Err(error) = hooks.ended(&report).await
        {
            context.emit(&Event::Warning { message: in_full(&error) });
            report.warnings.extend(ears.take());
            // The application that it was to start may stand still.
            if report.ended == Ended::Succeeded {
                report.ended = Ended::Warnings;
            }
        }
        for follower in &company.followers {
            let (one, end) = (Arc::clone(follower), report.clone());
            let telling = tokio::spawn(async move { caught(UNTOLD, one.ended(&end)).await });
            let told = timeout_at(patience(), telling).await;
            untold(told.map_or_else(slow, |told| told.unwrap_or_else(panicked)), &**follower, &context);
        }
        // What the followers themselves had trouble with is known to whoever asked for the run.
        report.warnings.extend(ears.take());
        report
    }
}

fn slow(_: Elapsed) -> Result<()> {
    Err(Error::new(ErrorKind::Timeout, "it takes too long, and is not waited for"))
}

fn panicked(error: JoinError) -> Result<()> {
    Err(Error::new(ErrorKind::Internal, "it panicked").with_source(error))
}

/// How the run ended, as far as the work has not said so.
fn settle(report: &mut RunReport, error: Option<&Error>) {
    match error {
        Some(error) => {
            report.error.get_or_insert_with(|| Failure::of(error));
            report.ended = if error.kind() == ErrorKind::Cancelled { Ended::Cancelled } else { Ended::Failed };
        }
        None if report.ended == Ended::Failed && report.error.is_none() => report.ended = Ended::Succeeded,
        None => {}
    }
}

fn untold(told: Result<()>, follower: &dyn Follower, run: &RunContext) {
    if let Err(error) = told {
        run.emit(&Event::Warning { message: format!("{}: {}", follower.name(), in_full(&error)) });
    }
}

/// Hears on their way what a run tells in its report as well.
#[derive(Debug)]
struct Ears {
    inner: Arc<dyn Observer>,
    log: LogObserver,
    warnings: Mutex<Vec<String>>,
    chunks: Mutex<Option<ChunkFigures>>,
}

impl Ears {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Ears {
    fn on_event(&self, event: &Event) {
        match event {
            Event::Warning { message } => {
                self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
            }
            Event::Chunked { chunks, new } => {
                let figures = ChunkFigures { cut: *chunks, new: *new };
                *self.chunks.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
            }
            _ => {}
        }
        self.log.on_event(event);
        self.inner.on_event(event);
    }
}
