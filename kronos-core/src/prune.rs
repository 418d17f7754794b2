//! Forgetting by a policy, and freeing what nothing needs any more.
//!
//! A plan is made from the state of the log, what backups reference, and what lies there; then
//! it is carried out entry by entry. Safety is the order of the log alone: Doom names packs that
//! nothing references, Sweep names doomed packs that are still unreferenced after the grace
//! period, and only what a Sweep entry names is deleted.

mod census;
mod roots;

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::Serialize;

use crate::bugs::Bug;
use crate::compact::{self, Compaction};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::forget::refuse_with_faults;
use crate::id::Id;
use crate::list::open;
use crate::manifest::BackupInfo;
use crate::repository::entry::Action;
use crate::repository::job::Job;
use crate::repository::retry::retry;
use crate::repository::state::State;
use crate::repository::{Decide, Decision, Repository, layout};
use crate::retention::{Retention, Verdict};
use crate::run::RunContext;
use crate::storage::{Key, StorageExt};
use crate::time::Timestamp;

pub(crate) use census::unnamed;
use census::{Census, OpenRuns, census, committed_runs, open_runs, unnamed_roots};
use roots::Roots;

/// Objects that are deleted with one request, where the storage has such a thing.
const DELETED_AT_ONCE: usize = 1000;
/// A clock that is further ahead of the newest entry than this is not believed.
const IMPLAUSIBLE: std::time::Duration = std::time::Duration::from_hours(9600);

/// The clocks of two hosts may differ by this much.
const CLOCKS_DIFFER: std::time::Duration = std::time::Duration::from_mins(10);

/// How to prune.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PruneOptions {
    /// What is kept; `None` forgets nothing and only frees what is unreferenced.
    pub retention: Option<Retention>,
    /// Merge small packs, and write those anew of which little is used.
    pub compact: bool,
    /// Tell only what would be done.
    pub dry_run: bool,
    /// Believe the clock although it is behind the newest log entry, or implausibly far ahead of it.
    pub trust_clock: bool,
}

impl PruneOptions {
    /// Frees what is unreferenced, and forgets what `retention` does not keep.
    pub fn new(retention: Option<Retention>) -> Self {
        Self { retention, ..Self::default() }
    }

    /// The same, merging small packs and writing badly used ones anew before freeing.
    #[must_use]
    pub fn with_compact(mut self, compact: bool) -> Self {
        self.compact = compact;
        self
    }

