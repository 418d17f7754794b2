//! One job: what it does and how that is told.

use kronos_core::{BackupInfo, BackupPlan, ConnectionStatus, Connector, Error, ErrorKind, Result};
use serde::Serialize;

use super::storages::{Attempt, Slot};
use super::{Method, Task, Wishes};
use crate::app::App;
use crate::errors::line;

/// What one job did.
#[derive(Serialize)]
pub(super) struct JobResult {
    pub(super) job: String,
    /// The source, without secrets.
    pub(super) source: Option<String>,
    pub(super) method: &'static str,
    pub(super) plan: Option<BackupPlan>,
    pub(super) backup: Option<BackupInfo>,
    /// Why the strategy fell back or did nothing.
    pub(super) reason: Option<String>,
    /// Damaged backups that this one has made whole.
    pub(super) healed: Vec<kronos_core::Id>,
    pub(super) storages: Vec<StorageResult>,
    /// Why the job failed as a whole.
    pub(super) error: Option<Failure>,
}

/// What became of one storage.
#[derive(Serialize)]
pub(super) struct StorageResult {
    pub(super) storage: String,
    pub(super) outcome: Outcome,
    /// Backups of earlier runs that were copied to it.
    pub(super) caught_up: u64,
    pub(super) error: Option<Failure>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// The backup was made here.
    BackedUp,
    /// The backup was copied to here.
    Copied,
    /// A dry run: it would be made here.
    WouldBackUp,
    /// A dry run: it would be copied to here.
    WouldCopy,
    /// The strategy found nothing to do.
    NothingToDo,
    /// It was too slow and has not got the backup.
    Dropped,
    Failed,
}

/// An error, as JSON shows it.
#[derive(Clone, Serialize)]
pub(super) struct Failure {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        Self { kind: error.kind().name(), message: line(error) }
    }
}

impl JobResult {
    pub(super) fn new(job: String, method: Method) -> Self {
        let method = if method == Method::Tool { "tool" } else { "native" };
        let (storages, source) = (Vec::new(), None);
        let (plan, backup, reason, healed, error) = (None, None, None, Vec::new(), None);
        Self { job, source, method, plan, backup, reason, healed, storages, error }
    }

    pub(super) fn fail(&mut self, error: &Error) {
        self.error = Some(Failure::of(error));
    }

    pub(super) fn has_failed(&self) -> bool {
        self.error.is_some() || self.storages.iter().any(|s| s.outcome == Outcome::Failed)
    }

    pub(super) fn did_nothing(&self) -> bool {
        !self.storages.is_empty() && self.storages.iter().all(|s| s.outcome == Outcome::NothingToDo)
    }
}

/// Runs a job. An error means that no storage has the backup.
pub(super) async fn run(app: &App, wishes: Wishes, task: &Task, result: &mut JobResult) -> Result<()> {
    let connector = connect(app, task)?;
    result.source = Some(connector.describe());
    result.job = task.name.clone().unwrap_or_else(|| connector.default_job());
    // A lock may be waited for; the user need not.
    let tested = app.run.cancel.run_until_cancelled(test(&*connector)).await;
    tested.unwrap_or_else(|| app.run.check_cancelled())?;
    let mut options = task.options.clone();
    options.job = Some(result.job.clone());
    let (job, several) = (result.job.clone(), task.storages.len() > 1);
    let attempt = Attempt { app, job: &job, options, connector, run: app.run_with(task.limits.clone()), several };
    let mut slots = attempt.open(&task.storages).await;
    let made = attempt.make(&mut slots, wishes.dry_run, result).await;
    result.storages = slots.into_iter().map(Slot::into_result).collect();
    made
}

/// The connector; told by which method it reads, if it has more than one.
fn connect(app: &App, task: &Task) -> Result<std::sync::Arc<dyn Connector>> {
    let mut source = task.source.clone();
    if task.method == Method::Tool {
        if !source.has_tools() {
            return Err(Error::new(ErrorKind::Unsupported, "this engine has no backups with a tool of its own")
                .with("engine", &source.engine)
                .with("hint", "leave --method out, or write --method native"));
        }
        source.settings.options.insert("method".to_owned(), "tool".to_owned());
    }
    source.connect(&app.registry)
}

/// Tells at once, and with the kind of error that it is, when the source cannot be read.
async fn test(connector: &dyn Connector) -> Result<()> {
    let report = connector.test_connection().await?;
    if report.status == ConnectionStatus::Connected {
        return Ok(());
    }
    connector.databases().await?;
    let message = report.message.unwrap_or_else(|| "the source cannot be reached".to_owned());
    Err(Error::new(ErrorKind::ConnectionFailed, message).with("source", connector.describe()))
}
