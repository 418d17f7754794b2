//! Storing chunks: what a repository holds already is referenced there, the rest is gathered into
//! blocks, compressed, sealed and uploaded while reading goes on. With several repositories all of
//! this is done once, and what they lack is sent to each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::backup::COMPRESSION;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::party::{Party, Set};
use crate::repository::ChunkerParameters;
use crate::repository::damage::Damage;
use crate::repository::index::{Node, NodeRef, NodeSink, PackUse, Root, StoredStream};
use crate::repository::job::Job;
use crate::repository::pack::{Compressors, PackInfo, Table};
use crate::run::RunContext;

use super::common::Common;
use super::destination::Destination;
use super::packing::{Building, Packing};

/// Pack, block and slot of a chunk.
pub(crate) type ChunkPlace = (Id, u32, u16);

/// The place of a chunk for each member that takes part.
pub(super) type Places = Vec<(usize, ChunkPlace)>;

/// The blocks that a stream is filling.
#[derive(Debug)]
pub(crate) struct OpenPlace {
    /// Bytes of a full one.
    size: u32,
    /// By the members that they are for.
    blocks: BTreeMap<Set, Building>,
}

impl OpenPlace {
    pub(crate) fn new(size: u32) -> Self {
        Self { size, blocks: BTreeMap::new() }
    }
}

/// What may be referenced instead of stored.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    pub parent: Option<Root>,
    /// Complete packs of runs that did not end.
    pub adoptable: Vec<PackInfo>,
    /// Packs that must not be referenced: doomed or swept.
    pub avoid: BTreeSet<Id>,
    /// Blocks that must not be referenced: they are bad.
    pub damage: Damage,
}

/// What has been stored in one repository.
#[derive(Debug)]
pub(crate) struct Stored {
    pub packs: Vec<PackUse>,
    pub added: u64,
    /// Some of the packs were there before this run.
    pub reuses: bool,
}

/// One value for each member of a party.
pub(crate) type Each<T> = BTreeMap<usize, T>;

/// The intake of one run.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(super) run: RunContext,
    pub(super) run_id: Id,
    pub(super) level: i32,
    pub(super) chunk_key: [u8; 32],
    pub(crate) chunker: ChunkerParameters,
    pub(super) party: Arc<Party>,
    /// By the numbers of the members that took part when it began.
    pub(super) to: Each<Destination>,
    common: Mutex<Common>,
    pub(super) compressors: Arc<Compressors>,
    pub(super) packing: Mutex<Packing>,
    pub(super) in_flight: Arc<Semaphore>,
    chunks: AtomicU64,
    new_chunks: AtomicU64,
}

/// Ends the tasks of an intake that is given up: they hold it alive otherwise.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(Arc<Intake>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.packing().abort_all();
    }
}

impl Intake {
    /// Begins one for a single repository, and learns what is there already.
    pub(crate) async fn begin(
        job: &Job,
        run_id: Id,
        offer: Offer,
        run: &RunContext,
    ) -> Result<(Arc<Self>, AbortOnDrop)> {
        let party = Arc::new(Party::of_one(job.repository(), run));
        let common = Mutex::new(Common::new(run.limits.memory / 16 * 7, false));
        let to = Destination::learn((0, job), run_id, offer, run.limits.memory, &common, run).await?;
        Self::new(party, run_id, COMPRESSION, (Each::from([(0, to)]), common), run)
    }

    /// Begins one for several, which share keys and chunker. `offers` are their jobs and what is
    /// there.
    pub(crate) async fn begin_for(
        party: &Arc<Party>,
        run_id: Id,
        level: i32,
        offers: Each<(Job, Offer)>,
        run: &RunContext,
    ) -> Result<(Arc<Self>, AbortOnDrop)> {
        let memory = run.limits.memory / offers.len().max(1) as u64;
        let common = Mutex::new(Common::new(run.limits.memory / 16 * 7, offers.len() > 1));
        let learn = |(member, (job, offer)): (usize, (Job, Offer))| {
            let common = &common;
            (member, async move { Destination::learn((member, &job), run_id, offer, memory, common, run).await })
        };
        let to = party.together(offers.into_iter().map(learn)).await?;
        Self::new(party.clone(), run_id, level, (to, common), run)
    }

