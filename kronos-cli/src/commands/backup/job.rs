//! One job of `kronos backup`.

use std::sync::Arc;

use kronos_core::{Connector, Error, ErrorKind, Result};
use kronos_service::{BackupTask, JobMethod, JobResult, Outcome};

use super::{Task, Wishes};
use crate::app::App;

/// Runs a job. An error means that no storage has the backup.
pub(super) async fn run(app: &App, wishes: Wishes, task: &Task, result: &mut JobResult) -> Result<()> {
    let backup = BackupTask {
        connector: connect(app, task)?,
        job: task.name.clone(),
        storages: task.storages.clone(),
        method: task.method,
        options: task.options.clone(),
        retention: task.retention.clone(),
        dry_run: wishes.dry_run,
    };
    let run = app.run_with(task.limits.clone());
    let made = backup.run(app, &run, result).await;
    if backup.storages.len() > 1 {
        let lost = result.storages.iter().filter(|storage| storage.outcome == Outcome::Failed);
        lost.filter_map(|storage| storage.cause.as_ref()).for_each(|error| app.out.error(error, "backup"));
    }
    made
}

/// The connector; told by which method it reads, if it has more than one.
fn connect(app: &App, task: &Task) -> Result<Arc<dyn Connector>> {
    let mut source = task.source.clone();
    if task.method == JobMethod::Tool {
        if !source.has_tools() {
            return Err(Error::new(ErrorKind::Unsupported, "this engine has no backups with a tool of its own")
                .with("engine", &source.engine)
                .with("hint", "leave --method out, or write --method native"));
        }
        source.settings.options.insert("method".to_owned(), "tool".to_owned());
    }
    source.connect(&app.registry)
}
