//! How a run ended, as one line of the log.

use tracing::{error, info, warn};

use super::{TARGET, run_span};
use crate::audit::name_of;
use crate::report::{Ended, RunReport};

/// Logs how a run ended: as an error when it failed, as a warning when it did so with warnings.
pub fn log_report(report: &RunReport) {
    let span = run_span(report.run, &report.job);
    let (operation, ended) = (name_of(report.operation), name_of(report.ended));
    let seconds = report.finished.since(report.started).as_secs_f64();
    let backup = report.backup.as_ref();
    let id = backup.map(|backup| tracing::field::display(backup.id));
    let (read, stored) = (backup.map(|b| b.bytes_read), backup.map(|b| b.bytes_stored));
    for warning in &report.warnings {
        warn!(target: TARGET, parent: &span, event = "run.warning", "{warning}");
    }
    for storage in &report.storages {
        if let Some(error) = &storage.error {
            let (name, kind) = (&storage.storage, &error.kind);
            warn!(target: TARGET, parent: &span, event = "storage.failed", storage = name, kind, error = error.message, "a storage has failed");
        }
    }
    let error = report.error.as_ref();
    let (kind, message) = (error.map(|e| e.kind.as_str()), error.map(|e| e.message.as_str()));
    let causes = error.map(|e| e.causes.join("; ")).filter(|causes| !causes.is_empty());
    match report.ended {
        Ended::Failed => error!(
            target: TARGET, parent: &span, event = "run.finished", operation, ended, seconds, kind, error = message,
            causes, "{operation} has failed"
        ),
        Ended::Cancelled | Ended::Warnings => warn!(
            target: TARGET, parent: &span, event = "run.finished", operation, ended, seconds, backup = id,
            bytes_read = read, bytes_stored = stored, kind, error = message, "{operation}: {ended}"
        ),
        Ended::Succeeded | Ended::Nothing => info!(
            target: TARGET, parent: &span, event = "run.finished", operation, ended, seconds, backup = id,
            bytes_read = read, bytes_stored = stored, "{operation}: {ended}"
        ),
    }
}