    fn new(
        party: Arc<Party>,
        run_id: Id,
        level: i32,
        (to, common): (Each<Destination>, Mutex<Common>),
        run: &RunContext,
    ) -> Result<(Arc<Self>, AbortOnDrop)> {
        let any = to.values().next().ok_or_else(|| Error::internal("an intake for nobody"))?;
        let repository = any.job.repository();
        common.lock().unwrap_or_else(PoisonError::into_inner).seal_old();
        let intake = Arc::new(Self {
            run: run.clone(),
            run_id,
            level,
            chunk_key: repository.key_set().id_key("chunk"),
            chunker: repository.chunker().clone(),
            party,
            to,
            common,
            compressors: Arc::default(),
            packing: Mutex::default(),
            in_flight: Arc::new(Semaphore::new(run.limits.threads * 2 + 2)),
            chunks: AtomicU64::new(0),
            new_chunks: AtomicU64::new(0),
        });
        Ok((intake.clone(), AbortOnDrop(intake)))
    }

    /// Those who still take part, with their numbers.
    pub(super) fn members(&self) -> impl Iterator<Item = (usize, &Destination)> {
        let live = self.party.live();
        self.to.iter().map(|(member, to)| (*member, to)).filter(move |(member, _)| live.has(*member))
    }

    /// The only repository of an intake for one.
    pub(super) fn only(&self) -> Result<&Destination> {
        self.to.values().next().ok_or_else(|| Error::internal("an intake for nobody"))
    }

    fn common(&self) -> MutexGuard<'_, Common> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a chunk lies in the only repository, if it is known.
    pub(crate) fn known(&self, id: Id, length: u32) -> Result<Option<ChunkPlace>> {
        let mut places = Places::new();
        self.look_up(id, length, &mut places)?;
        Ok(places.pop().map(|(_, place)| place))
    }

    /// Where a chunk lies for those who know it. Gives the others.
    fn look_up(&self, id: Id, length: u32, places: &mut Places) -> Result<Set> {
        let mut members = Set::default();
        self.members().for_each(|(member, _)| members.insert(member));
        let mut hits = Vec::new();
        let lacking = self.common().look_up(id, members, &mut hits);
        for hit in hits {
            for member in hit.set.iter() {
                if let Some(to) = self.to.get(&member).filter(|_| hit.first) {
                    to.use_chunk(hit.at.0, length)?;
                }
                places.push((member, hit.at));
            }
        }
        Ok(lacking)
    }

    /// Where a chunk lies in the only repository.
    pub(crate) async fn place(self: &Arc<Self>, open: &mut OpenPlace, id: Id, chunk: &[u8]) -> Result<ChunkPlace> {
        let mut places = Places::new();
        self.place_for_each(open, id, chunk, &mut places).await?;
        places.pop().map(|(_, place)| place).ok_or_else(|| Error::internal("a chunk has no place"))
    }

