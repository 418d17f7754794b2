//! One job: into the first storage that is up, then a copy of the same backup into the others.

use std::sync::Arc;

use kronos_core::{
    BackupInfo, BackupPlan, ConnectionStatus, Connector, Error, ErrorKind, Repository, Result, RunContext,
};
use serde::Serialize;

use super::{Method, Task, Wishes};
use crate::app::App;
use crate::errors::line;
use crate::mask::mask;
use crate::places::Place;
use crate::units;

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
    Failed,
}

/// An error, as JSON shows it.
#[derive(Clone, Serialize)]
pub(super) struct Failure {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self { kind: error.kind().name(), message: line(error) }
    }
}

impl JobResult {
    pub(super) fn new(job: String) -> Self {
        let (storages, source) = (Vec::new(), None);
        let (plan, backup, reason, healed, error) = (None, None, None, Vec::new(), None);
        Self { job, source, method: "native", plan, backup, reason, healed, storages, error }
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

    fn storage(&mut self, storage: &str, outcome: Outcome, error: Option<&Error>) {
        self.storages.push(StorageResult { storage: mask(storage), outcome, error: error.map(Failure::of) });
    }
}

/// Runs a job. An error means that no storage has the backup.
pub(super) async fn run(app: &App, wishes: Wishes, task: &Task, result: &mut JobResult) -> Result<()> {
    let connector = task.source.clone().connect(&app.registry)?;
    result.source = Some(connector.describe());
    result.job = task.name.clone().unwrap_or_else(|| connector.default_job());
    if wishes.method == Method::Tool {
        return Err(Error::new(ErrorKind::Unsupported, "this engine has no backups with a tool of its own")
            .with("engine", connector.engine())
            .with("hint", "leave --method out, or write --method native"));
    }
    // A lock may be waited for; the user need not.
    let tested = app.run.cancel.run_until_cancelled(test(&*connector)).await;
    tested.unwrap_or_else(|| app.run.check_cancelled())?;
    let attempt = Attempt { app, task, job: &result.job.clone(), connector, run: app.run_with(task.limits.clone()) };

    let mut urls = task.storages.iter();
    let mut primary = None;
    let mut last_error = None;
    for url in urls.by_ref() {
        match attempt.first(url, wishes.dry_run, result).await {
            Ok(made) => {
                primary = Some(made);
                break;
            }
            Err(e) if e.kind() == ErrorKind::Cancelled || task.storages.len() == 1 => return Err(e),
            Err(e) => {
                app.out.error(&e, "backup");
                result.storage(&shown(app, url), Outcome::Failed, Some(&e));
                last_error = Some(e);
            }
        }
    }
    let Some((repository, backup)) = primary else {
        let error = Error::new(ErrorKind::Io, "no storage could take the backup").with("job", &result.job);
        return Err(match last_error {
            Some(last) => error.with_source(last),
            None => error,
        });
    };
    for url in urls {
        match attempt.further(url, wishes.dry_run, repository.as_ref(), backup.as_ref()).await {
            Ok(outcome) => result.storage(&shown(app, url), outcome, None),
            Err(e) => {
                app.out.error(&e, "backup");
                result.storage(&shown(app, url), Outcome::Failed, Some(&e));
            }
        }
    }
    Ok(())
}

/// A storage's name, or what was written when it has none.
fn shown(app: &App, url: &str) -> String {
    app.place(url).map_or_else(|_| url.to_owned(), |place| place.name)
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

struct Attempt<'a> {
    app: &'a App,
    task: &'a Task,
    job: &'a str,
    connector: Arc<dyn Connector>,
    run: RunContext,
}

impl Attempt<'_> {
    /// Backs up into a storage, which gets a repository if it is empty.
    async fn first(
        &self,
        url: &str,
        dry_run: bool,
        result: &mut JobResult,
    ) -> Result<(Option<Repository>, Option<BackupInfo>)> {
        let place = self.app.place(url)?;
        let there = self.app.open_if_there(&place).await?;
        let mut options = self.task.options.clone();
        options.job = Some(self.job.to_owned());
        let plan = kronos_core::plan_backup(there.as_ref(), &*self.connector, &options, &self.run).await?;
        let estimate = units::bytes(plan.estimate);
        result.plan = Some(plan);
        if there.is_none() {
            self.app.keys()?.protection()?;
        }
        if dry_run {
            result.storage(&place.name, Outcome::WouldBackUp, None);
            return Ok((there, None));
        }
        self.app.out.note(&format!("{}: about {estimate} in {}", self.job, self.connector.describe()));
        let repository = match there {
            Some(repository) => repository,
            None => self.app.open_or_init(&place).await?,
        };
        let report = kronos_core::backup(&repository, &*self.connector, &options, &self.run).await?;
        result.reason = report.reason;
        result.healed = report.healed;
        let outcome = if report.backup.is_some() { Outcome::BackedUp } else { Outcome::NothingToDo };
        result.storage(&place.name, outcome, None);
        result.backup.clone_from(&report.backup);
        if let Some(backup) = &report.backup {
            backup.warnings.iter().for_each(|note| self.app.out.note(&format!("note: {note}")));
        }
        Ok((Some(repository), report.backup))
    }

    /// Copies the backup into a storage, which gets a repository with the same keys if it is empty.
    async fn further(
        &self,
        url: &str,
        dry_run: bool,
        from: Option<&Repository>,
        backup: Option<&BackupInfo>,
    ) -> Result<Outcome> {
        let place: Place = self.app.place(url)?;
        let there = self.app.open_if_there(&place).await?;
        if dry_run {
            return Ok(Outcome::WouldCopy);
        }
        let (Some(from), Some(backup)) = (from, backup) else { return Ok(Outcome::NothingToDo) };
        let to = match there {
            Some(to) => to,
            None => self.app.open_or_init_like(&place, from).await?,
        };
        let report = kronos_core::copy(from, &to, self.job, &[backup.id], &self.run).await?;
        match report.failed.first() {
            None => Ok(Outcome::Copied),
            Some(failed) => Err(Error::new(ErrorKind::Corrupt, format!("the backup could not be copied: {failed}"))),
        }
    }
}
