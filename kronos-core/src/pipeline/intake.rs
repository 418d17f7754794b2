//! Storing chunks: what the job holds already is referenced, the rest is gathered into blocks,
//! compressed, sealed and uploaded while reading goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bugs::Bug;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::Id;
use crate::repository::damage::Damage;
use crate::repository::index::{Node, NodeRef, NodeSink, PackUse, Root};
use crate::repository::job::Job;
use crate::repository::pack::{Compressors, OpenBlock, PackInfo, Table, seal_block};
use crate::repository::retry::retry;
use crate::repository::seal::TAG;
use crate::run::RunContext;

use super::fetch::Fetcher;
use super::known::{Known, Where};
use super::ledger::{Building, Ledger, OpenPack, PackState, read_table};
use super::meta::{MetaWriter, ReadyPack};
use super::upload::PackUpload;

/// A pack is closed when it has this many chunks, however well they compress: its table is held in
/// memory.
const MOST_CHUNKS: usize = 1 << 16;
/// Pack, block and slot of a chunk.
pub(crate) type ChunkPlace = (Id, u32, u16);

/// A block that is being filled.
#[derive(Debug, Default)]
pub(crate) struct OpenPlace(pub(super) Option<Building>);

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

/// What has been stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub packs: Vec<PackUse>,
    pub added: u64,
    /// Some of the packs were there before this run.
    pub reuses: bool,
}

/// The intake of one run into one job.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(super) job: Job,
    pub(super) run: RunContext,
    run_id: Id,
    level: i32,
    pub(super) chunk_key: [u8; 32],
    pub(super) parent: Option<(Root, Arc<Fetcher>)>,
    /// What of the parent cannot be used.
    pub(super) damage: Damage,
    compressors: Arc<Compressors>,
    shared: Mutex<Ledger>,
    in_flight: Arc<Semaphore>,
}

/// Ends the tasks of an intake that is given up: they hold it alive otherwise.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(Arc<Intake>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.lock().tasks.abort_all();
    }
}

