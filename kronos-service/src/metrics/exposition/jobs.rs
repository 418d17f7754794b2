//! Metrics of jobs: their runs, their newest backups, their schedules.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prometheus_client::encoding::DescriptorEncoder;

use super::super::figures::{JobFigures, LastBackup, Runs};
use super::family::Family;
use super::{Written, seconds, truth};
use crate::audit::name_of;
use crate::report::Operation;

type Jobs = BTreeMap<String, JobFigures>;

/// The names that operations have in those of metrics.
const OPERATIONS: [(Operation, &str); 5] = [
    (Operation::Backup, "backup"),
    (Operation::Restore, "restore"),
    (Operation::Verify, "verify"),
    (Operation::Prune, "prune"),
    (Operation::CatchUp, "catch_up"),
];

pub(super) fn write(e: &mut DescriptorEncoder<'_>, jobs: &Jobs) -> Written {
    for (operation, name) in OPERATIONS {
        let of = jobs.iter().filter_map(|(job, f)| Some((job.as_str(), f.operations.get(&operation)?)));
        let runs: Vec<(&str, &Runs)> = of.collect();
        write_runs(e, name, &runs)?;
    }
    backups(e, jobs)?;
    schedules(e, jobs)
}

fn write_runs(e: &mut DescriptorEncoder<'_>, operation: &str, runs: &[(&str, &Runs)]) -> Written {
    let metric = |end: &str| format!("kronos_{operation}_{end}");
    let each = |value: fn(&Runs) -> Option<f64>| {
        runs.iter().filter_map(move |(job, runs)| Some(([("kronos_job", *job)], value(runs)?)))
    };
    let help = "When a run last ended well, or found nothing to do";
    Family::gauge(metric("last_success_timestamp_seconds"), help)
        .all(e, each(|runs| runs.last_success.map(seconds)))?;
    let help = "When a run last ended, however it did";
    Family::gauge(metric("last_end_timestamp_seconds"), help).all(e, each(|runs| runs.last_end.map(seconds)))?;
    Family::gauge(metric("last_duration_seconds"), "How long the last run took")
        .all(e, each(|runs| runs.last_duration))?;
    let help = "Runs that have failed since the last one that did not";
    Family::gauge(metric("failing_runs"), help).all(e, each(|runs| Some(runs.failing as f64)))?;
    let ended = runs.iter().flat_map(|(job, runs)| {
        runs.ended.iter().map(|(ended, count)| {
            ([("kronos_job", Cow::Borrowed(*job)), ("ended", Cow::Owned(name_of(ended)))], *count)
        })
    });
    Family::counter(metric("runs"), "Runs, by how they ended").count(e, ended)?;
    let failures = runs.iter().flat_map(|(job, runs)| {
        runs.failures.iter().map(|(kind, count)| ([("kronos_job", *job), ("kind", kind.as_str())], *count))
    });
    Family::counter(metric("failures"), "Runs that failed, by the kind of error").count(e, failures)
}

fn backups(e: &mut DescriptorEncoder<'_>, jobs: &Jobs) -> Written {
    let last = |value: fn(&LastBackup) -> Option<f64>| {
        jobs.iter().filter_map(move |(job, f)| Some(([("kronos_job", job.as_str())], value(f.backup.as_ref()?)?)))
    };
    let help = "Bytes of the newest backup, as a restore would write them";
    Family::gauge("kronos_backup_last_size_bytes", help).all(e, last(|backup| Some(backup.bytes as f64)))?;
    let help = "Bytes that the newest backup read from its source";
    Family::gauge("kronos_backup_last_read_bytes", help).all(e, last(|backup| Some(backup.read as f64)))?;
    let help = "Bytes that the newest backup added to one storage";
    Family::gauge("kronos_backup_last_stored_bytes", help).all(e, last(|backup| Some(backup.stored as f64)))?;
    let help = "Rows of the newest backup";
    Family::gauge("kronos_backup_last_rows", help).all(e, last(|backup| backup.rows.map(|rows| rows as f64)))?;
    let help = "The part of the newest backup that did not have to be stored: 0 to 1";
    Family::gauge("kronos_backup_last_dedup_ratio", help).all(e, last(dedup))?;
    let total =
        |value: fn(&JobFigures) -> u64| jobs.iter().map(move |(job, f)| ([("kronos_job", job.as_str())], value(f)));
    Family::counter("kronos_backup_read_bytes", "Bytes read from sources").count(e, total(|job| job.read))?;
    let help = "Bytes that backups added to one storage";
    Family::counter("kronos_backup_stored_bytes", help).count(e, total(|job| job.stored))?;
    let help = "Chunks that backups were cut into";
    Family::counter("kronos_backup_chunks", help).count(e, total(|job| job.chunks))?;
    let help = "Chunks that a storage lacked";
    Family::counter("kronos_backup_new_chunks", help).count(e, total(|job| job.new_chunks))?;
    let stored = jobs.iter().flat_map(|(job, f)| {
        f.storages
            .iter()
            .map(|(storage, at)| ([("kronos_job", job.as_str()), ("storage", storage.as_str())], seconds(*at)))
    });
    let help = "When a storage last got a backup of a job, or there was nothing to get";
    Family::gauge("kronos_backup_storage_last_success_timestamp_seconds", help).all(e, stored)
}

fn schedules(e: &mut DescriptorEncoder<'_>, jobs: &Jobs) -> Written {
    let each = |value: fn(&JobFigures) -> Option<f64>| {
        jobs.iter().filter_map(move |(job, f)| Some(([("kronos_job", job.as_str())], value(f)?)))
    };
    let help = "Whether a job of the configuration is paused";
    Family::gauge("kronos_job_paused", help).all(e, each(|job| Some(truth(job.paused))))?;
    let help = "When a job is due next";
    Family::gauge("kronos_job_next_due_timestamp_seconds", help).all(e, each(|job| job.next_due.map(seconds)))?;
    let help = "How far the capture of the change log is behind";
    Family::gauge("kronos_job_capture_lag_seconds", help).all(e, each(|job| job.capture_lag))?;
    let missed = jobs.iter().map(|(job, f)| ([("kronos_job", job.as_str())], f.missed));
    Family::counter("kronos_job_missed_runs", "Runs that were missed and not made up for").count(e, missed)
}

/// By deduplication and compression together. What storing adds of its own can be more than a tiny
/// backup has.
fn dedup(backup: &LastBackup) -> Option<f64> {
    (backup.bytes > 0).then(|| (1.0 - backup.stored as f64 / backup.bytes as f64).max(0.0))
}
