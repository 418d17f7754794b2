//! Metadata packs: nodes of indexes and copies of tables, each block twice.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::Result;
use crate::id::Id;
use crate::repository::index::{Node, NodeRef, NodeSink};
use crate::repository::job::Job;
use crate::repository::pack::{Compressors, OpenBlock, PackClass, PackInfo, PackSealer, seal_block};
use crate::run::RunContext;
use crate::storage::Key;

/// A metadata pack is closed at this size, so that memory stays bounded.
pub(crate) const LARGEST_META_PACK: u64 = 4 << 20;
const LEVEL: i32 = 3;

/// A metadata pack ready to be put.
#[derive(Debug)]
pub(crate) struct ReadyPack {
    pub name: Key,
    pub object: Bytes,
    pub info: PackInfo,
}

#[derive(Debug)]
struct Current {
    sealer: PackSealer,
    head: Vec<u8>,
    body: Vec<u8>,
    block: OpenBlock,
    number: u32,
}

/// Writes nodes, or finds that the parent's index has them already.
#[derive(Debug)]
pub(crate) struct MetaWriter {
    job: Job,
    run: RunContext,
    run_id: Id,
    id_key: [u8; 32],
    /// Nodes that need not be written again, and where they lie.
    known: BTreeMap<Id, (Id, u32, u16)>,
    /// Bytes used in each metadata pack.
    live: BTreeMap<Id, u64>,
    compressors: Compressors,
    current: Option<Current>,
    ready: Vec<ReadyPack>,
}

impl MetaWriter {
    pub(crate) fn new(job: &Job, run_id: Id, run: &RunContext) -> Self {
        let id_key = job.repository().key_set().id_key("node");
        Self {
            job: job.clone(),
            run: run.clone(),
            run_id,
            id_key,
            known: BTreeMap::new(),
            live: BTreeMap::new(),
            compressors: Compressors::default(),
            current: None,
            ready: Vec::new(),
        }
    }

    /// Makes a node of the parent's index usable.
    pub(crate) fn add_known(&mut self, node: &NodeRef) {
        self.known.insert(node.id, (node.pack, node.block, node.slot));
    }

    /// Counts a node of the parent's index that is used where it lies.
    pub(crate) fn use_in_place(&mut self, node: &NodeRef) {
        *self.live.entry(node.pack).or_default() += 64;
    }

    /// Stores some bytes that are not a node: the copy of a table.
    pub(crate) fn store_bytes(&mut self, bytes: &[u8]) -> Result<NodeRef> {
        let (id, pack, block, slot) = self.place(bytes)?;
        Ok(NodeRef { id, pack, block, slot, chunks: 0, bytes: bytes.len() as u64 })
    }

    /// Whether there is a full pack to be put.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The packs that are full, to be put.
    pub(crate) fn take_ready(&mut self) -> Vec<ReadyPack> {
        std::mem::take(&mut self.ready)
    }

    /// Closes the last pack.
    pub(crate) fn close(&mut self) {
        self.close_block();
        if let Some(current) = self.current.take() {
            let Current { sealer, head, body, .. } = current;
            let name = sealer.name.clone();
            let (tail, info, _) = sealer.finish();
            let object = Bytes::from([head.as_slice(), &body, &body, &tail].concat());
            self.ready.push(ReadyPack { name, object, info });
        }
    }

    /// Bytes used in each metadata pack.
    pub(crate) fn live(&self) -> &BTreeMap<Id, u64> {
        &self.live
    }

    fn place(&mut self, bytes: &[u8]) -> Result<(Id, Id, u32, u16)> {
        let id = node_id(&self.id_key, bytes);
        if let Some((pack, block, slot)) = self.known.get(&id).copied() {
            *self.live.entry(pack).or_default() += bytes.len() as u64;
            return Ok((id, pack, block, slot));
        }
        let limit = self.job.repository().chunker();
        let largest = LARGEST_META_PACK.min(u64::from(limit.pack));
        let block_size = limit.block;
        if self.current.as_ref().is_some_and(|c| c.block.is_full(block_size)) {
            self.close_block();
        }
        if self.current.as_ref().is_some_and(|c| c.sealer.written() >= largest) {
            self.close();
        }
        if self.current.is_none() {
            let (sealer, head) = PackSealer::begin(&self.job, PackClass::Meta, self.run_id, &self.run)?;
            let block = OpenBlock::default();
            self.current = Some(Current { sealer, head, body: Vec::new(), block, number: 0 });
        }
        let current = self.current.as_mut().expect("it was made just above");
        let (pack, number) = (current.sealer.id, current.number);
        let slot = current.block.push(id, bytes);
        self.known.insert(id, (pack, number, slot));
        *self.live.entry(pack).or_default() += bytes.len() as u64;
        Ok((id, pack, number, slot))
    }

    fn close_block(&mut self) {
        let Some(current) = &mut self.current else { return };
        if current.block.slots.is_empty() {
            return;
        }
        let sealed = seal_block(
            &current.sealer.key,
            current.number,
            std::mem::take(&mut current.block),
            LEVEL,
            &self.compressors,
            Vec::new(),
        );
        current.sealer.append(&sealed);
        current.body.extend_from_slice(&sealed.bytes);
        current.number += 1;
    }
}

impl NodeSink for MetaWriter {
    fn store(&mut self, node: &Node) -> Result<(Id, Id, u32, u16)> {
        self.place(&node.encode())
    }
}

/// The id of a node or of a table's copy.
pub(crate) fn node_id(id_key: &[u8; 32], bytes: &[u8]) -> Id {
    keyed_id(id_key, bytes)
}

/// The first 16 bytes of a keyed BLAKE3.
pub(crate) fn keyed_id(key: &[u8; 32], bytes: &[u8]) -> Id {
    let hash = blake3::keyed_hash(key, bytes);
    Id(*hash.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}
