//! Storing streams: what the job holds already is referenced, the rest is gathered into blocks,
//! compressed, sealed and uploaded while reading goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bugs::Bug;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::{Digest, Id};
use crate::repository::index::{PackUse, Root, StoredStream, TreeBuilder};
use crate::repository::job::Job;
use crate::repository::pack::{OpenBlock, PackInfo, seal_block};
use crate::repository::retry::retry;
use crate::run::RunContext;
use crate::stream::{Piece, Stream, StreamEnd, StreamInfo};

use super::cut::{Cutter, chunk_size};
use super::fetch::Fetcher;
use super::known::{Known, Where};
use super::ledger::{Building, Ledger, OpenPack, PackState, read_table};
use super::meta::{MetaWriter, ReadyPack, keyed_id};
use super::upload::PackUpload;

/// Chunks are handed to the hashing threads in batches of about this many bytes.
const BATCH: usize = 1 << 20;
/// A pack is closed when it has this many chunks, however well they compress: its table is held in
/// memory.
const MOST_CHUNKS: usize = 1 << 16;
/// What may be referenced instead of stored.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    pub parent: Option<Root>,
    /// Complete packs of runs that did not end.
    pub adoptable: Vec<PackInfo>,
    /// Packs that must not be referenced: doomed or swept.
    pub avoid: BTreeSet<Id>,
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
    job: Job,
    run: RunContext,
    run_id: Id,
    level: i32,
    chunk_key: [u8; 32],
    parent: Option<(Root, Arc<Fetcher>)>,
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
            known: Known::new(run.limits.memory * 3 / 8),
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
                let fetcher = Fetcher::of_root(job, &root, run);
                shared.learn_parent(&root, &fetcher, &offer.avoid).await?;
                Some((root, fetcher))
            }
        };
        for info in offer.adoptable {
            if !offer.avoid.contains(&info.id) && !shared.by_id.contains_key(&info.id) {
                shared.adopt(job, info, run).await;
            }
        }
        shared.known.seal_old();
        let intake = Arc::new(Self {
            job: job.clone(),
            run: run.clone(),
            run_id,
            level,
            chunk_key: job.repository().key_set().id_key("chunk"),
            parent,
            shared: Mutex::new(shared),
            in_flight: Arc::new(Semaphore::new(run.limits.threads * 2 + 2)),
        });
        Ok((intake.clone(), AbortOnDrop(intake)))
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a stream that is being read.
    pub(crate) async fn store(self: &Arc<Self>, stream: Stream) -> Result<StoredStream> {
        let info = stream.info().clone();
        let before = self.parent.as_ref().and_then(|(root, _)| root.stream(&info.name)).map(|s| s.chunk);
        let chunk = chunk_size(info.cutting, info.size_hint, before, self.job.repository().chunker());
        let key = self.chunk_key;
        let batches = batches(stream, Cutter::new(chunk, self.job.repository().chunker()));
        let named = batches.map(|batch| async {
            match batch? {
                Batch::Chunks(chunks) => {
                    let name = move || chunks.into_iter().map(|c| (keyed_id(&key, &c), c)).collect();
                    Ok(Named::Chunks(self.run.compute(name).await?))
                }
                Batch::End(end) => Ok::<_, Error>(Named::End(end)),
            }
        });
        let mut named = std::pin::pin!(named.buffered(self.run.limits.threads + 1));
        let mut sink = StreamSink { tree: TreeBuilder::default(), building: None };
        let mut hasher = Box::new(blake3::Hasher::new());
        let mut length = 0;
        while let Some(batch) = named.next().await {
            self.run.check_cancelled()?;
            match batch? {
                Named::Chunks(chunks) => {
                    let chunks: Vec<(Id, Bytes)> = chunks;
                    let bytes: usize = chunks.iter().map(|(_, c)| c.len()).sum();
                    length += bytes as u64;
                    // The digest is of what goes into the index, not of what came in: the two
                    // are compared before the commit.
                    let (same, chunks) = self
                        .run
                        .compute(move || {
                            for (_, chunk) in &chunks {
                                hasher.update(chunk);
                            }
                            (hasher, chunks)
                        })
                        .await?;
                    hasher = same;
                    for (id, chunk) in chunks {
                        self.take(&mut sink, id, &chunk).await?;
                    }
                    self.run.emit(&Event::Progress { bytes: bytes as u64, stored: 0 });
                    self.upload_meta().await?;
                }
                Named::End(end) => {
                    let stored = StreamEnd { length, digest: Digest(*hasher.finalize().as_bytes()), rows: end.rows };
                    return self.end(sink, info, stored, chunk).await;
                }
            }
        }
        Err(Error::internal("a stream ended without its end mark"))
    }

    /// Takes over a stream of the parent that the connector has proved unchanged.
    pub(crate) async fn take_over(&self, info: &StreamInfo) -> Result<StoredStream> {
        let wanted =
            || Error::internal("a stream is called unchanged that the parent has not").with("stream", &info.name);
        let (root, fetcher) = self.parent.as_ref().ok_or_else(wanted)?;
        let stored = root.stream(&info.name).ok_or_else(wanted)?.clone();
        let nodes = fetcher.references(stored.levels, &stored.top).await?;
        let mut leaves = std::pin::pin!(fetcher.leaves(&stored.top));
        while let Some(leaf) = leaves.next().await {
            let leaf = leaf?;
            let mut shared = self.lock();
            for span in leaf.spans {
                let pack = *shared.by_id.get(&span.pack).ok_or_else(wanted)?;
                let state = &mut shared.packs[pack as usize];
                state.live += state.average * u64::from(span.count);
            }
        }
        let mut shared = self.lock();
        for node in &nodes {
            shared.meta.use_in_place(node);
        }
        Ok(StoredStream { info: info.clone(), ..stored })
    }

    /// Stores a stream of another repository chunk by chunk, reading only what is not there.
    pub(crate) async fn copy(
        self: &Arc<Self>,
        stored: &StoredStream,
        from: &Arc<Fetcher>,
        same_keys: bool,
    ) -> Result<StoredStream> {
        let mut sink = StreamSink { tree: TreeBuilder::default(), building: None };
        let mut leaves = std::pin::pin!(from.leaves(&stored.top));
        let mut hasher = (!same_keys).then(|| Box::new(blake3::Hasher::new()));
        while let Some(leaf) = leaves.next().await {
            self.run.check_cancelled()?;
            for at in from.chunks(&leaf?).await? {
                if !(same_keys && self.reference(&mut sink, at.id, at.length)?) {
                    let chunk = from.chunk(&at).await?;
                    if let Some(hasher) = &mut hasher {
                        hasher.update(&chunk);
                    }
                    let id = if same_keys { at.id } else { keyed_id(&self.chunk_key, &chunk) };
                    self.take(&mut sink, id, &chunk).await?;
                }
                self.run.emit(&Event::Progress { bytes: u64::from(at.length), stored: 0 });
            }
            self.upload_meta().await?;
        }
        let digest = hasher.map(|h| Digest(*h.finalize().as_bytes()));
        if digest.is_some_and(|d| d != stored.end.digest) {
            return Err(Error::corrupt("the stream is not what was backed up").with("stream", &stored.info.name));
        }
        self.end(sink, stored.info.clone(), stored.end, stored.chunk).await
    }

    /// References a chunk if it is known.
    fn reference(&self, sink: &mut StreamSink, id: Id, length: u32) -> Result<bool> {
        let mut shared = self.lock();
        let shared = &mut *shared;
        let Some(hit) = shared.known.look_up(id) else { return Ok(false) };
        let state = &mut shared.packs[hit.at.pack as usize];
        if hit.first {
            state.live += u64::from(length);
        }
        sink.tree.push(id, length, (state.id, u32::from(hit.at.block), hit.at.slot), &mut shared.meta)?;
        Ok(true)
    }

    /// References a chunk, or puts it into the stream's block.
    async fn take(self: &Arc<Self>, sink: &mut StreamSink, id: Id, chunk: &Bytes) -> Result<()> {
        let length = u32::try_from(chunk.len()).map_err(|_| Error::internal("a chunk is larger than 4 GiB"))?;
        if self.reference(sink, id, length)? {
            return Ok(());
        }
        let mut building = match sink.building.take() {
            Some(building) => building,
            None => self.new_block()?,
        };
        let slot = building.block.push(id, chunk);
        {
            let mut shared = self.lock();
            let shared = &mut *shared;
            let at = Where { pack: building.pack, block: building.number, slot };
            shared.known.add_new(id, at);
            let state = &mut shared.packs[building.pack as usize];
            state.live += u64::from(length);
            sink.tree.push(id, length, (state.id, u32::from(at.block), slot), &mut shared.meta)?;
        }
        if building.block.is_full(self.job.repository().chunker().block) {
            self.dispatch(building).await
        } else {
            sink.building = Some(building);
            Ok(())
        }
    }

    async fn end(&self, sink: StreamSink, info: StreamInfo, end: StreamEnd, chunk: u32) -> Result<StoredStream> {
        let (levels, top) = {
            let mut shared = self.lock();
            shared.spare.extend(sink.building);
            sink.tree.finish(&mut shared.meta)?
        };
        self.upload_meta().await?;
        Ok(StoredStream { info, end, chunk, levels, top })
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
            let sealed = this.run.compute(move || seal_block(&key, u32::from(number), block, level)).await?;
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

    async fn upload_meta(&self) -> Result<()> {
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

/// What has been stored of one stream.
#[derive(Debug)]
struct StreamSink {
    tree: TreeBuilder,
    building: Option<Building>,
}

enum Batch {
    Chunks(Vec<Bytes>),
    End(StreamEnd),
}

enum Named {
    Chunks(Vec<(Id, Bytes)>),
    End(StreamEnd),
}

/// The chunks of a stream, some at a time, and its end mark.
fn batches(stream: Stream, cutter: Cutter) -> impl futures::Stream<Item = Result<Batch>> {
    let state = (stream, Some(cutter), None::<StreamEnd>);
    futures::stream::try_unfold(state, |(mut stream, mut cutter, end)| async move {
        if let Some(end) = end {
            return Ok(Some((Batch::End(end), (stream, None, None))));
        }
        let Some(mut cut) = cutter.take() else { return Ok(None) };
        let mut chunks = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH {
            match stream.next().await? {
                Some(Piece::Data(data)) => {
                    bytes += data.len();
                    cut.push(data, &mut chunks);
                }
                Some(Piece::End(end)) => {
                    cut.finish(&mut chunks);
                    return Ok(Some((Batch::Chunks(chunks), (stream, None, Some(end)))));
                }
                None => return Err(Error::internal("a stream was read after its end")),
            }
        }
        Ok(Some((Batch::Chunks(chunks), (stream, Some(cut), None))))
    })
}
