//! Forgetting by a policy, and freeing what nothing needs any more.
//!
//! A plan is made from the state of the log, what backups reference, and what lies there; then
//! it is carried out entry by entry. Safety is the order of the log alone: Doom names packs that
//! nothing references, Sweep names doomed packs that are still unreferenced after the grace
//! period, and only what a Sweep entry names is deleted.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::announce::announcement;
use crate::bugs::Bug;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::forget::refuse_with_faults;
use crate::id::Id;
use crate::list::open;
use crate::manifest::BackupInfo;
use crate::repository::entry::Action;
use crate::repository::index::Root;
use crate::repository::job::Job;
use crate::repository::retry::retry;
use crate::repository::state::State;
use crate::repository::{Decision, Repository, layout};
use crate::retention::{Retention, Verdict};
use crate::run::RunContext;
use crate::storage::{Key, ObjectMeta, StorageExt};
use crate::time::Timestamp;

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

/// What lies in a job's directory, by kind.
#[derive(Debug, Default)]
struct Census {
    /// Packs, metadata packs and roots by id.
    objects: BTreeMap<Id, ObjectMeta>,
    roots: BTreeSet<Id>,
    runs: Vec<Key>,
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
            retry(run, "delete", || job.storage().delete(&meta.key)).await?;
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
        .commit(state, run, async |state: &State| {
            refuse_with_faults(state)?;
            // Held in the meantime, or forgotten by someone else: not any more.
            let still = |id: &&Id| state.find(**id).is_some_and(|r| !r.held);
            let backups: Vec<Id> = gone.iter().filter(still).copied().collect();
            Ok(if backups.is_empty() { Decision::Nothing } else { Decision::Commit(Action::Forget { backups }) })
        })
        .await?;
    Ok(state)
}

/// What roots reference, each read once.
#[derive(Debug, Default)]
struct Roots(BTreeMap<Id, BTreeSet<Id>>);

impl Roots {
    async fn of(&mut self, job: &Job, root: Id, run: &RunContext) -> Result<&BTreeSet<Id>> {
        match self.0.entry(root) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            // A root that cannot be read may need anything: the error ends the prune.
            Entry::Vacant(free) => Ok(free.insert(Root::load_any(job, root, run).await?.references(root).collect())),
        }
    }

    /// Everything that the backups of a state and some roots of their own need.
    async fn live(&mut self, job: &Job, state: &State, more: &BTreeSet<Id>, run: &RunContext) -> Result<BTreeSet<Id>> {
        let mut live = BTreeSet::new();
        for root in state.backups.values().map(|r| r.manifest.root.id).chain(more.iter().copied()) {
            live.extend(self.of(job, root, run).await?.iter().copied());
        }
        Ok(live)
    }
}

async fn census(job: &Job, run: &RunContext) -> Result<Census> {
    let mut census = Census::default();
    for prefix in [job.layout().packs(), job.layout().metas(), job.layout().roots()] {
        let is_root = prefix == job.layout().roots();
        for meta in retry(run, "list packs", || job.storage().list_all(Some(&prefix))).await? {
            if let Some(id) = layout::id_of(&meta.key) {
                if is_root {
                    census.roots.insert(id);
                }
                census.objects.insert(id, meta);
            }
        }
    }
    let prefix = job.layout().runs();
    let runs = retry(run, "list runs", || job.storage().list_all(Some(&prefix))).await?;
    census.runs = runs.into_iter().map(|m| m.key).collect();
    Ok(census)
}

/// Roots that no log entry names and that no announced run explains: the entry may have been
/// lost, so they protect all they need. The others are of interrupted or running backups.
async fn unnamed_roots(
    job: &Job,
    state: &State,
    census: &Census,
    report: &mut PruneReport,
    run: &RunContext,
) -> Result<BTreeSet<Id>> {
    let mut protected = BTreeSet::new();
    for id in unnamed(state, &census.roots) {
        let key = job.layout().root(id);
        let root = match Root::load_any(job, id, run).await {
            Ok(root) => root,
            // It can lead to nothing any more. Before it is swept it is read once more, after the
            // grace period; or another prune has just deleted it.
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                report.warnings.push(format!("{key}: an index that no log entry names and that cannot be read: {e}"));
                continue;
            }
            Err(e) => return Err(e),
        };
        let announced = job.layout().run(root.run);
        let explained = state.closed.contains(&root.run)
            || retry(run, "look for a run", || job.storage().get_if_there(&announced)).await?.is_some();
        if !explained {
            report.warnings.push(format!("{key}: an index that no log entry names: was the newest entry lost?"));
            protected.insert(id);
        }
    }
    Ok(protected)
}

