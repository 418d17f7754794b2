//! Blocks into packs, packs to the storages. A pack is for a set of members: it is sealed once,
//! and the same object goes to each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::task::JoinSet;

use crate::bugs::Bug;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::Id;
use crate::party::Set;
use crate::repository::pack::{OpenBlock, seal_block};
use crate::repository::seal::TAG;

use super::intake::Intake;
use super::upload::PackUpload;

/// A pack is closed when it has this many chunks, however well they compress: its table is held in
/// memory.
const MOST_CHUNKS: usize = 1 << 16;
/// Packs for so many different sets are filled at a time, for each has buffers. What other sets
/// lack goes to everyone: that costs space only.
const MOST_SETS: usize = 4;

/// A pack that takes blocks.
#[derive(Debug)]
struct OpenPack {
    upload: Arc<PackUpload>,
    reserved: u16,
    delivered: u16,
    /// Bytes of the blocks that have a place and are not there yet, at most.
    waiting: u64,
    written: u64,
    chunks: usize,
    closed: bool,
}

/// A block being gathered; its place is decided already.
#[derive(Debug)]
pub(super) struct Building {
    pub(super) upload: Arc<PackUpload>,
    pub(super) number: u16,
    /// Bytes that were expected of it when it got its place.
    size: u32,
    pub(super) block: OpenBlock,
}

/// The packs under way, behind one lock that is held for moments only.
#[derive(Debug, Default)]
pub(super) struct Packing {
    open: BTreeMap<Id, OpenPack>,
    /// The pack that takes the next block for a set.
    current: BTreeMap<Set, Id>,
    /// Blocks that small streams left unfilled.
    pub(super) spare: Vec<Building>,
    /// They seal blocks and end packs.
    tasks: JoinSet<Result<()>>,
    /// They send to each member.
    lanes: BTreeMap<usize, JoinSet<()>>,
    /// Why the run cannot go on.
    fatal: Option<Error>,
}

impl Packing {
    pub(super) fn abort_all(&mut self) {
        self.tasks.abort_all();
        self.lanes.values_mut().for_each(JoinSet::abort_all);
    }
}

impl Intake {
    pub(super) fn packing(&self) -> MutexGuard<'_, Packing> {
        self.packing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who gets what some lack: they alone, or everyone.
    pub(super) fn set_for(&self, lacking: Set) -> Set {
        let live = self.party.live();
        let packing = self.packing();
        let in_use = packing.current.keys().filter(|set| set.without(live).is_empty()).count();
        if in_use < MOST_SETS || packing.current.contains_key(&lacking) { lacking } else { live }
    }

    /// A block that a finished stream left, or a new one with a place in the current pack.
    pub(super) fn new_block(self: &Arc<Self>, set: Set, size: u32) -> Result<Building> {
        let mut packing = self.packing();
        if let Some(at) = packing.spare.iter().position(|b| b.upload.set == set) {
            return Ok(packing.spare.swap_remove(at));
        }
        let live = self.party.live();
        let stale: Vec<Set> = packing.current.keys().filter(|set| !set.without(live).is_empty()).copied().collect();
        for set in stale {
            self.close_pack(&mut packing, set);
        }
        if let Some(id) = packing.current.get(&set).copied() {
            let pack = packing.open.get_mut(&id).ok_or_else(|| Error::internal("the current pack is gone"))?;
            let full = pack.written + pack.waiting >= u64::from(self.chunker.pack) || pack.chunks >= MOST_CHUNKS;
            if full || pack.reserved == u16::MAX {
                self.close_pack(&mut packing, set);
            }
        }
        let id = match packing.current.get(&set) {
            Some(id) => *id,
            None => self.begin_pack(&mut packing, set)?,
        };
        let pack = packing.open.get_mut(&id).ok_or_else(|| Error::internal("the current pack is gone"))?;
        let number = pack.reserved;
        pack.reserved += 1;
        pack.waiting += u64::from(size);
        Ok(Building { upload: pack.upload.clone(), number, size, block: OpenBlock::default() })
    }

    fn begin_pack(&self, packing: &mut Packing, set: Set) -> Result<Id> {
        let nobody = || Error::internal("a pack for nobody");
        let any = set.iter().find_map(|member| self.to.get(&member)).ok_or_else(nobody)?;
        // One that takes no parts gets each pack as a whole, and the others of its set with it.
        let parts = set.iter().filter_map(|m| self.to.get(&m)).all(|to| to.job.repository().takes_parts());
        let upload = Arc::new(PackUpload::begin(&any.job, (set, parts), self.run_id, &self.run)?);
        let id = upload.id;
        for member in set.iter() {
            self.to.get(&member).ok_or_else(nobody)?.begin_pack(id)?;
        }
        let pack = OpenPack { upload, reserved: 0, delivered: 0, waiting: 0, written: 0, chunks: 0, closed: false };
        packing.open.insert(id, pack);
        packing.current.insert(set, id);
        Ok(id)
    }

