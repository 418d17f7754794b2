//! What an intake keeps account of for one repository: packs and known chunks; and what it learns
//! before it begins, from the parent's index and from interrupted runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;

use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::repository::index::{NodeRef, PackUse, Root, Span};
use crate::repository::job::Job;
use crate::repository::pack::{PackClass, PackInfo, PackReader, Table};
use crate::run::RunContext;

use super::destination::Learning;
use super::fetch::Fetcher;
use super::meta::MetaWriter;

/// More strata (packs of different runs) than this, and the sparsest are stored again. A restore
/// holds a block of each; where blocks are of twice the size, half as many are too many.
pub(super) const STRATA: usize = 64;
/// More metadata packs than this, and the nodes in the sparsest are written again.
const META_PACKS: usize = 32;

/// Tables read at a time.
const TABLES: usize = 8;

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

/// All that a run keeps account of for one repository, behind one lock that is held for moments only.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) packs: Vec<PackState>,
    pub(super) by_id: BTreeMap<Id, u32>,
    /// Packs that were there before this run.
    pub(super) learned: BTreeSet<Id>,
    /// Streams of the parent whose index cannot be read.
    pub(super) broken: BTreeSet<String>,
    pub(super) meta: MetaWriter,
    pub(super) meta_infos: BTreeMap<Id, PackInfo>,
    pub(super) bytes_stored: u64,
}

impl Ledger {
    pub(super) fn new(job: &Job, run_id: Id, run: &RunContext) -> Self {
        Self {
            packs: Vec::new(),
            by_id: BTreeMap::new(),
            learned: BTreeSet::new(),
            broken: BTreeSet::new(),
            meta: MetaWriter::new(job, run_id, run),
            meta_infos: BTreeMap::new(),
            bytes_stored: 0,
        }
    }

    /// Learns the parent's chunks and nodes, as far as they can be read and are not bad.
    pub(super) async fn learn_parent(
        &mut self,
        root: &Root,
        fetcher: &Arc<Fetcher>,
        avoid: &BTreeSet<Id>,
        learning: &Learning<'_>,
    ) -> Result<()> {
        let damage = learning.damage;
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
        let data: Vec<_> = root.of_class(PackClass::Data).filter(|p| !damage.is_whole(p.info.id)).copied().collect();
        let mut every = std::pin::pin!(tables(fetcher, data));
        while let Some((used, table)) = every.next().await {
            match table {
                Ok(table) => {
                    *strata.entry(table.run).or_default() += used.live;
                    readable.push((used, table.run, table.chunks()));
                }
                // Its chunks are stored anew.
                Err(e) if e.kind() == ErrorKind::Corrupt => {}
                Err(e) => return Err(e),
            }
        }
        let is_cut_by_content = root.streams.iter().any(|stream| stream.chunk == 0);
        let strata = densest(strata.into_iter(), if is_cut_by_content { STRATA / 2 } else { STRATA });
        let is_wanted = |pack: Id, stratum: Id| strata.contains(&stratum) && !avoid.contains(&pack);
        let short = {
            let common = learning.common();
            // What another member has as well shares its room.
            let of = readable
                .iter()
                .filter(|(used, run, _)| is_wanted(used.info.id, *run) && !common.has_pack(used.info.id));
            of.map(|(_, _, chunks)| chunks).sum::<usize>() > common.room()
        };
        // When there is no room for all, there is for those that the parent needs.
        let live = if short { Some(live(root, fetcher).await?) } else { None };
        let mut every = std::pin::pin!(tables(fetcher, readable.into_iter().map(|(used, ..)| used)));
        while let Some((used, table)) = every.next().await {
            let table = table?;
            let copy = used.table_copy.filter(usable);
            let wanted = is_wanted(used.info.id, table.run);
            let is_live = |block, slot| live.as_ref().is_none_or(|live| live.has(used.info.id, block, slot));
            self.learn(used.info, &table, copy, |block, slot| wanted && is_live(block, slot), learning)?;
        }
        Ok(())
    }

    /// Takes the complete pack of an interrupted run, if it can be read.
    pub(super) async fn adopt(&mut self, job: &Job, info: PackInfo, learning: &Learning<'_>, run: &RunContext) {
        // A pack that cannot be read saves nothing and harms nothing.
        if let Ok(table) = read_table(job, info, run).await {
            let _ = self.learn(info, &table, None, |_, _| true, learning);
        }
    }

    fn learn(
        &mut self,
        info: PackInfo,
        table: &Table,
        copy: Option<NodeRef>,
        usable: impl Fn(u32, u16) -> bool,
        learning: &Learning<'_>,
    ) -> Result<()> {
        let pack = u32::try_from(self.packs.len()).map_err(|_| Error::internal("too many packs"))?;
        let (mut chunks, mut bytes) = (0u64, 0u64);
        let mut common = learning.common();
        for (number, entry) in (0u32..).zip(&table.blocks) {
            chunks += entry.slots.len() as u64;
            bytes += entry.plain();
            let Ok(block) = u16::try_from(number) else { continue };
            if learning.damage.is_bad(info.id, number) {
                continue;
            }
            let known = (0..=u16::MAX).zip(&entry.slots).filter(|(slot, _)| usable(number, *slot));
            common.add_old(learning.member, info.id, known.map(|(slot, chunk)| (chunk.id, block, slot)))?;
        }
        drop(common);
        let average = bytes.checked_div(chunks).unwrap_or(0).max(1);
        self.learned.insert(info.id);
        self.by_id.insert(info.id, pack);
        self.packs.push(PackState { id: info.id, info: Some(info), table_copy: copy, live: 0, average });
        Ok(())
    }
}

/// Chunks that a backup needs, by their place.
#[derive(Debug, Default)]
struct Live(BTreeMap<(Id, u32), Vec<u64>>);

impl Live {
    fn add(&mut self, span: &Span) {
        let bits = self.0.entry((span.pack, span.block)).or_default();
        for slot in usize::from(span.slot)..usize::from(span.slot) + usize::from(span.count) {
            if bits.len() <= slot / 64 {
                bits.resize(slot / 64 + 1, 0);
            }
            bits[slot / 64] |= 1 << (slot % 64);
        }
    }

    fn has(&self, pack: Id, block: u32, slot: u16) -> bool {
        let bits = self.0.get(&(pack, block)).and_then(|bits| bits.get(usize::from(slot) / 64));
        bits.is_some_and(|bits| bits & 1 << (slot % 64) != 0)
    }
}

/// What a backup needs, as far as its index can be read.
async fn live(root: &Root, fetcher: &Arc<Fetcher>) -> Result<Live> {
    let mut live = Live::default();
    for stream in &root.streams {
        let mut leaves = std::pin::pin!(fetcher.leaves(&stream.top));
        while let Some(leaf) = leaves.next().await {
            match leaf {
                Ok(leaf) => leaf.spans.iter().for_each(|span| live.add(span)),
                Err(e) if e.kind() == ErrorKind::Corrupt => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(live)
}

/// The tables of packs, read ahead.
fn tables(
    fetcher: &Arc<Fetcher>,
    packs: impl IntoIterator<Item = PackUse>,
) -> impl futures::Stream<Item = (PackUse, Result<Arc<Table>>)> {
    let fetcher = fetcher.clone();
    let table = move |used: PackUse| {
        let fetcher = fetcher.clone();
        async move { (used, fetcher.table(used.info.id).await) }
    };
    futures::stream::iter(packs.into_iter().collect::<Vec<_>>()).map(table).buffered(TABLES)
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
