//! Compaction: small packs are merged, and those of which little is used are written again
//! without the rest. First a plan, which changes nothing; then the chunks are copied and the
//! indexes of the backups rewritten. The old packs go the way of all that nothing needs: Doom,
//! grace, Sweep.

mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::announce::{announce, interrupted_packs, keep_announcing, withdraw};
use crate::bugs::Bug;
use crate::error::Result;
use crate::id::Id;
use crate::moving::Moving;
use crate::pipeline::{ChunkAt, ChunkPlace, Fetcher, Intake, LARGEST_META_PACK, Offer, OpenPlace, Relocation};
use crate::repository::index::{NodeRef, PackUse, Root};
use crate::repository::job::Job;
use crate::repository::pack::{PackClass, name_of};
use crate::repository::state::State;
use crate::run::RunContext;

use usage::Usage;

/// What a compaction did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Compaction {
    /// Packs, of data and of metadata, that are merged or written again.
    pub packs: u64,
    /// Bytes of their objects, which become free once they have been swept.
    pub packs_bytes: u64,
    /// Bytes in them that backups use, before compression: about what is written again.
    pub used_bytes: u64,
    /// Backups whose index is rewritten; 0 in a plan.
    pub backups: u64,
    /// Backups that someone else forgot or moved in the meantime; the next compaction sees to them.
    pub passed_over: u64,
}

/// Packs that are to go, and what all backups concerned use.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    going: BTreeSet<Id>,
    packs: BTreeMap<Id, PackUse>,
    pub report: Compaction,
}

/// Looks at what each pack is used for. `spare` are packs that must stay.
pub(crate) async fn plan(job: &Job, state: &State, spare: &BTreeSet<Id>, run: &RunContext) -> Result<Plan> {
    let mut packs: BTreeMap<Id, PackUse> = BTreeMap::new();
    let mut stay = spare.clone();
    for record in state.backups.values() {
        let root = Root::load(job, &record.manifest.root, run).await?;
        if !record.is_good() {
            // Its index is left alone, so what it needs cannot go.
            stay.extend(root.packs.iter().map(|p| p.info.id));
        }
        packs.extend(root.packs.iter().map(|p| (p.info.id, *p)));
    }
    let mut usage = Usage::new(Fetcher::new(job, packs.values().copied(), run.limits.memory, run), run);
    for record in state.backups.values().filter(|r| r.is_good()) {
        run.check_cancelled()?;
        usage.count(&Root::load(job, &record.manifest.root, run).await?).await?;
    }
    let candidate = |p: &&PackUse| !stay.contains(&p.info.id) && !state.damage.is_whole(p.info.id);
    let target = u64::from(job.repository().chunker().pack);
    let mut plan = Plan::default();
    for class in [PackClass::Data, PackClass::Meta] {
        let full = if class == PackClass::Meta { 2 * LARGEST_META_PACK.min(target) } else { target };
        let of_class = || packs.values().filter(|p| p.info.class == class).filter(candidate);
        let small: Vec<Id> = of_class().filter(|p| p.info.size < full / 2).map(|p| p.info.id).collect();
        // One alone has nothing to be merged with.
        plan.going.extend(small.iter().filter(|_| small.len() > 1));
        // What is bad in a pack is used by none of these backups any more, so it can be left behind.
        let wasted = |p: &&PackUse| usage.is_sparse(p.info.id) || state.damage.touches(p.info.id);
        plan.going.extend(of_class().filter(wasted).map(|p| p.info.id));
    }
    for id in &plan.going {
        plan.report.packs += 1;
        plan.report.packs_bytes += packs[id].info.size;
        plan.report.used_bytes += usage.used(*id);
    }
    plan.packs = packs;
    Ok(plan)
}

/// Carries a plan out.
pub(crate) async fn compact(job: &Job, state: State, plan: Plan, run: &RunContext) -> Result<(State, Compaction)> {
    let Plan { going, packs, mut report } = plan;
    if going.is_empty() {
        return Ok((state, report));
    }
    let (run_id, started) = (Id(run.random()), run.now());
    announce(job, run_id, started, run).await?;
    // What an interrupted compaction has copied already is used.
    let left = interrupted_packs(job, run_id, run).await;
    let offer = Offer {
        parent: None,
        adoptable: left.into_iter().filter(|info| !going.contains(&info.id)).collect(),
        avoid: state.doomed.keys().chain(&state.swept).copied().collect(),
        damage: state.damage.clone(),
    };
    let objects: Vec<_> = going.iter().map(|id| name_of(job, packs[id].info.class, *id)).collect();
    let fetcher = Fetcher::new(job, packs.into_values(), run.limits.memory, run);
    let (intake, _abort) = Intake::begin(job, run_id, offer, run).await?;
    let copying = Copying { going, intake: intake.clone(), open: OpenPlace::new(intake.chunker.block) };
    let mut moving = Moving::new(job, run_id, copying, fetcher, intake, run);
    let work = async {
        let mut state = state;
        // The newest first: its chunks end up in the order in which it needs them.
        let records: Vec<_> = state.backups.values().rev().filter(|r| r.is_good()).cloned().collect();
        for record in records {
            let was = record.manifest.root.id;
            let root = Root::load(job, &record.manifest.root, run).await?;
            moving.rewrite(was, &root, None).await.map_err(|e| e.with("backup", root.backup))?;
            if moving.weight() > run.limits.memory / 8 {
                let (newer, moves) = moving.commit(state).await?;
                state = newer;
                report.backups += moves.len() as u64;
            }
        }
        let (state, moves) = moving.commit(state).await?;
        report.backups += moves.len() as u64;
        Ok::<_, crate::Error>(state)
    };
    let state = tokio::select! {
        biased;
        done = work => done?,
        never = keep_announcing(job, run_id, started, run) => match never {},
    };
    report.passed_over = moving.passed_over;
    if report.passed_over == 0 {
        // Otherwise there are roots that no entry names, and the announcement explains them.
        withdraw(job, run_id, run).await;
    }
    if run.bugs.has(Bug::DeleteAtMove) {
        job.storage().delete(&objects).await?;
    }
    Ok((state, report))
}

/// Copies the chunks of the packs that are to go.
#[derive(Debug)]
struct Copying {
    going: BTreeSet<Id>,
    intake: Arc<Intake>,
    open: OpenPlace,
}

impl Relocation for Copying {
    fn affects(&self, pack: Id) -> bool {
        self.going.contains(&pack)
    }

    async fn chunk(&mut self, fetcher: &Fetcher, at: &ChunkAt) -> Result<Option<ChunkPlace>> {
        if let Some(known) = self.intake.known(at.id, at.length)? {
            return Ok(Some(known));
        }
        let bytes = fetcher.chunk(at).await?;
        self.intake.place(&mut self.open, at.id, &bytes).await.map(Some)
    }

    fn is_lost(&self, _: Id, _: u32) -> bool {
        false
    }

    fn whereabouts(&self, at: &NodeRef) -> NodeRef {
        *at
    }

    fn renews(&self, at: &NodeRef) -> bool {
        self.going.contains(&at.pack)
    }

    fn flush(&mut self) {
        self.intake.leave(&mut self.open);
    }

    fn tolerates(&self) -> bool {
        false
    }
}