    /// The same, but only told.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What a prune of one job did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct PruneReport {
    /// The job.
    pub job: String,
    /// What became of each backup, oldest first; empty without a retention policy.
    pub verdicts: Vec<Verdict>,
    /// Backups forgotten.
    pub forgotten: Vec<Id>,
    /// Packs merged or written anew, when that was asked for.
    pub compaction: Option<Compaction>,
    /// Packs newly doomed.
    pub doomed: u64,
    /// Doomed packs whose grace has passed, swept.
    pub swept: u64,
    /// Objects deleted.
    pub deleted: u64,
    /// Bytes freed.
    pub freed: u64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Prunes one job.
pub async fn prune(
    repository: &Repository,
    job: &str,
    options: &PruneOptions,
    run: &RunContext,
) -> Result<PruneReport> {
    run.emit(&Event::Started { operation: "prune", subject: job.to_owned() });
    let (job, mut state) = open(repository, job, run).await?;
    refuse_with_faults(&state)?;
    check_clock(&state, options, run)?;
    let mut report = PruneReport { job: job.name().to_owned(), ..PruneReport::default() };
    let mut roots = Roots::default();

    if let Some(retention) = &options.retention {
        let infos: Vec<BackupInfo> = state.backups.values().map(|r| BackupInfo::of(job.name(), r)).collect();
        report.verdicts = retention.judge(&infos, run.now())?;
        report.forgotten = report.verdicts.iter().filter(|v| v.kept_by.is_empty()).map(|v| v.backup).collect();
    }
    if options.dry_run {
        state.forget(&report.forgotten);
    } else {
        // What is kept must be readable before anything else is let go.
        let mut kept = state.clone();
        kept.forget(&report.forgotten);
        roots.live(&job, &kept, &BTreeSet::new(), run).await?;
        state = forget_all(&job, state, &report.forgotten, run).await?;
    }

    let census = census(&job, run).await?;
    let protected = unnamed_roots(&job, &state, &census, &mut report, run).await?;
    let census = if options.compact {
        let spare = roots.needed(&job, protected.iter().copied(), run).await?;
        let plan = compact::plan(&job, &state, &spare, run).await?;
        report.compaction = Some(plan.report.clone());
        if !options.dry_run {
            let (newer, done) = compact::compact(&job, state, plan, run).await?;
            (state, report.compaction) = (newer, Some(done));
        }
        self::census(&job, run).await?
    } else {
        census
    };
    let doomable = doomable(&job, &state, &census, &protected, &mut roots, run).await?;
    report.doomed = doomable.len() as u64;
    let runs = open_runs(&job, &state, &census, run).await?;
    let sweepable = sweepable(&job, &state, &protected, &runs, &mut roots, run).await?;
    report.swept = sweepable.len() as u64;
    if options.dry_run {
        let going = sweepable.iter().chain(&state.swept).filter_map(|id| census.objects.get(id));
        (report.deleted, report.freed) = going.fold((0, 0), |(n, b), m| (n + 1, b + m.size));
        return Ok(report);
    }
    if run.bugs.has(Bug::DeleteBeforeSweep) {
        for meta in doomable.iter().chain(&sweepable).filter_map(|id| census.objects.get(id)) {
            retry(run, "delete", || job.storage().delete_one(&meta.key)).await?;
        }
    }
    state = doom(&job, state, (&doomable, &runs.silent), &protected, &mut roots, run).await?;
    state = sweep(&job, state, &sweepable, &protected, &mut roots, run).await?;
    let live = roots.live(&job, &state, &protected, run).await?;
    delete(&job, &state, &census, &live, &mut report, run).await?;
    clean_up(&job, &state, &census, &mut report, run).await?;
    run.emit(&Event::Finished { operation: "prune", at: run.now() });
    Ok(report)
}

/// Times decide on nothing but grace and retention; a clock that is plainly wrong would make a
/// mess of both.
fn check_clock(state: &State, options: &PruneOptions, run: &RunContext) -> Result<()> {
    let now = run.now();
    let wrong = |message: &str| {
        Err(Error::new(ErrorKind::Conflict, message).with("clock", now).with("newest entry", state.time))
    };
    if state.next == 0 || options.trust_clock {
        return Ok(());
    }
    if now.plus(CLOCKS_DIFFER) < state.time {
        return wrong("the clock is behind the newest log entry");
    }
    if now.since(state.time) > IMPLAUSIBLE {
        return wrong("the clock is implausibly far ahead of the newest log entry");
    }
    Ok(())
}

async fn forget_all(job: &Job, state: State, gone: &[Id], run: &RunContext) -> Result<State> {
    let (state, _) = job
        .commit(state, run, |state: &State| {
            refuse_with_faults(state)?;
            // Held in the meantime, or forgotten by someone else: not any more.
            let still = |id: &&Id| state.find(**id).is_some_and(|r| !r.held);
            let backups: Vec<Id> = gone.iter().filter(still).copied().collect();
            Ok(if backups.is_empty() { Decision::Nothing } else { Decision::Commit(Action::Forget { backups }) })
        })
        .await?;
    Ok(state)
}

/// Pure but for reading roots: what lies there and nothing needs.
async fn doomable(
    job: &Job,
    state: &State,
    census: &Census,
    protected: &BTreeSet<Id>,
    roots: &mut Roots,
    run: &RunContext,
) -> Result<BTreeSet<Id>> {
    let live = roots.live(job, state, protected, run).await?;
    let idle = |id: &&Id| !live.contains(*id) && !state.doomed.contains_key(*id) && !state.swept.contains(*id);
    Ok(census.objects.keys().filter(idle).copied().collect())
}

/// Doomed packs whose grace has passed and that are still unreferenced.
async fn sweepable(
    job: &Job,
    state: &State,
    protected: &BTreeSet<Id>,
    runs: &OpenRuns,
    roots: &mut Roots,
    run: &RunContext,
) -> Result<BTreeSet<Id>> {
    let live = roots.live(job, state, protected, run).await?;
    let now = run.now();
    // Only a run that began before a pack was doomed may be going to use it.
    let waits = |since: Timestamp| runs.at_work.iter().any(|started| *started <= since);
    let due = state.doomed.iter().filter(|(_, since)| now.since(**since) >= run.limits.grace && !waits(**since));
    Ok(due.map(|(id, _)| *id).filter(|id| !live.contains(id)).collect())
}

async fn doom(
    job: &Job,
    state: State,
    (packs, runs): (&BTreeSet<Id>, &BTreeSet<Id>),
    protected: &BTreeSet<Id>,
    roots: &mut Roots,
    run: &RunContext,
) -> Result<State> {
    let decide = Doom { job, packs, runs, protected, roots, run };
    Ok(job.commit(state, run, decide).await?.0)
}

/// Which packs nothing needs any more, and which runs nothing was heard of.
struct Doom<'a> {
    job: &'a Job,
    packs: &'a BTreeSet<Id>,
    runs: &'a BTreeSet<Id>,
    protected: &'a BTreeSet<Id>,
    roots: &'a mut Roots,
    run: &'a RunContext,
}