/// Listed roots that are of no backup, forgotten ones aside: those have been named once.
pub(crate) fn unnamed(state: &State, roots: &BTreeSet<Id>) -> Vec<Id> {
    let named: BTreeSet<Id> = state.backups.values().map(|r| r.manifest.root.id).collect();
    let unnamed = |id: &&Id| !named.contains(*id) && !state.retired_roots.contains(*id) && !state.swept.contains(*id);
    roots.iter().filter(unnamed).copied().collect()
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
    let decide = async |state: &State| {
        refuse_with_faults(state)?;
        let live = roots.live(job, state, protected, run).await?;
        let committed = committed_runs(state);
        let silent = |id: &&Id| !committed.contains(*id) && !state.closed.contains(*id);
        let runs: Vec<Id> = runs.iter().filter(silent).copied().collect();
        let idle = |id: &&Id| !live.contains(*id) && !state.doomed.contains_key(*id) && !state.swept.contains(*id);
        let packs: Vec<Id> = packs.iter().filter(idle).copied().collect();
        let nothing = packs.is_empty() && runs.is_empty();
        Ok(if nothing { Decision::Nothing } else { Decision::Commit(Action::Doom { packs, runs, at: run.now() }) })
    };
    Ok(job.commit(state, run, decide).await?.0)
}

async fn sweep(
    job: &Job,
    state: State,
    packs: &BTreeSet<Id>,
    protected: &BTreeSet<Id>,
    roots: &mut Roots,
    run: &RunContext,
) -> Result<State> {
    let decide = async |state: &State| {
        refuse_with_faults(state)?;
        let live = roots.live(job, state, protected, run).await?;
        let still = |id: &&Id| !live.contains(*id) && state.doomed.contains_key(*id);
        let packs: Vec<Id> = packs.iter().filter(still).copied().collect();
        Ok(if packs.is_empty() { Decision::Nothing } else { Decision::Commit(Action::Sweep { packs }) })
    };
    Ok(job.commit(state, run, decide).await?.0)
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
    for (id, meta) in census.objects.iter().filter(|(id, _)| state.swept.contains(id)) {
        run.check_cancelled()?;
        if live.contains(id) {
            return Err(Error::internal("a backup needs what has been swept; nothing more is deleted").with("pack", id));
        }
        match retry(run, "delete", || job.storage().delete(&meta.key)).await {
            Ok(()) => {
                report.deleted += 1;
                report.freed += meta.size;
            }
            // Under object lock it stays; the next prune tries again.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                report.warnings.push(format!("{id} is swept and could not be deleted: {e}"));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn committed_runs(state: &State) -> BTreeSet<Id> {
    state.backups.values().map(|r| r.manifest.run).collect()
}

/// Announced runs that have not committed.
#[derive(Debug, Default)]
struct OpenRuns {
    /// When those began that have been heard of within the grace period.
    at_work: Vec<Timestamp>,
    /// The others. A Doom entry closes them, so that they cannot commit later: from then on an
    /// index of theirs is a leftover, whenever it comes to light, and not one whose entry was lost.
    silent: BTreeSet<Id>,
}

async fn open_runs(job: &Job, state: &State, census: &Census, run: &RunContext) -> Result<OpenRuns> {
    let committed = committed_runs(state);
    let now = run.now();
    let mut runs = OpenRuns::default();
    for key in &census.runs {
        let Some(id) = layout::id_of(key).filter(|id| !committed.contains(id)) else { continue };
        match announcement(job, key, run).await? {
            Some(announced) if now.since(announced.seen) <= run.limits.grace => runs.at_work.push(announced.started),
            _ => drop(runs.silent.insert(id)),
        }
    }
    Ok(runs)
}

/// Announcements of runs that are over, and what the storage itself left behind.
async fn clean_up(job: &Job, state: &State, census: &Census, report: &mut PruneReport, run: &RunContext) -> Result<()> {
    let committed = committed_runs(state);
    for key in &census.runs {
        if layout::id_of(key).is_some_and(|id| committed.contains(&id) || state.closed.contains(&id)) {
            retry(run, "delete an announcement", || job.storage().delete(key)).await?;
            report.deleted += 1;
        }
    }
    let before = run.now().minus(run.limits.grace);
    report.deleted += retry(run, "remove leftovers", || job.storage().remove_leftovers(before)).await?;
    Ok(())
}
