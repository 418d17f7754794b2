//! Healing: old backups whose data has gone bad are led to the places where a later backup has
//! stored the same data again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::announce::{announce, keep_announcing, withdraw};
use crate::error::{ErrorKind, Result};
use crate::event::Event;
use crate::id::Id;
use crate::moving::Moving;
use crate::pipeline::{ChunkAt, ChunkPlace, Fetcher, Intake, Offer, Relocation};
use crate::repository::damage::Damage;
use crate::repository::index::{NodeRef, PackUse, Root};
use crate::repository::job::Job;
use crate::repository::pack::PackClass;
use crate::repository::state::{Record, State};
use crate::run::RunContext;

/// After a backup: heals what it can. The backup is committed already, so what goes wrong here is
/// a warning.
pub(crate) async fn heal_after(job: &Job, state: State, made: &Record, run: &RunContext) -> Vec<Id> {
    match heal(job, state, made, run).await {
        Ok(healed) => healed,
        Err(e) => {
            run.emit(&Event::Warning { message: format!("damaged backups could not be healed: {e}") });
            Vec::new()
        }
    }
}

async fn heal(job: &Job, state: State, made: &Record, run: &RunContext) -> Result<Vec<Id>> {
    if state.damage.is_empty() || !state.faults.is_empty() {
        return Ok(Vec::new());
    }
    let donor = Root::load(job, &made.manifest.root, run).await?;
    let patients = patients(job, &state, made, run).await?;
    let mut packs: BTreeMap<Id, PackUse> = BTreeMap::new();
    for root in patients.iter().map(|(_, root)| root).chain([&donor]) {
        packs.extend(root.packs.iter().map(|p| (p.info.id, *p)));
    }
    let fetcher = Fetcher::new(job, packs.into_values(), run.limits.memory, run);
    let found = Found::look_for(&state.damage, &patients, &donor, &fetcher).await?;
    let same = |root: &Root| root.streams.iter().any(|s| donor.streams.iter().any(|d| d.end == s.end));
    if found.chunks.is_empty() && found.nodes.is_empty() && !patients.iter().any(|(_, root)| same(root)) {
        return Ok(Vec::new());
    }
    let (run_id, started) = (Id(run.random()), run.now());
    announce(job, run_id, started, run).await?;
    let (intake, _abort) = Intake::begin(job, run_id, Offer::default(), run).await?;
    let mut moving = Moving::new(job, run_id, found, fetcher, intake, run);
    let work = async {
        for (was, root) in &patients {
            moving.rewrite(*was, root, Some(&donor)).await?;
        }
        moving.commit(state).await
    };
    let (_, moves) = tokio::select! {
        biased;
        done = work => done?,
        never = keep_announcing(job, run_id, started, run) => match never {},
    };
    if moving.passed_over == 0 {
        withdraw(job, run_id, run).await;
    }
    Ok(moves.into_iter().filter(|m| m.healed).map(|m| m.backup).collect())
}

/// Backups that are damaged, as a check has found, or because a pack of theirs is lost; and their roots.
async fn patients(job: &Job, state: &State, made: &Record, run: &RunContext) -> Result<Vec<(Id, Root)>> {
    let mut patients = Vec::new();
    for record in state.backups.values().filter(|r| r.manifest.backup != made.manifest.backup) {
        match Root::load(job, &record.manifest.root, run).await {
            Ok(root) if record.damaged || root.packs.iter().any(|p| state.damage.is_whole(p.info.id)) => {
                patients.push((record.manifest.root.id, root));
            }
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Corrupt => {}
            Err(e) => return Err(e),
        }
    }
    Ok(patients)
}

/// What is lost, and where the same lies elsewhere.
#[derive(Debug, Default)]
struct Found {
    damage: Damage,
    chunks: BTreeMap<Id, ChunkPlace>,
    nodes: BTreeMap<Id, ChunkPlace>,
}

impl Found {
    async fn look_for(damage: &Damage, patients: &[(Id, Root)], donor: &Root, fetcher: &Arc<Fetcher>) -> Result<Self> {
        let mut found = Self { damage: damage.clone(), ..Self::default() };
        let (mut lost, mut nodes_lost) = (BTreeSet::new(), false);
        let touched: BTreeMap<Id, PackClass> = patients
            .iter()
            .flat_map(|(_, root)| &root.packs)
            .filter(|p| damage.touches(p.info.id))
            .map(|p| (p.info.id, p.info.class))
            .collect();
        for (pack, class) in touched {
            if class == PackClass::Meta {
                nodes_lost = true;
                continue;
            }
            let Some(table) = readable(fetcher.table(pack).await)? else { continue };
            let blocks = (0u32..).zip(&table.blocks).filter(|(n, _)| damage.is_bad(pack, *n));
            lost.extend(blocks.flat_map(|(_, b)| b.slots.iter().map(|s| s.id)));
        }
        for used in &donor.packs {
            let pack = used.info.id;
            let table = match used.info.class {
                PackClass::Data if lost.is_empty() => continue,
                PackClass::Data => fetcher.table(pack).await,
                PackClass::Meta if !nodes_lost => continue,
                PackClass::Meta => fetcher.meta_table(pack).await,
            };
            let Some(table) = readable(table)? else { continue };
            let into = if used.info.class == PackClass::Meta { &mut found.nodes } else { &mut found.chunks };
            for (number, block) in (0u32..).zip(&table.blocks).filter(|(n, _)| !damage.is_bad(pack, *n)) {
                let wanted = |id: &Id| used.info.class == PackClass::Meta || lost.contains(id);
                let slots = (0u16..).zip(&block.slots).filter(|(_, s)| wanted(&s.id));
                into.extend(slots.map(|(slot, s)| (s.id, (pack, number, slot))));
            }
        }
        Ok(found)
    }
}

fn readable<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::Corrupt => Ok(None),
        Err(e) => Err(e),
    }
}

impl Relocation for Found {
    fn affects(&self, pack: Id) -> bool {
        self.damage.touches(pack)
    }

    async fn chunk(&mut self, _: &Fetcher, at: &ChunkAt) -> Result<Option<ChunkPlace>> {
        Ok(self.chunks.get(&at.id).copied().filter(|_| self.damage.is_bad(at.pack, at.block)))
    }

    fn is_lost(&self, pack: Id, block: u32) -> bool {
        self.damage.is_bad(pack, block)
    }

    fn whereabouts(&self, at: &NodeRef) -> NodeRef {
        match self.nodes.get(&at.id).filter(|_| self.damage.is_bad(at.pack, at.block)) {
            Some((pack, block, slot)) => NodeRef { pack: *pack, block: *block, slot: *slot, ..*at },
            None => *at,
        }
    }

    fn renews(&self, _: &NodeRef) -> bool {
        false
    }

    fn flush(&mut self) {}

    fn tolerates(&self) -> bool {
        true
    }
}
