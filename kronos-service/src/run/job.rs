//! Jobs of a configuration, run exactly alike by a command and by the daemon.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Result, RunContext};

use super::BackupTask;
use super::catch_up::CatchUpTask;
use super::caught::caught;
use super::follow::{Company, Frame};
use super::places::Places;
use super::result::{JobResult, Outcome};
use crate::daemon::{RunRequest, Runner};
use crate::report::{Ended, Operation, RunReport};

const PANICKED: &str = "the run panicked";

/// What came of a backup.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done {
    /// What was done, step by step.
    pub result: JobResult,
    /// What others were told.
    pub report: RunReport,
    /// An error when no storage has the backup.
    pub ended: Result<()>,
}

impl BackupTask {
    /// Makes the backup, and tells all followers of it.
    pub async fn run_in(&self, frame: &Frame, company: Company, places: &dyn Places, run: &RunContext) -> Done {
        let mut following = frame.begin(company, run).await;
        let mut result = JobResult::new(frame.job.clone(), self.method);
        let work = Box::pin(async {
            following.prepare().await?;
            self.run(places, &following.context, &mut result).await
        });
        let ended = caught(PANICKED, work).await;
        if let Err(error) = &ended {
            result.fail(error);
        }
        result.tell(&mut following.report);
        let report = following.end(&ended).await;
        Done { result, report, ended }
    }
}

/// The jobs of a configuration, as the border makes them ready: it knows the engines, the keys and the
/// environment.
pub trait Jobs: Places {
    /// What the next backup of a job does.
    fn backup(&self, job: &str) -> Result<BackupTask>;

    /// What brings a job's storages what they have missed.
    fn catch_up(&self, job: &str) -> Result<CatchUpTask>;

    /// Limits and observer of a job's runs.
    fn context(&self, job: &str) -> RunContext;

    /// Who goes along with a job's runs.
    fn company(&self, job: &str) -> Company;
}

/// Runs jobs for the daemon, by the configuration of the moment.
pub struct JobRunner {
    jobs: RwLock<Arc<dyn Jobs>>,
}

impl fmt::Debug for JobRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRunner").finish_non_exhaustive()
    }
}

impl JobRunner {
    /// Runs these jobs.
    pub fn new(jobs: Arc<dyn Jobs>) -> Self {
        Self { jobs: RwLock::new(jobs) }
    }

    /// From now on these are the jobs; runs that go on end by what they began with.
    pub fn replace(&self, jobs: Arc<dyn Jobs>) {
        *self.jobs.write().unwrap_or_else(PoisonError::into_inner) = jobs;
    }

    fn jobs(&self) -> Arc<dyn Jobs> {
        Arc::clone(&self.jobs.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Runner for JobRunner {
    async fn run(&self, job: &str, request: RunRequest) -> RunReport {
        run(self.jobs(), job, request).await
    }
}

async fn run(jobs: Arc<dyn Jobs>, job: &str, request: RunRequest) -> RunReport {
    let mut run = jobs.context(job);
    run.cancel = request.cancel.clone();
    let frame = Frame::of(job, &request);
    let company = jobs.company(job);
    let unready = match request.operation {
        Operation::Backup => match backup(&jobs, job, &run).await {
            Ok(task) => return task.run_in(&frame, company, &*jobs, &run).await.report,
            Err(error) => Some(error),
        },
        Operation::CatchUp => None,
        _ => Some(Error::new(ErrorKind::Unsupported, "the daemon does not do this by itself")),
    };
    // What `before` would have stopped is not needed: the source is not read.
    let company = if request.operation == Operation::CatchUp { Company { hooks: None, ..company } } else { company };
    let mut following = frame.begin(company, &run).await;
    let ended = match unready {
        Some(error) => Err(error),
        None => caught(PANICKED, Box::pin(catch_up(&*jobs, job, &following.context, &mut following.report))).await,
    };
    following.end(&ended).await
}

/// Made ready on a thread of its own: a secret may have to be waited for, and a stop is not.
async fn backup(jobs: &Arc<dyn Jobs>, job: &str, run: &RunContext) -> Result<BackupTask> {
    let (jobs, job) = (Arc::clone(jobs), job.to_owned());
    let made = tokio::task::spawn_blocking(move || jobs.backup(&job));
    match run.cancel.run_until_cancelled(made).await {
        Some(Ok(made)) => made,
        Some(Err(panic)) => caught(PANICKED, async { std::panic::resume_unwind(panic.into_panic()) }).await,
        None => Err(Error::new(ErrorKind::Cancelled, "stopped before it began")),
    }
}

async fn catch_up(jobs: &dyn Jobs, job: &str, run: &RunContext, report: &mut RunReport) -> Result<()> {
    let storages = jobs.catch_up(job)?.run(jobs, run).await;
    run.check_cancelled()?;
    report.ended = match () {
        () if storages.iter().any(|storage| storage.outcome == Outcome::Failed) => Ended::Warnings,
        () if storages.iter().all(|storage| storage.outcome == Outcome::NothingToDo) => Ended::Nothing,
        () => Ended::Succeeded,
    };
    report.storages = storages.iter().map(super::StorageResult::figures).collect();
    Ok(())
}