#[async_trait]
impl Decide for Doom<'_> {
    async fn decide(&mut self, state: &State) -> Result<Decision> {
        refuse_with_faults(state)?;
        let live = self.roots.live(self.job, state, self.protected, self.run).await?;
        let committed = committed_runs(state);
        let silent = |id: &&Id| !committed.contains(*id) && !state.closed.contains(*id);
        let runs: Vec<Id> = self.runs.iter().filter(silent).copied().collect();
        let idle = |id: &&Id| !live.contains(*id) && !state.doomed.contains_key(*id) && !state.swept.contains(*id);
        let packs: Vec<Id> = self.packs.iter().filter(idle).copied().collect();
        let nothing = packs.is_empty() && runs.is_empty();
        let at = self.run.now();
        Ok(if nothing { Decision::Nothing } else { Decision::Commit(Action::Doom { packs, runs, at }) })
    }
}

async fn sweep(
    job: &Job,
    state: State,
    packs: &BTreeSet<Id>,
    protected: &BTreeSet<Id>,
    roots: &mut Roots,
    run: &RunContext,
) -> Result<State> {
    let decide = Sweep { job, packs, protected, roots, run };
    Ok(job.commit(state, run, decide).await?.0)
}

/// Which doomed packs are still not needed.
struct Sweep<'a> {
    job: &'a Job,
    packs: &'a BTreeSet<Id>,
    protected: &'a BTreeSet<Id>,
    roots: &'a mut Roots,
    run: &'a RunContext,
}

#[async_trait]
impl Decide for Sweep<'_> {
    async fn decide(&mut self, state: &State) -> Result<Decision> {
        refuse_with_faults(state)?;
        let live = self.roots.live(self.job, state, self.protected, self.run).await?;
        let still = |id: &&Id| !live.contains(*id) && state.doomed.contains_key(*id);
        let packs: Vec<Id> = self.packs.iter().filter(still).copied().collect();
        Ok(if packs.is_empty() { Decision::Nothing } else { Decision::Commit(Action::Sweep { packs }) })
    }
}

/// Deletes what Sweep entries have named, in this run or in an earlier one that did not get to it.
async fn delete(
    job: &Job,
    state: &State,
    census: &Census,
    live: &BTreeSet<Id>,
    report: &mut PruneReport,
    run: &RunContext,
) -> Result<()> {
    let going: Vec<_> = census.objects.iter().filter(|(id, _)| state.swept.contains(id)).collect();
    for some in going.chunks(DELETED_AT_ONCE) {
        run.check_cancelled()?;
        if let Some((id, _)) = some.iter().find(|(id, _)| live.contains(id)) {
            return Err(Error::internal("a backup needs what has been swept; nothing more is deleted").with("pack", id));
        }
        let keys: Vec<Key> = some.iter().map(|(_, meta)| meta.key.clone()).collect();
        match retry(run, "delete", || job.storage().delete(&keys)).await {
            Ok(()) => {
                report.deleted += keys.len() as u64;
                report.freed += some.iter().map(|(_, meta)| meta.size).sum::<u64>();
            }
            // Under object lock they stay; the next prune tries again.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                report.warnings.push(format!("of {} swept packs not all could be deleted: {e}", keys.len()));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Announcements of runs that are over, and what the storage itself left behind.
async fn clean_up(job: &Job, state: &State, census: &Census, report: &mut PruneReport, run: &RunContext) -> Result<()> {
    let committed = committed_runs(state);
    let over = |key: &&Key| layout::id_of(key).is_some_and(|id| committed.contains(&id) || state.closed.contains(&id));
    let over: Vec<Key> = census.runs.iter().filter(over).cloned().collect();
    for some in over.chunks(DELETED_AT_ONCE) {
        match retry(run, "delete announcements", || job.storage().delete(some)).await {
            Ok(()) => report.deleted += some.len() as u64,
            // They harm nobody.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {}
            Err(e) => return Err(e),
        }
    }
    let before = run.now().minus(run.limits.grace);
    report.deleted += retry(run, "remove leftovers", || job.storage().remove_leftovers(before)).await?;
    Ok(())
}
