//! Copying backups to another repository: only what is not there is read and sent.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::announce::{announce, interrupted_packs, keep_announcing, withdraw};
use crate::base::base;
use crate::commit::{Draft, commit_copy};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::forget::refuse_with_faults;
use crate::id::Id;
use crate::list::open;
use crate::manifest::BackupInfo;
use crate::pipeline::{Fetcher, Intake, Offer};
use crate::repository::Repository;
use crate::repository::index::Root;
use crate::repository::job::Job;
use crate::repository::state::{Record, State};
use crate::run::RunContext;

/// What a copy of one job did.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct CopyReport {
    /// The job.
    pub job: String,
    /// Backups made in the target.
    pub copied: Vec<BackupInfo>,
    /// Backups that had been there before, also those forgotten since.
    pub present: u64,
    /// Backups of the source that cannot be read, one line each. The rest was copied.
    pub failed: Vec<String>,
}

/// Copies the backups of one job that the target has never had, oldest first. `only` names
/// those wanted; empty means all. Doing it twice, or after a lost answer, changes nothing.
pub async fn copy(from: &Repository, to: &Repository, job: &str, only: &[Id], run: &RunContext) -> Result<CopyReport> {
    run.emit(&Event::Started { operation: "copy", subject: job.to_owned() });
    let (source, source_state) = open(from, job, run).await?;
    let target = Job::open_or_create(to, job, source.fingerprint(), run).await?;
    let mut report = CopyReport { job: job.to_owned(), ..CopyReport::default() };
    copy_missing((&source, &source_state), &target, only, &mut report, run).await?;
    run.emit(&Event::Finished { operation: "copy", at: run.now() });
    Ok(report)
}

/// Gives each of several repositories of one job the backups that it missed: the first gets what
/// any other has, and then the others what the first has. One that had a backup and forgot it does
/// not get it again. What went wrong in one repository is its own result; there is one for each.
pub async fn catch_up(repositories: &[Repository], job: &str, run: &RunContext) -> Vec<Result<CopyReport>> {
    let mut results: Vec<Result<CopyReport>> = Vec::new();
    let Some((first, others)) = repositories.split_first() else { return results };
    let report = || CopyReport { job: job.to_owned(), ..CopyReport::default() };
    let mut own = Ok(report());
    for from in others {
        own = match own {
            Ok(report) => bring(from, first, job, report, run).await,
            failed => failed,
        };
    }
    results.push(own);
    for to in others {
        results.push(bring(first, to, job, report(), run).await);
    }
    results
}

/// Copies what is missing, if there is such a job to copy from.
async fn bring(
    from: &Repository,
    to: &Repository,
    job: &str,
    mut report: CopyReport,
    run: &RunContext,
) -> Result<CopyReport> {
    let (source, source_state) = match open(from, job, run).await {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(report),
        opened => opened.map_err(|e| e.with("from", from.describe()))?,
    };
    let target = Job::open_or_create(to, job, source.fingerprint(), run).await?;
    // Most of the time there is nothing to tell.
    let had = target.load(run).await?.origins;
    let missing = source_state.backups.values().filter(|r| !had.contains(&r.manifest.origin.backup)).count();
    if missing > 0 {
        run.emit(&Event::Started { operation: "catch up", subject: format!("{job} on {}", to.describe()) });
        copy_missing((&source, &source_state), &target, &[], &mut report, run).await?;
        run.emit(&Event::Finished { operation: "catch up", at: run.now() });
    } else {
        report.present += source_state.backups.len() as u64;
    }
    Ok(report)
}

async fn copy_missing(
    (source, source_state): (&Job, &State),
    target: &Job,
    only: &[Id],
    report: &mut CopyReport,
    run: &RunContext,
) -> Result<()> {
    let mut state = target.load(run).await?;
    for record in source_state.backups.values() {
        if !only.is_empty() && !only.contains(&record.manifest.backup) {
            continue;
        }
        // A hole may hide that this very backup was copied or forgotten.
        refuse_with_faults(&state)?;
        if state.origins.contains(&record.manifest.origin.backup) {
            report.present += 1;
            continue;
        }
        match copy_one(source, record, target, state, run).await {
            Ok(Some(copied)) => report.copied.push(BackupInfo::of(source.name(), &copied)),
            Ok(None) => report.present += 1,
            Err(e) if e.kind() == ErrorKind::Corrupt => report.failed.push(format!("{}: {e}", record.manifest.backup)),
            Err(e) => return Err(e),
        }
        state = target.load(run).await?;
    }
    Ok(())
}

async fn copy_one(
    source: &Job,
    record: &Record,
    target: &Job,
    state: State,
    run: &RunContext,
) -> Result<Option<Record>> {
    let from = &record.manifest;
    let root = Root::load(source, &from.root, run).await?;
    let fetcher = Fetcher::of_root(source, &root, run);
    let run_id = Id(run.random());
    let started = run.now();
    announce(target, run_id, started, run).await?;
    let (base, state) = base(target, state, None, run, &mut Vec::new()).await?;
    let damage = base.as_ref().map(|b| b.damage.clone()).unwrap_or_default();
    let offer = Offer {
        parent: base.map(|b| b.root),
        adoptable: interrupted_packs(target, run_id, run).await,
        avoid: state.doomed.keys().chain(&state.swept).copied().collect(),
        damage,
    };
    let (intake, _abort) = Intake::begin(target, run_id, offer, run).await?;
    let same_keys = source.repository().shares_keys_with(target.repository());
    run.emit(&Event::Estimated { bytes: from.bytes });
    // By number, see `write_phases` of a restore.
    let work = futures::stream::iter(0..root.streams.len())
        .map(|n| {
            let stored = &root.streams[n];
            let (intake, fetcher): (&Arc<Intake>, &Arc<Fetcher>) = (&intake, &fetcher);
            async move {
                let mut copied = Box::pin(intake.copy(stored, fetcher, same_keys)).await?;
                copied.info.unchanged = false;
                Ok::<_, Error>(copied)
            }
        })
        .buffered(run.limits.parallel.max(1))
        .try_collect::<Vec<_>>();
    let work = async { Ok::<_, Error>((work.await?, intake.finish().await?)) };
    let (streams, stored) = tokio::select! {
        biased;
        done = work => done?,
        never = keep_announcing(target, run_id, started, run) => match never {},
    };
    let draft = Draft {
        run: run_id,
        backup: Id(run.random()),
        origin: Some(from.origin),
        engine: from.engine.clone(),
        kind: from.kind,
        parent: None,
        started: from.started,
        finished: Some(from.finished),
        read_in_full: from.read_in_full,
        tags: from.tags.clone(),
        warnings: from.warnings.clone(),
    };
    let copied = commit_copy(target, state, draft, from, streams, stored, run).await?;
    if copied.is_some() {
        // Otherwise the index just written is named by no entry, and the announcement explains it.
        withdraw(target, run_id, run).await;
    }
    Ok(copied)
}