impl Intake {
    /// Learns what is there already.
    pub(crate) async fn begin(
        job: &Job,
        run_id: Id,
        level: i32,
        offer: Offer,
        run: &RunContext,
    ) -> Result<(Arc<Self>, AbortOnDrop)> {
        let mut shared = Ledger {
            packs: Vec::new(),
            by_id: BTreeMap::new(),
            learned: BTreeSet::new(),
            broken: BTreeSet::new(),
            known: Known::new(run.limits.memory / 16 * 7),
            meta: MetaWriter::new(job, run_id, run),
            meta_infos: BTreeMap::new(),
            open: BTreeMap::new(),
            current: None,
            spare: Vec::new(),
            tasks: JoinSet::new(),
            bytes_stored: 0,
        };
        let parent = match offer.parent {
            None => None,
            Some(root) => {
                // Most of the memory is for the chunks that will be known, and then for the pipeline.
                let fetcher = |share| Fetcher::new(job, root.packs.iter().copied(), run.limits.memory / share, run);
                shared.learn_parent(&root, &fetcher(4), &offer.avoid, &offer.damage).await?;
                let fetcher = fetcher(16);
                Some((root, fetcher))
            }
        };
        for info in offer.adoptable {
            let bad = offer.avoid.contains(&info.id) || offer.damage.is_whole(info.id);
            if !bad && !shared.by_id.contains_key(&info.id) {
                shared.adopt(job, info, &offer.damage, run).await;
            }
        }
        shared.known.seal_old();
        let intake = Arc::new(Self {
            job: job.clone(),
            run: run.clone(),
            run_id,
            level,
            damage: offer.damage,
            chunk_key: job.repository().key_set().id_key("chunk"),
            parent,
            compressors: Arc::default(),
            shared: Mutex::new(shared),
            in_flight: Arc::new(Semaphore::new(run.limits.threads * 2 + 2)),
        });
        Ok((intake.clone(), AbortOnDrop(intake)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a chunk lies, if it is known.
    pub(crate) fn known(&self, id: Id, length: u32) -> Option<ChunkPlace> {
        let mut shared = self.lock();
        let hit = shared.known.look_up(id)?;
        let state = &mut shared.packs[hit.at.pack as usize];
        if hit.first {
            state.live += u64::from(length);
        }
        Some((state.id, u32::from(hit.at.block), hit.at.slot))
    }

    /// Where a chunk lies: in a place that is known, or in a block of its own run.
    pub(crate) async fn place(self: &Arc<Self>, open: &mut OpenPlace, id: Id, chunk: &[u8]) -> Result<ChunkPlace> {
        let length = u32::try_from(chunk.len()).map_err(|_| Error::internal("a chunk is larger than 4 GiB"))?;
        if let Some(known) = self.known(id, length) {
            return Ok(known);
        }
        let mut building = match open.0.take() {
            Some(building) => building,
            None => self.new_block()?,
        };
        let slot = building.block.push(id, chunk);
        let place = {
            let mut shared = self.lock();
            shared.known.add_new(id, Where { pack: building.pack, block: building.number, slot });
            let state = &mut shared.packs[building.pack as usize];
            state.live += u64::from(length);
            (state.id, u32::from(building.number), slot)
        };
        if building.block.is_full(self.job.repository().chunker().block) {
            self.dispatch(building).await?;
        } else {
            open.0 = Some(building);
        }
        Ok(place)
    }

    /// Gives back the block that is not full, for others to fill.
    pub(crate) fn leave(&self, open: OpenPlace) {
        self.lock().spare.extend(open.0);
    }

    /// Stores a node of an index, unless it is there.
    pub(crate) fn store_node(&self, node: &Node) -> Result<(Id, Id, u32, u16)> {
        self.lock().meta.store(node)
    }

    /// Stores the copy of a table.
    pub(crate) fn store_table(&self, table: &Table) -> Result<NodeRef> {
        self.lock().meta.store_bytes(&table.encode())
    }

    /// A block that a finished stream left, or a new one with a place in the current pack.
    fn new_block(self: &Arc<Self>) -> Result<Building> {
        let mut shared = self.lock();
        if let Some(building) = shared.spare.pop() {
            return Ok(building);
        }
        let chunker = self.job.repository().chunker();
        if let Some(number) = shared.current {
            let pack = shared.open.get_mut(&number).ok_or_else(|| Error::internal("the current pack is gone"))?;
            let waiting = u64::from(pack.reserved - pack.delivered) * u64::from(chunker.block);
            let full = pack.written + waiting >= u64::from(chunker.pack) || pack.chunks >= MOST_CHUNKS;
            if full || pack.reserved == u16::MAX {
                self.close_pack(&mut shared, number);
            }
        }
        if shared.current.is_none() {
            let upload = Arc::new(PackUpload::begin(&self.job, self.run_id, &self.run)?);
            let number = u32::try_from(shared.packs.len()).map_err(|_| Error::internal("too many packs"))?;
            let state = PackState { id: upload.id, info: None, table_copy: None, live: 0, average: 0 };
            shared.by_id.insert(upload.id, number);
            shared.packs.push(state);
            let pack =
                OpenPack { upload, pack: number, reserved: 0, delivered: 0, written: 0, chunks: 0, closed: false };
            shared.open.insert(number, pack);
            shared.current = Some(number);
        }
        let pack = shared.current.and_then(|n| shared.open.get_mut(&n));
        let pack = pack.ok_or_else(|| Error::internal("the current pack is gone"))?;
        let number = pack.reserved;
        pack.reserved += 1;
        Ok(Building { upload: pack.upload.clone(), pack: pack.pack, number, block: OpenBlock::default() })
    }

    /// Seals and uploads a block in the background. Waits while too many are under way.
    async fn dispatch(self: &Arc<Self>, building: Building) -> Result<()> {
        self.check_tasks()?;
        let permit = self.in_flight.clone().acquire_owned().await.map_err(|_| Error::internal("closed"))?;
        let this = self.clone();
        let mut shared = self.lock();
        if let Some(open) = shared.open.get_mut(&building.pack) {
            open.chunks += building.block.slots.len();
        }
        shared.tasks.spawn(async move {
            let Building { upload, pack, number, block } = building;
            let (key, level) = (upload.key.clone(), this.level);
            // Taken here, not by the threads that compute: each would keep a store of memory of its own.
            let room = Vec::with_capacity(block.bytes.len() + TAG);
            let compressors = this.compressors.clone();
            let seal = move || seal_block(&key, u32::from(number), block, level, &compressors, room);
            let sealed = this.run.compute(seal).await?;
            let written = upload.append(&this.job, &sealed, &this.run).await?;
            drop(permit);
            this.run.emit(&Event::Progress { bytes: 0, stored: sealed.bytes.len() as u64 });
            let mut shared = this.lock();
            let Some(open) = shared.open.get_mut(&pack) else { return Ok(()) };
            open.delivered += 1;
            open.written = open.written.max(written);
            if open.closed && open.delivered == open.reserved {
                this.finish_pack(&mut shared, pack);
            }
            Ok(())
        });
        Ok(())
    }

    /// No more blocks go into this pack.
    fn close_pack(self: &Arc<Self>, shared: &mut Ledger, pack: u32) {
        shared.current = None;
        if let Some(open) = shared.open.get_mut(&pack) {
            open.closed = true;
            if open.delivered == open.reserved {
                self.finish_pack(shared, pack);
            }
        }
    }

    /// Uploads the end of a pack in the background.
    fn finish_pack(self: &Arc<Self>, shared: &mut Ledger, pack: u32) {
        let Some(open) = shared.open.remove(&pack) else { return };
        let this = self.clone();
        shared.tasks.spawn(async move {
            let (info, table) = open.upload.finish(&this.job, &this.run).await?;
            let mut shared = this.lock();
            let copy = shared.meta.store_bytes(&table.encode())?;
            shared.bytes_stored += info.size;
            let state = &mut shared.packs[pack as usize];
            state.info = Some(info);
            state.table_copy = Some(copy);
            Ok(())
        });
    }

    /// The first error of a background task, if there is one.
    fn check_tasks(&self) -> Result<()> {
        let mut shared = self.lock();
        while let Some(ended) = shared.tasks.try_join_next() {
            ended.map_err(|e| Error::internal("a worker failed").with_source(e))??;
        }
        Ok(())
    }

    pub(crate) async fn upload_meta(&self) -> Result<()> {
        let ready = self.lock().meta.take_ready();
        for ReadyPack { name, object, info } in ready {
            retry(&self.run, "upload metadata", || self.job.storage().put(&name, object.clone())).await?;
            let mut shared = self.lock();
            shared.bytes_stored += info.size;
            shared.meta_infos.insert(info.id, info);
        }
        Ok(())
    }

    /// Uploads what is left; afterwards everything that the streams refer to is stored.
    pub(crate) async fn finish(self: &Arc<Self>) -> Result<Stored> {
        let spare = std::mem::take(&mut self.lock().spare);
        for building in spare {
            self.dispatch(building).await?;
        }
        {
            let mut shared = self.lock();
            if let Some(current) = shared.current {
                self.close_pack(&mut shared, current);
            }
        }
        let skip = self.run.bugs.has(Bug::CommitBeforeLastUpload);
        loop {
            // Tasks start tasks: the set is taken again until it stays empty.
            let mut tasks = std::mem::take(&mut self.lock().tasks);
            if tasks.is_empty() {
                break;
            }
            while let Some(ended) = tasks.join_next().await {
                match ended.map_err(|e| Error::internal("a worker failed").with_source(e))? {
                    Err(_) if skip => {}
                    result => result?,
                }
            }
        }
        self.store_missing_tables().await?;
        self.lock().meta.close();
        self.upload_meta().await?;
        self.result()
    }

    /// Copies the tables of adopted packs, and of those whose copy lies in a pack that is left
    /// behind, into the metadata.
    async fn store_missing_tables(&self) -> Result<()> {
        let missing: Vec<(usize, PackInfo)> = {
            let shared = self.lock();
            let lacks = |(n, p): (usize, &PackState)| {
                let info = p.info.filter(|_| p.live > 0 && p.table_copy.is_none())?;
                Some((n, info))
            };
            shared.packs.iter().enumerate().filter_map(lacks).collect()
        };
        for (number, info) in missing {
            let table = read_table(&self.job, info, &self.run).await?;
            let mut shared = self.lock();
            let copy = shared.meta.store_bytes(&table.encode())?;
            shared.packs[number].table_copy = Some(copy);
        }
        let mut shared = self.lock();
        let shared = &mut *shared;
        for state in shared.packs.iter().filter(|p| p.live > 0) {
            if let Some(copy) = &state.table_copy {
                shared.meta.use_in_place(copy);
            }
        }
        Ok(())
    }

    fn result(&self) -> Result<Stored> {
        let shared = self.lock();
        let mut packs = Vec::new();
        for state in shared.packs.iter().filter(|p| p.live > 0) {
            let info = match state.info {
                Some(info) => info,
                None if self.run.bugs.has(Bug::CommitBeforeLastUpload) => continue,
                None => return Err(Error::internal("a pack was not finished").with("pack", state.id)),
            };
            packs.push(PackUse { info, live: state.live.min(info.size * 256), table_copy: state.table_copy });
        }
        for (id, live) in shared.meta.live() {
            let info = shared.meta_infos.get(id).ok_or_else(|| Error::internal("a metadata pack was not finished"))?;
            packs.push(PackUse { info: *info, live: *live, table_copy: None });
        }
        let reuses = packs.iter().any(|p| shared.learned.contains(&p.info.id));
        Ok(Stored { packs, added: shared.bytes_stored, reuses })
    }
}
