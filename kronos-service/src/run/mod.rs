//! One run of a job, by hand or by the daemon: from its source into all its storages.

mod backup;
mod catch_up;
mod caught;
mod follow;
mod job;
mod places;
mod result;
mod retention;
mod storages;

use std::sync::Arc;

use kronos_core::{BackupOptions, ConnectionStatus, Connector, Error, ErrorKind, Result, Retention, RunContext};

use crate::config::JobMethod;
use backup::Attempt;
pub use catch_up::CatchUpTask;
pub use follow::{Company, Follower, Following, Frame};
pub use job::{Done, JobRunner, Jobs};
pub use places::{Place, Places, StorageChoice};
pub use result::{JobResult, Outcome, StorageResult};
use storages::{Slot, Storages};

/// A backup that is to be made.
#[derive(Debug)]
pub struct BackupTask {
    /// The source.
    pub connector: Arc<dyn Connector>,
    /// The job's name; that of the source's database when absent.
    pub job: Option<String>,
    /// Where it goes; each gets the backup.
    pub storages: Vec<StorageChoice>,
    /// How the source is read, for people: the connector knows.
    pub method: JobMethod,
    /// How it is made.
    pub options: BackupOptions,
    /// What is kept of the job's backups, once there is a new one; `None` is everything.
    pub retention: Option<Retention>,
    /// Tell only what would be done; make nothing, not even a repository.
    pub dry_run: bool,
}

impl BackupTask {
    /// Makes the backup, and writes down what it did, step by step: `result` is right also when an
    /// error comes back. An error means that no storage has the backup.
    pub async fn run(&self, places: &dyn Places, run: &RunContext, result: &mut JobResult) -> Result<()> {
        result.source = Some(self.connector.describe());
        result.job = self.job.clone().unwrap_or_else(|| self.connector.default_job());
        // A lock may be waited for; whoever stops the run need not.
        let tested = run.cancel.run_until_cancelled(test(&*self.connector)).await;
        tested.unwrap_or_else(|| run.check_cancelled())?;
        let mut options = self.options.clone();
        options.job = Some(result.job.clone());
        let job = result.job.clone();
        let storages = Storages { places, job: &job, run: run.clone(), several: self.storages.len() > 1 };
        let attempt = Attempt { storages, options, connector: Arc::clone(&self.connector) };
        let mut slots = attempt.storages.open(&self.storages).await;
        let made = attempt.make(&mut slots, self.dry_run, result).await;
        if let (Ok(()), Some(rules), Some(_)) = (&made, &self.retention, &result.backup) {
            retention::let_go(&mut slots, &job, rules, run).await;
        }
        result.storages = slots.into_iter().map(Slot::into_result).collect();
        made
    }
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
