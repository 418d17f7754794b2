//! Reading a backup: nodes, tables, blocks and chunks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::id::Id;
use crate::repository::index::{Leaf, Node, NodeRef, PackUse, Root, Span};
use crate::repository::job::Job;
use crate::repository::pack::{BlockEntry, PackClass, PackInfo, PackReader, Table, read_range};
use crate::run::RunContext;

use super::cache::Cache;
use super::meta::keyed_id;

/// One chunk of a stream, and where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkAt {
    pub id: Id,
    pub length: u32,
    pub pack: Id,
    pub block: u32,
    pub slot: u16,
}

/// So much memory is taken for a block before it has been authenticated.
const LARGEST_ROOM: usize = 1 << 20;

/// A block in the clear, checked.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    bytes: Bytes,
    /// Where each chunk begins, and the end.
    starts: Arc<Vec<usize>>,
}

impl Plain {
    /// About how many bytes it takes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + self.starts.len() * size_of::<usize>()
    }

    /// The bytes of a run of its chunks.
    pub(super) fn span(&self, span: &Span) -> Result<Bytes> {
        let (from, to) = (usize::from(span.slot), usize::from(span.slot) + usize::from(span.count));
        match (self.starts.get(from), self.starts.get(to)) {
            (Some(from), Some(to)) => Ok(self.bytes.slice(*from..*to)),
            _ => Err(Error::corrupt("an index names a chunk that is not there").with("pack", span.pack)),
        }
    }
}

/// Reads from the packs of one root. Everything that leaves it has been authenticated.
#[derive(Debug)]
pub(crate) struct Fetcher {
    job: Job,
    pub(super) run: RunContext,
    packs: BTreeMap<Id, PackUse>,
    chunk_key: [u8; 32],
    node_key: [u8; 32],
    readers: Cache<Id, Arc<PackReader>>,
    tables: Cache<Id, Arc<Table>>,
    blocks: Cache<(Id, u32), Plain>,
}

impl Fetcher {
    /// Keeps tables and blocks of metadata in about a quarter of `memory`.
    pub(crate) fn new(job: &Job, packs: impl IntoIterator<Item = PackUse>, memory: u64, run: &RunContext) -> Arc<Self> {
        let share = |of: u64| usize::try_from(memory / of).unwrap_or(usize::MAX);
        let keys = job.repository().key_set();
        Arc::new(Self {
            job: job.clone(),
            run: run.clone(),
            packs: packs.into_iter().map(|p| (p.info.id, p)).collect(),
            chunk_key: keys.id_key("chunk"),
            node_key: keys.id_key("node"),
            readers: Cache::new(1024, |_| 1),
            tables: Cache::new(share(8), |table| table.memory()),
            blocks: Cache::new(share(8), Plain::memory),
        })
    }

    pub(crate) fn of_root(job: &Job, root: &Root, run: &RunContext) -> Arc<Self> {
        Self::new(job, root.packs.iter().copied(), run.limits.memory, run)
    }

    /// Bytes of a block in the clear, but for one with a larger chunk.
    pub(super) fn block_size(&self) -> u32 {
        self.job.repository().chunker().block
    }

    /// Bytes of the blocks that streams have begun and not finished.
    pub(super) fn open_memory(&self) -> u64 {
        self.run.limits.memory / 4
    }

    pub(super) fn pack_use(&self, pack: Id) -> Result<&PackUse> {
        self.packs
            .get(&pack)
            .ok_or_else(|| Error::corrupt("an index names a pack that its root does not").with("pack", pack))
    }

    pub(super) async fn reader(&self, info: PackInfo) -> Result<Arc<PackReader>> {
        let open = async { PackReader::open(&self.job, info, &self.run).await.map(Arc::new) };
        self.readers.get(info.id, Box::pin(open)).await
    }

    /// The table of a pack: from the metadata if it is there, else from the pack's own end.
    pub(crate) async fn table(&self, pack: Id) -> Result<Arc<Table>> {
        let used = *self.pack_use(pack)?;
        // Boxed, here and below: these futures hold one another, and grow to tens of kilobytes.
        self.tables
            .get(
                pack,
                Box::pin(async {
                    if let Some(copy) = used.table_copy {
                        match self.meta_slot(&copy).await {
                            Ok(bytes) => {
                                let table = Table::decode(&bytes);
                                return table
                                    .map(Arc::new)
                                    .ok_or_else(|| Error::corrupt("a table's copy is malformed"));
                            }
                            Err(e) if e.kind() == ErrorKind::Corrupt => {}
                            Err(e) => return Err(e),
                        }
                    }
                    self.own_table(used.info).await
                }),
            )
            .await
    }

