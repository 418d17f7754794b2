//! What people read after a backup, or instead of one.

use std::fmt::Write;

use kronos_core::{BackupInfo, BackupPlan};
use kronos_service::{JobResult, Outcome};

use super::Summary;
use crate::output::table;
use crate::units;

/// A line or two for one job, a table for several.
pub(super) fn summary(summary: &Summary) -> String {
    match summary.jobs.as_slice() {
        [job] => one(job),
        jobs => {
            let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
            table(&["JOB", "RESULT", "BACKUP", "STRATEGY", ">READ", ">STORED", ">TOOK"], &rows)
        }
    }
}

fn one(job: &JobResult) -> String {
    let mut text = match (&job.backup, &job.plan) {
        (Some(backup), _) => made(backup),
        (None, Some(plan)) => planned(job, plan),
        (None, None) => String::new(),
    };
    // That the first backup of a job is a full one surprises nobody.
    let new = job.plan.as_ref().is_some_and(|plan| plan.new_job);
    if let Some(reason) = job.reason.as_ref().filter(|_| !new) {
        let _ = writeln!(text, "  {reason}");
    }
    for backup in &job.healed {
        let _ = writeln!(text, "  healed backup {}: what it lacked is stored again", backup.short());
    }
    for storage in &job.storages {
        let outcome = match storage.outcome {
            Outcome::BackedUp => "backed up to",
            Outcome::Copied => "copied to",
            Outcome::WouldBackUp => "would back up to",
            Outcome::WouldCopy => "would copy to",
            Outcome::NothingToDo => "nothing to do on",
            Outcome::Dropped => "too slow, left out:",
            Outcome::Failed => "failed on",
        };
        let _ = write!(text, "  {outcome} {}", storage.storage);
        if storage.caught_up > 0 {
            let _ = write!(text, ", and {} that it had missed", units::count(storage.caught_up, "backup"));
        }
        if !storage.forgotten.is_empty() {
            let (old, freed) =
                (units::count(storage.forgotten.len() as u64, "old backup"), units::bytes(storage.freed));
            let _ = write!(text, "; {old} forgotten, {freed} freed");
        }
        text.push('\n');
    }
    text
}

fn made(b: &BackupInfo) -> String {
    let (read, stored) = (units::bytes(b.bytes_read), units::bytes(b.bytes_stored));
    let took = units::duration(b.finished.since(b.started));
    format!("backup {} of {}: {}, {read} read, {stored} stored in {took}\n", b.id.short(), b.job, b.kind)
}

fn planned(job: &JobResult, plan: &BackupPlan) -> String {
    let mut text = String::new();
    let kind = plan.kind.map_or_else(|| "nothing to do".to_owned(), |kind| kind.to_string());
    let new = if plan.new_job { ", a new job" } else { "" };
    let _ = writeln!(text, "would back up {} as {}{new}", job.source.as_deref().unwrap_or_default(), plan.job);
    let _ = writeln!(text, "  method    {}", job.method);
    let _ = writeln!(text, "  strategy  {kind}");
    if let Some(reason) = &plan.reason {
        let _ = writeln!(text, "            {reason}");
    }
    if let Some(parent) = plan.parent {
        let _ = writeln!(text, "  parent    {}", parent.short());
    }
    let _ = writeln!(text, "  to read   about {}", units::bytes(plan.estimate));
    text
}

fn row(job: &JobResult) -> Vec<String> {
    let failed = job.storages.iter().filter(|s| s.outcome == Outcome::Failed).count();
    let result = match (&job.error, failed) {
        (Some(_), _) => "failed".to_owned(),
        (None, 0) if job.did_nothing() => "nothing to do".to_owned(),
        (None, 0) if job.backup.is_none() => "planned".to_owned(),
        (None, 0) if job.storages.iter().any(|s| s.outcome == Outcome::Dropped) => "done in part".to_owned(),
        (None, 0) => "done".to_owned(),
        (None, n) => format!("failed on {n} of {}", job.storages.len()),
    };
    let plan = job.plan.as_ref().and_then(|plan| plan.kind);
    let Some(b) = &job.backup else {
        let estimate = job.plan.as_ref().map_or_else(String::new, |plan| units::bytes(plan.estimate));
        let strategy = plan.map_or_else(String::new, |kind| kind.to_string());
        return vec![job.job.clone(), result, String::new(), strategy, estimate, String::new(), String::new()];
    };
    vec![
        job.job.clone(),
        result,
        b.id.short(),
        b.kind.to_string(),
        units::bytes(b.bytes_read),
        units::bytes(b.bytes_stored),
        units::duration(b.finished.since(b.started)),
    ]
}
