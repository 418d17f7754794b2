//! What lies in a job's directory, and what of it is not explained by the log.

use std::collections::{BTreeMap, BTreeSet};

use crate::announce::announcement;
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::repository::index::Root;
use crate::repository::job::Job;
use crate::repository::layout;
use crate::repository::retry::retry;
use crate::repository::state::State;
use crate::run::RunContext;
use crate::storage::{Key, ObjectMeta, StorageExt};
use crate::time::Timestamp;

use super::PruneReport;

/// What lies in a job's directory, by kind.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Packs, metadata packs and roots by id.
    pub objects: BTreeMap<Id, ObjectMeta>,
    pub roots: BTreeSet<Id>,
    pub runs: Vec<Key>,
}

pub(super) async fn census(job: &Job, run: &RunContext) -> Result<Census> {
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
pub(super) async fn unnamed_roots(
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

pub(super) fn committed_runs(state: &State) -> BTreeSet<Id> {
    state.backups.values().map(|r| r.manifest.run).collect()
}

/// Announced runs that have not committed.
#[derive(Debug, Default)]
pub(super) struct OpenRuns {
    /// When those began that have been heard of within the grace period.
    pub at_work: Vec<Timestamp>,
    /// The others. A Doom entry closes them, so that they cannot commit later: from then on an
    /// index of theirs is a leftover, whenever it comes to light, and not one whose entry was lost.
    pub silent: BTreeSet<Id>,
}

pub(super) async fn open_runs(job: &Job, state: &State, census: &Census, run: &RunContext) -> Result<OpenRuns> {
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