    /// The table of a metadata pack.
    pub(crate) async fn meta_table(&self, pack: Id) -> Result<Arc<Table>> {
        let info = self.pack_use(pack)?.info;
        self.tables.get(pack, Box::pin(self.own_table(info))).await
    }

    async fn own_table(&self, info: PackInfo) -> Result<Arc<Table>> {
        let reader = self.reader(info).await?;
        Ok(Arc::new(reader.table(&self.job, &self.run).await?))
    }

    /// The bytes of a node or of a table's copy.
    pub(crate) async fn meta_slot(&self, at: &NodeRef) -> Result<Bytes> {
        let info = self.pack_use(at.pack)?.info;
        if info.class != PackClass::Meta {
            return Err(Error::corrupt("an index refers to a node in a data pack").with("pack", at.pack));
        }
        let table = self.tables.get(at.pack, Box::pin(self.own_table(info))).await?;
        let plain = self.block(info, at.block, &table).await?;
        let slot = usize::from(at.slot);
        let known = table.blocks.get(at.block as usize).and_then(|b| b.slots.get(slot));
        if known.is_none_or(|s| s.id != at.id) {
            return Err(Error::corrupt("an index refers to another node than it names").with("pack", at.pack));
        }
        Ok(plain.bytes.slice(plain.starts[slot]..plain.starts[slot + 1]))
    }

    pub(crate) async fn node(&self, at: &NodeRef) -> Result<Node> {
        let bytes = self.meta_slot(at).await?;
        Node::decode(&bytes).ok_or_else(|| Error::corrupt("a node of an index is malformed").with("pack", at.pack))
    }

    async fn block(&self, info: PackInfo, number: u32, table: &Arc<Table>) -> Result<Plain> {
        self.blocks.get((info.id, number), Box::pin(self.load_block(info, number, table.clone()))).await
    }

    async fn load_block(&self, info: PackInfo, number: u32, table: Arc<Table>) -> Result<Plain> {
        let reader = self.reader(info).await?;
        let bad = |message: &str| Error::corrupt(message).with("object", &reader.name).with("block", number);
        let entry = table.blocks.get(number as usize).ok_or_else(|| bad("an index names a block that is not there"))?;
        let mut last = bad("the pack's sizes do not fit together");
        for copy in 0..info.class.copies() {
            let Some(range) = reader.range(&entry.range(), copy) else { break };
            let read = async {
                let sealed = read_range(&self.job, &reader.name, range, &self.run).await?;
                self.open(reader.clone(), number, table.clone(), sealed, true).await
            };
            match read.await {
                Err(e) if e.kind() == ErrorKind::Corrupt => last = e,
                done => return done,
            }
        }
        Err(last)
    }

    /// Bytes of a data pack, counted from the beginning of its blocks.
    pub(super) async fn sealed(&self, reader: &PackReader, range: &Range<u64>) -> Result<Bytes> {
        let range = reader
            .range(range, 0)
            .ok_or_else(|| Error::corrupt("the pack's sizes do not fit together").with("object", &reader.name))?;
        read_range(&self.job, &reader.name, range, &self.run).await
    }

    /// Opens a block. With `ids` every chunk in it is compared with its id.
    pub(super) async fn open(
        &self,
        reader: Arc<PackReader>,
        number: u32,
        table: Arc<Table>,
        sealed: Bytes,
        ids: bool,
    ) -> Result<Plain> {
        let key = if reader.info.class == PackClass::Meta { self.node_key } else { self.chunk_key };
        let key = ids.then_some(key);
        let stored = sealed.len() as u64;
        let expected = table.blocks.get(number as usize).map_or(0, BlockEntry::plain);
        // All memory is taken here, not by the threads that compute: each would keep a store of its own.
        let room = Vec::with_capacity(usize::try_from(expected).unwrap_or(usize::MAX).min(LARGEST_ROOM));
        let sealed = sealed.to_vec();
        let plain = self.run.compute(move || open_block(&reader, number, &table, sealed, room, key.as_ref())).await??;
        self.run.emit(&Event::Progress { bytes: 0, stored });
        Ok(plain)
    }