    /// Seals and sends a block in the background. Waits while too many are under way.
    pub(super) async fn dispatch(self: &Arc<Self>, building: Building) -> Result<()> {
        self.check_tasks()?;
        let permit = self.in_flight.clone().acquire_owned().await.map_err(|_| Error::internal("closed"))?;
        let this = self.clone();
        let mut packing = self.packing();
        if let Some(open) = packing.open.get_mut(&building.upload.id) {
            open.chunks += building.block.slots.len();
        }
        packing.tasks.spawn(async move {
            let Building { upload, number, size, block } = building;
            let (key, level) = (upload.key.clone(), this.level);
            // Taken here, not by the threads that compute: each would keep a store of memory of its own.
            let room = Vec::with_capacity(block.bytes.len() + TAG);
            let compressors = this.compressors.clone();
            let seal = move || seal_block(&key, u32::from(number), block, level, &compressors, room);
            let sealed = this.run.compute(seal).await?;
            let written = upload.append(&this, &sealed).await?;
            drop(permit);
            let stored = sealed.bytes.len() as u64 * u64::from(upload.set.and(this.party.live()).len());
            this.run.emit(&Event::Progress { bytes: 0, stored });
            let mut packing = this.packing();
            let Some(open) = packing.open.get_mut(&upload.id) else { return Ok(()) };
            open.delivered += 1;
            open.waiting -= u64::from(size);
            open.written = open.written.max(written);
            if open.closed && open.delivered == open.reserved {
                this.finish_pack(&mut packing, upload.id);
            }
            Ok(())
        });
        Ok(())
    }

    /// No more blocks go into the pack of a set.
    fn close_pack(self: &Arc<Self>, packing: &mut Packing, set: Set) {
        let Some(id) = packing.current.remove(&set) else { return };
        if let Some(open) = packing.open.get_mut(&id) {
            open.closed = true;
            if open.delivered == open.reserved {
                self.finish_pack(packing, id);
            }
        }
    }

    /// Sends the end of a pack in the background.
    fn finish_pack(self: &Arc<Self>, packing: &mut Packing, pack: Id) {
        let Some(open) = packing.open.remove(&pack) else { return };
        let this = self.clone();
        packing.tasks.spawn(async move { open.upload.finish(&this).await });
    }

    /// Sends to a member in the background. What goes wrong there is that member's.
    pub(super) fn send(&self, member: usize, sending: impl Future<Output = ()> + Send + 'static) {
        self.packing().lanes.entry(member).or_default().spawn(sending);
    }

    /// Goes on without a member, or not at all.
    pub(super) fn give_up(&self, member: usize, error: Error) {
        if self.run.bugs.has(Bug::CommitBeforeLastUpload) {
            return;
        }
        if let Err(error) = self.party.lose(member, error) {
            self.packing().fatal.get_or_insert(error);
        }
    }

    /// The first error of a background task, if there is one.
    fn check_tasks(&self) -> Result<()> {
        let mut packing = self.packing();
        while let Some(ended) = packing.tasks.try_join_next() {
            ended.map_err(|e| Error::internal("a worker failed").with_source(e))??;
        }
        packing.lanes.values_mut().for_each(|lanes| while lanes.try_join_next().is_some() {});
        packing.fatal.take().map_or(Ok(()), Err)
    }

    /// Ends all packs, and waits until they are there.
    pub(super) async fn finish_packs(self: &Arc<Self>) -> Result<()> {
        let spare = std::mem::take(&mut self.packing().spare);
        for building in spare {
            self.dispatch(building).await?;
        }
        {
            let mut packing = self.packing();
            let sets: Vec<Set> = packing.current.keys().copied().collect();
            for set in sets {
                self.close_pack(&mut packing, set);
            }
        }
        loop {
            // Tasks start tasks: the set is taken again until it stays empty.
            let mut tasks = std::mem::take(&mut self.packing().tasks);
            if tasks.is_empty() {
                break;
            }
            while let Some(ended) = tasks.join_next().await {
                ended.map_err(|e| Error::internal("a worker failed").with_source(e))??;
            }
        }
        let lanes = std::mem::take(&mut self.packing().lanes);
        let ends = lanes.into_iter().map(|(member, mut lanes)| {
            let end = async move {
                while let Some(ended) = lanes.join_next().await {
                    ended.map_err(|e| Error::internal("a worker failed").with_source(e))?;
                }
                Ok(())
            };
            (member, end)
        });
        self.party.together(ends).await?;
        self.check_tasks()
    }
}
