//! Finding backups: lists, and what users write to name one.

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::manifest::{BackupInfo, StreamSummary};
use crate::repository::Repository;
use crate::repository::index::Root;
use crate::repository::job::Job;
use crate::repository::state::{Record, State};
use crate::run::RunContext;
use crate::time::Timestamp;

/// The backups of some jobs.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Listing {
    /// Oldest first.
    pub backups: Vec<BackupInfo>,
    /// Log entries that could not be understood, one line each.
    pub warnings: Vec<String>,
}

/// A backup with its streams.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BackupDetails {
    /// The backup.
    #[serde(flatten)]
    pub info: BackupInfo,
    /// Its streams.
    #[serde(rename = "stream_list")]
    pub streams: Vec<StreamSummary>,
    /// The number of packs it needs.
    pub packs: u64,
    /// Bytes of those packs, which other backups may use as well.
    pub packs_bytes: u64,
}

/// Lists the backups of one job, or of all.
pub async fn list(repository: &Repository, job: Option<&str>, run: &RunContext) -> Result<Listing> {
    let names = match job {
        Some(name) => vec![name.to_owned()],
        None => repository.jobs(run).await?,
    };
    let mut listing = Listing::default();
    for name in names {
        let (job, state) = open(repository, &name, run).await?;
        listing.backups.extend(state.backups.values().map(|r| BackupInfo::of(job.name(), r)));
        listing.warnings.extend(state.faults.iter().map(|f| format!("job {name}: log entry {}: {}", f.seq, f.reason)));
    }
    listing.backups.sort_by_key(|b| (b.started, b.id));
    Ok(listing)
}

pub(crate) async fn open(repository: &Repository, name: &str, run: &RunContext) -> Result<(Job, State)> {
    let job = Job::open(repository, name, run).await?;
    let state = job.load(run).await?;
    Ok((job, state))
}

/// The error for a job that is not among those of the repository; names the one that may be meant.
pub fn no_such_job(job: &str, jobs: &[String]) -> Error {
    let error = Error::new(ErrorKind::NotFound, "the repository has no such job").with("job", job);
    match crate::nearest(job, jobs.iter().map(String::as_str)) {
        Some(near) => error.with("did you mean", near),
        None => error,
    }
}

/// Finds the one backup that `text` names: an id, a unique prefix of one, `latest`, `latest~2`,
/// or a time (the newest backup begun by then); each may follow a job's name and a slash.
pub async fn find_backup(repository: &Repository, text: &str, run: &RunContext) -> Result<BackupInfo> {
    let jobs = repository.jobs(run).await?;
    let (job, what) = match text.rsplit_once('/') {
        Some((job, what)) if jobs.iter().any(|j| j == job) => (Some(job), what),
        Some((job, _)) => return Err(no_such_job(job, &jobs)),
        None => (None, text),
    };
    let listing = list(repository, job, run).await?;
    for message in &listing.warnings {
        run.emit(&Event::Warning { message: message.clone() });
    }
    select(&listing.backups, what, job.is_none() && jobs.len() > 1).cloned().map_err(|e| e.with("backup", text))
}

fn select<'a>(backups: &'a [BackupInfo], what: &str, many_jobs: bool) -> Result<&'a BackupInfo> {
    let missing = || Error::new(ErrorKind::NotFound, "no such backup");
    let back = match what.strip_prefix("latest") {
        Some("") => Some(0),
        Some(rest) => Some(rest.strip_prefix('~').and_then(|n| n.parse::<usize>().ok()).ok_or_else(|| {
            Error::new(ErrorKind::Config, "write latest, or latest~2 for the one before the last but one")
        })?),
        None => None,
    };
    let time = Timestamp::parse(what).ok();
    if (back.is_some() || time.is_some()) && many_jobs && backups.iter().any(|b| b.job != backups[0].job) {
        return Err(Error::new(ErrorKind::Config, "the repository has several jobs; write JOB/latest"));
    }
    if let Some(back) = back {
        return backups.iter().rev().nth(back).ok_or_else(missing);
    }
    if let Some(time) = time {
        return backups.iter().rfind(|b| b.started <= time).ok_or_else(missing);
    }
    let wanted = what.to_ascii_lowercase();
    let hex = !wanted.is_empty() && wanted.bytes().all(|b| b.is_ascii_hexdigit());
    let mut found = backups.iter().filter(|b| hex && b.id.to_string().starts_with(&wanted));
    match (found.next(), found.next()) {
        (Some(backup), None) => Ok(backup),
        (Some(_), Some(_)) => {
            Err(Error::new(ErrorKind::Config, "several backups begin like this; write more of the id"))
        }
        (None, _) => Err(missing()),
    }
}

/// Everything about one backup.
pub async fn show(repository: &Repository, backup: &BackupInfo, run: &RunContext) -> Result<BackupDetails> {
    let (_, _, root) = load(repository, backup, run).await?;
    Ok(BackupDetails {
        info: backup.clone(),
        streams: root.streams.iter().map(|s| StreamSummary::of(&s.info, &s.end)).collect(),
        packs: root.packs.len() as u64,
        packs_bytes: root.packs.iter().map(|p| p.info.size).sum(),
    })
}

/// The job, the record and the root of a backup.
pub(crate) async fn load(
    repository: &Repository,
    backup: &BackupInfo,
    run: &RunContext,
) -> Result<(Job, Record, Root)> {
    let (job, state) = open(repository, &backup.job, run).await?;
    let record = state.find(backup.id).cloned().ok_or_else(|| {
        let error = Error::new(ErrorKind::NotFound, "no such backup").with("backup", backup.id);
        match state.faults.first() {
            None => error,
            // It may be the very entry that cannot be understood.
            Some(fault) => error.with("damaged", job.layout().entry(fault.seq)),
        }
    })?;
    let root = Root::load(&job, &record.manifest.root, run).await?;
    Ok((job, record, root))
}