    /// The chunks of a run of them.
    async fn span(&self, span: Span) -> Result<Bytes> {
        let info = self.pack_use(span.pack)?.info;
        let table = self.table(span.pack).await?;
        self.block(info, span.block, &table).await?.span(&span)
    }

    /// Runs of chunks, each chunk with its id.
    pub(crate) async fn chunks(&self, spans: &[Span]) -> Result<Vec<ChunkAt>> {
        let mut chunks = Vec::new();
        for span in spans {
            let table = self.table(span.pack).await?;
            let slots = table.blocks.get(span.block as usize).map_or(&[][..], |b| &b.slots);
            for slot in span.slot..span.slot.saturating_add(span.count) {
                let Some(found) = slots.get(usize::from(slot)) else {
                    return Err(Error::corrupt("an index names a chunk that is not there").with("pack", span.pack));
                };
                let (pack, block) = (span.pack, span.block);
                chunks.push(ChunkAt { id: found.id, length: found.length, pack, block, slot });
            }
        }
        Ok(chunks)
    }

    /// How many bytes a run of chunks has, as the table tells.
    pub(crate) async fn lengths(&self, span: &Span) -> Result<u64> {
        let table = self.table(span.pack).await?;
        let from = usize::from(span.slot);
        let block = table.blocks.get(span.block as usize);
        let slots = block.and_then(|b| b.slots.get(from..from + usize::from(span.count)));
        slots
            .map(|slots| slots.iter().map(|s| u64::from(s.length)).sum())
            .ok_or_else(|| Error::corrupt("an index names a chunk that is not there").with("pack", span.pack))
    }

    /// The bytes of one chunk.
    pub(crate) async fn chunk(&self, at: &ChunkAt) -> Result<Bytes> {
        self.span(Span { pack: at.pack, block: at.block, slot: at.slot, count: 1 }).await
    }

    /// The leaves below some nodes, in order.
    pub(crate) fn leaves(
        self: &Arc<Self>,
        top: &[NodeRef],
    ) -> impl futures::Stream<Item = Result<Leaf>> + Send + use<> {
        let stack: Vec<NodeRef> = top.iter().rev().copied().collect();
        futures::stream::try_unfold((self.clone(), stack), |(fetcher, mut stack)| async move {
            while let Some(at) = stack.pop() {
                match fetcher.node(&at).await? {
                    Node::Leaf(leaf) => return Ok(Some((leaf, (fetcher, stack)))),
                    Node::Inner(children) => stack.extend(children.iter().rev()),
                }
            }
            Ok(None)
        })
    }

    /// Every inner node and leaf reference below some nodes, without reading the leaves.
    pub(crate) async fn references(&self, levels: u8, top: &[NodeRef]) -> Result<Vec<NodeRef>> {
        let mut all = top.to_vec();
        let mut level = top.to_vec();
        for _ in 0..levels {
            let mut next = Vec::new();
            for at in &level {
                match self.node(at).await? {
                    Node::Inner(children) => next.extend(children),
                    Node::Leaf(_) => return Err(Error::corrupt("an index has a leaf where a node should be")),
                }
            }
            all.extend_from_slice(&next);
            level = next;
        }
        Ok(all)
    }
}

/// Opens a block and, with a key, checks the id of every chunk in it.
fn open_block(
    reader: &PackReader,
    number: u32,
    table: &Table,
    sealed: Vec<u8>,
    room: Vec<u8>,
    key: Option<&[u8; 32]>,
) -> Result<Plain> {
    let bad = || Error::corrupt("a block is malformed").with("object", &reader.name).with("block", number);
    let entry = table.blocks.get(number as usize).ok_or_else(bad)?;
    let bytes = Bytes::from(reader.open_block(number, entry, sealed, room)?);
    let mut starts = Vec::with_capacity(entry.slots.len() + 1);
    let mut at = 0;
    starts.push(0);
    for slot in &entry.slots {
        let end = at + slot.length as usize;
        if bytes.get(at..end).is_none_or(|chunk| key.is_some_and(|key| keyed_id(key, chunk) != slot.id)) {
            return Err(bad());
        }
        at = end;
        starts.push(at);
    }
    Ok(Plain { bytes, starts: Arc::new(starts) })
}
