//! What an intake keeps account of: packs, known chunks, open blocks; and what it learns before
//! it begins, from the parent's index and from interrupted runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::repository::damage::Damage;
use crate::repository::index::{NodeRef, Root};
use crate::repository::job::Job;
use crate::repository::pack::{OpenBlock, PackClass, PackInfo, PackReader, Table};
use crate::run::RunContext;

use super::fetch::Fetcher;
use super::known::{Known, Where};
use super::meta::MetaWriter;
use super::upload::PackUpload;

/// More strata (packs of different runs) than this, and the sparsest are stored again.
pub(super) const STRATA: usize = 64;
/// More metadata packs than this, and the nodes in the sparsest are written again.
const META_PACKS: usize = 32;

/// A pack of this run's list.
#[derive(Debug)]
pub(super) struct PackState {
    pub(super) id: Id,
    /// Known once the pack is complete.
    pub(super) info: Option<PackInfo>,
    pub(super) table_copy: Option<NodeRef>,
    pub(super) live: u64,
    /// Average bytes of a chunk, for streams taken over unread.
    pub(super) average: u64,
}

/// A pack that takes blocks.
#[derive(Debug, Clone)]
pub(super) struct OpenPack {
    pub(super) upload: Arc<PackUpload>,
    pub(super) pack: u32,
    pub(super) reserved: u16,
    pub(super) delivered: u16,
    pub(super) written: u64,
    pub(super) chunks: usize,
    pub(super) closed: bool,
}

/// A block being gathered; its place is decided already.
#[derive(Debug)]
pub(super) struct Building {
    pub(super) upload: Arc<PackUpload>,
    pub(super) pack: u32,
    pub(super) number: u16,
    pub(super) block: OpenBlock,
}

/// All that a run keeps account of, behind one lock that is held for moments only.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) packs: Vec<PackState>,
    pub(super) by_id: BTreeMap<Id, u32>,
    /// Packs that were there before this run.
    pub(super) learned: BTreeSet<Id>,
    /// Streams of the parent whose index cannot be read.
    pub(super) broken: BTreeSet<String>,
    pub(super) known: Known,
    pub(super) meta: MetaWriter,
    pub(super) meta_infos: BTreeMap<Id, PackInfo>,
    pub(super) open: BTreeMap<u32, OpenPack>,
    pub(super) current: Option<u32>,
    /// Blocks that small streams left unfilled.
    pub(super) spare: Vec<Building>,
    pub(super) tasks: JoinSet<Result<()>>,
    pub(super) bytes_stored: u64,
}

impl Ledger {
    /// Learns the parent's chunks and nodes, as far as they can be read and are not bad.
    pub(super) async fn learn_parent(
        &mut self,
        root: &Root,
        fetcher: &Arc<Fetcher>,
        avoid: &BTreeSet<Id>,
        damage: &Damage,
    ) -> Result<()> {
        let metas = densest(root.of_class(PackClass::Meta).map(|p| (p.info.id, p.live)), META_PACKS);
        for used in root.of_class(PackClass::Meta) {
            self.learned.insert(used.info.id);
            self.meta_infos.insert(used.info.id, used.info);
        }
        let usable = |node: &NodeRef| metas.contains(&node.pack) && !damage.is_bad(node.pack, node.block);
        for stream in &root.streams {
            match fetcher.references(stream.levels, &stream.top).await {
                Ok(nodes) => nodes.iter().filter(|n| usable(n)).for_each(|n| self.meta.add_known(n)),
                Err(e) if e.kind() == ErrorKind::Corrupt => drop(self.broken.insert(stream.info.name.clone())),
                Err(e) => return Err(e),
            }
        }
        let mut strata: BTreeMap<Id, u64> = BTreeMap::new();
        let mut readable = Vec::new();
        for used in root.of_class(PackClass::Data).filter(|p| !damage.is_whole(p.info.id)) {
            match fetcher.table(used.info.id).await {
                Ok(table) => {
                    *strata.entry(table.run).or_default() += used.live;
                    readable.push((used, table.run));
                }
                // Its chunks are stored anew.
                Err(e) if e.kind() == ErrorKind::Corrupt => {}
                Err(e) => return Err(e),
            }
        }
        let strata = densest(strata.into_iter(), STRATA);
        for (used, stratum) in readable {
            let table = fetcher.table(used.info.id).await?;
            let copy = used.table_copy.filter(usable);
            let wanted = strata.contains(&stratum) && !avoid.contains(&used.info.id);
            self.learn(used.info, &table, copy, wanted, damage)?;
        }
        Ok(())
    }

    /// Takes the complete pack of an interrupted run, if it can be read.
    pub(super) async fn adopt(&mut self, job: &Job, info: PackInfo, damage: &Damage, run: &RunContext) {
        // A pack that cannot be read saves nothing and harms nothing.
        if let Ok(table) = read_table(job, info, run).await {
            let _ = self.learn(info, &table, None, true, damage);
        }
    }

    pub(super) fn learn(
        &mut self,
        info: PackInfo,
        table: &Table,
        copy: Option<NodeRef>,
        usable: bool,
        damage: &Damage,
    ) -> Result<()> {
        let pack = u32::try_from(self.packs.len()).map_err(|_| Error::internal("too many packs"))?;
        let (mut chunks, mut bytes) = (0u64, 0u64);
        for (block, entry) in table.blocks.iter().enumerate() {
            chunks += entry.slots.len() as u64;
            bytes += entry.plain();
            let Ok(block) = u16::try_from(block) else { continue };
            let usable = usable && !damage.is_bad(info.id, u32::from(block));
            for (slot, chunk) in entry.slots.iter().enumerate().filter(|_| usable) {
                let Ok(slot) = u16::try_from(slot) else { continue };
                self.known.add_old(chunk.id, Where { pack, block, slot });
            }
        }
        let average = bytes.checked_div(chunks).unwrap_or(0).max(1);
        self.learned.insert(info.id);
        self.by_id.insert(info.id, pack);
        self.packs.push(PackState { id: info.id, info: Some(info), table_copy: copy, live: 0, average });
        Ok(())
    }
}

pub(super) async fn read_table(job: &Job, info: PackInfo, run: &RunContext) -> Result<Table> {
    PackReader::open(job, info, run).await?.table(job, run).await
}

/// The `most` members that hold the most.
pub(super) fn densest(members: impl Iterator<Item = (Id, u64)>, most: usize) -> BTreeSet<Id> {
    let mut members: Vec<(u64, Id)> = members.map(|(id, live)| (live, id)).collect();
    members.sort_unstable();
    let skip = members.len().saturating_sub(most);
    members.into_iter().skip(skip).map(|(_, id)| id).collect()
}