    /// Where a chunk lies for each member: in a place that is known there, or in a block that goes
    /// to exactly those who lack it.
    pub(super) async fn place_for_each(
        self: &Arc<Self>,
        open: &mut OpenPlace,
        id: Id,
        chunk: &[u8],
        places: &mut Places,
    ) -> Result<()> {
        let length = u32::try_from(chunk.len()).map_err(|_| Error::internal("a chunk is larger than 4 GiB"))?;
        places.clear();
        let lacking = self.look_up(id, length, places)?;
        self.chunks.fetch_add(1, Ordering::Relaxed);
        if lacking.is_empty() {
            return Ok(());
        }
        self.new_chunks.fetch_add(1, Ordering::Relaxed);
        let set = self.set_for(lacking);
        let mut building = match open.blocks.remove(&set) {
            Some(building) => building,
            None => self.new_block(set, open.size)?,
        };
        let slot = building.block.push(id, chunk);
        let (pack, number) = (building.upload.id, building.number);
        // Whoever was lost a moment ago may not be in the set any more.
        let lacking = lacking.and(set);
        self.common().add_new(id, lacking, (pack, number, slot))?;
        for member in lacking.iter() {
            let to = self.to.get(&member).ok_or_else(|| Error::internal("a member has come late"))?;
            to.use_chunk(pack, length)?;
            places.push((member, (pack, u32::from(number), slot)));
        }
        if building.block.is_full(open.size) {
            self.dispatch(building).await
        } else {
            open.blocks.insert(set, building);
            Ok(())
        }
    }

    /// How many chunks there were so far, and how many of them somebody lacked.
    pub(crate) fn counted(&self) -> (u64, u64) {
        (self.chunks.load(Ordering::Relaxed), self.new_chunks.load(Ordering::Relaxed))
    }

    /// Gives back the blocks that are not full, for others to fill.
    pub(crate) fn leave(&self, open: &mut OpenPlace) {
        self.packing().spare.extend(std::mem::take(&mut open.blocks).into_values());
    }

    /// Stores a node of an index in the only repository, unless it is there.
    pub(crate) fn store_node(&self, node: &Node) -> Result<(Id, Id, u32, u16)> {
        self.only()?.lock().meta.store(node)
    }

    /// Stores the copy of a table in the only repository.
    pub(crate) fn store_table(&self, table: &Table) -> Result<NodeRef> {
        self.only()?.lock().meta.store_bytes(&table.encode())
    }

    /// Sends the metadata packs that are full.
    pub(crate) async fn upload_meta(&self) -> Result<()> {
        let full = self.members().filter(|(_, to)| to.lock().meta.has_ready());
        self.party.together(full.map(|(member, to)| (member, to.upload_meta(&self.run)))).await?;
        Ok(())
    }

    /// The streams of the parents that all can take over unread.
    pub(crate) async fn usable_streams(&self) -> Result<BTreeSet<String>> {
        let steps = self.members().map(|(member, to)| (member, to.usable_streams()));
        let each = self.party.together(steps).await?;
        let mut each = each.into_values();
        let first = each.next().unwrap_or_default();
        Ok(each.fold(first, |all, of| all.intersection(&of).cloned().collect()))
    }

    /// Takes over a stream of the parents that the connector has proved unchanged. An index that
    /// is damaged somewhere is an error of kind `Corrupt`, and nobody is left out for it.
    pub(crate) async fn take_over(&self, info: &crate::StreamInfo) -> Result<Each<StoredStream>> {
        let steps = self.members().map(|(member, to)| {
            let step = async move {
                match to.take_over(info).await {
                    Err(e) if e.kind() == crate::ErrorKind::Corrupt => Ok(Err(e)),
                    taken => taken.map(Ok),
                }
            };
            (member, step)
        });
        let each = self.party.together(steps).await?;
        each.into_iter().map(|(member, taken)| Ok((member, taken?))).collect()
    }

    /// Sends what is left to the only repository; afterwards everything that the streams refer to
    /// is there.
    pub(crate) async fn finish(self: &Arc<Self>) -> Result<Stored> {
        let mut each = self.finish_each().await?;
        each.pop_first().map(|(_, stored)| stored).ok_or_else(|| Error::internal("an intake for nobody"))
    }

    /// Sends what is left to everyone.
    pub(crate) async fn finish_each(self: &Arc<Self>) -> Result<Each<Stored>> {
        self.finish_packs().await?;
        self.party.together(self.members().map(|(member, to)| (member, to.finish(&self.run)))).await
    }
}
