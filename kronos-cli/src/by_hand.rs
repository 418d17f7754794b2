//! A run that somebody asks for by a command: claimed, timed, followed and told of exactly as the
//! daemon's are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Result};
use kronos_service::daemon::{DaemonEvent, DaemonObserver, RunRequest, Runner, StopReason, run_now};
use kronos_service::store::{RunRecord, SqliteStore, Task};
use kronos_service::{BackupTask, Company, Done, Frame, JobResult, Operation, RunReport, Trigger, in_full};

use crate::app::App;
use crate::jobs::Backup;
use crate::state;

/// Makes a backup. Of a job of the configuration only one run goes on at a time on this machine.
pub(crate) async fn run(app: &Arc<App>, backup: &Backup, wait: Option<Duration>) -> (JobResult, Result<()>) {
    let mut result = JobResult::new(backup.name.clone().unwrap_or_default(), backup.method);
    let task = match backup.task(app, false) {
        Ok(task) => task,
        Err(error) => {
            result.fail(&error);
            return (result, Err(error));
        }
    };
    let job = backup.name.clone().unwrap_or_else(|| task.connector.default_job());
    let company = app.watchers().company(&app.config, &job);
    let of_config = app.config.jobs.contains_key(&job) && backup.name.is_some();
    let store = if of_config { job_store(app).await } else { None };
    let done = if let Some(store) = store {
        claimed(app, store, Work { task, company, backup }, &job, wait).await
    } else {
        let run = app.run_with(backup.limits.clone());
        let frame = Frame::new(Operation::Backup, &job, Trigger::Manual, &run);
        Ok(task.run_in(&frame, company, &**app, &run).await)
    };
    match done {
        Ok(done) => (done.result, done.ended),
        Err(error) => {
            result.job = job;
            result.fail(&error);
            (result, Err(error))
        }
    }
}

/// Without the store another run of the job would not be seen, which a repository bears well.
async fn job_store(app: &App) -> Option<SqliteStore> {
    match app.job_store().await {
        Ok(store) => Some(store),
        Err(error) => {
            app.warn(&format!("this run is not remembered: {}", in_full(&error)));
            None
        }
    }
}

/// What is to be done.
struct Work<'a> {
    task: BackupTask,
    company: Company,
    backup: &'a Backup,
}

async fn claimed(
    app: &Arc<App>,
    store: SqliteStore,
    work: Work<'_>,
    job: &str,
    wait: Option<Duration>,
) -> Result<Done> {
    let left = Arc::new(Left { app: Arc::clone(app), runs: Mutex::default() });
    let runner = Arc::new(OneRun {
        app: Arc::clone(app),
        task: work.task,
        company: work.company,
        limits: work.backup.limits.clone(),
        left: Arc::clone(&left),
        done: Mutex::default(),
    });
    let parts = state::parts("kronos backup", Arc::new(store), Arc::clone(&runner) as _, left);
    let ended = run_now(&parts, &Task::backup(job), work.backup.timeout, app.run.cancel.clone(), wait).await;
    let done = runner.done.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (done, ended) {
        (Some(done), Ok(_)) => Ok(done),
        // The backup is made, whatever became of the note of it.
        (Some(done), Err(error)) => {
            app.warn(&format!("this run is not remembered: {}", in_full(&error)));
            Ok(done)
        }
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(Error::new(ErrorKind::Internal, "a run left nothing behind")),
    }
}

/// Runs one backup, and keeps what came of it.
#[derive(Debug)]
struct OneRun {
    app: Arc<App>,
    task: BackupTask,
    company: Company,
    limits: kronos_core::Limits,
    left: Arc<Left>,
    done: Mutex<Option<Done>>,
}

#[async_trait]
impl Runner for OneRun {
    async fn run(&self, job: &str, request: RunRequest) -> RunReport {
        for old in self.left.take() {
            let report = old.interrupted(self.app.run.clock.now());
            for follower in &self.company.followers {
                if let Err(error) = follower.ended(&report).await {
                    self.app.warn(&format!("{}: {}", follower.name(), in_full(&error)));
                }
            }
        }
        let mut run = self.app.run_with(self.limits.clone());
        run.cancel = request.cancel.clone();
        let mut done = self.task.run_in(&Frame::of(job, &request), self.company.clone(), &*self.app, &run).await;
        if let (Some(StopReason::Timeout), Err(_), Some(told)) = (request.stopped(), &done.ended, &done.report.error) {
            let error = Error::new(ErrorKind::Timeout, &told.message);
            done.ended = Err(told.hint.iter().fold(error, |error, hint| error.with("hint", hint)));
        }
        let report = done.report.clone();
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        report
    }
}

/// Runs of this job that somebody who was killed has left behind.
#[derive(Debug)]
struct Left {
    app: Arc<App>,
    runs: Mutex<Vec<RunRecord>>,
}

impl Left {
    fn take(&self) -> Vec<RunRecord> {
        std::mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl DaemonObserver for Left {
    fn on_event(&self, event: &DaemonEvent<'_>) {
        match event {
            DaemonEvent::Interrupted { run, .. } => {
                self.runs.lock().unwrap_or_else(PoisonError::into_inner).push((*run).clone());
            }
            DaemonEvent::StoreFailed(error) => self.app.warn(&format!("job store: {}", in_full(error))),
            _ => {}
        }
    }
}
