//! Writing packs: gathering chunks into blocks, sealing blocks, closing a pack.

use std::sync::{Mutex, PoisonError};

use zstd::bulk::Compressor;

use crate::error::Result;
use crate::id::Id;
use crate::repository::job::Job;
use crate::repository::seal::{self, ObjectKey, TAG};
use crate::repository::wrap_pack_key;
use crate::run::RunContext;
use crate::storage::Key;

use super::{BlockEntry, FOOTER_MAGIC, PackClass, PackInfo, Slot, TABLE_NUMBER, Table, name_of};

/// Chunks being gathered, plain.
#[derive(Debug, Default)]
pub(crate) struct OpenBlock {
    pub bytes: Vec<u8>,
    pub slots: Vec<Slot>,
}

impl OpenBlock {
    /// Appends a chunk; gives its slot.
    pub(crate) fn push(&mut self, id: Id, chunk: &[u8]) -> u16 {
        let slot = u16::try_from(self.slots.len()).expect("a block is closed before it has 65,536 chunks");
        self.bytes.extend_from_slice(chunk);
        self.slots.push(Slot { id, length: u32::try_from(chunk.len()).expect("a chunk is smaller than 4 GiB") });
        slot
    }

    /// Whether the next chunk belongs into the next block.
    pub(crate) fn is_full(&self, block_size: u32) -> bool {
        self.bytes.len() >= block_size as usize || self.slots.len() >= usize::from(u16::MAX)
    }
}

/// A block ready to be appended to its pack.
#[derive(Debug)]
pub(crate) struct SealedBlock {
    pub number: u32,
    pub bytes: Vec<u8>,
    pub compressed: bool,
    pub slots: Vec<Slot>,
}

/// Contexts of the compressor, used again and again: each takes a megabyte.
#[derive(Default)]
pub(crate) struct Compressors(Mutex<Vec<Context>>);

struct Context {
    compressor: Compressor<'static>,
    /// Whether its last block became smaller. If so, the next one needs no trial.
    gained: bool,
}

impl std::fmt::Debug for Compressors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressors").finish_non_exhaustive()
    }
}

/// Samples of a block: so many, so long, from all over it. A database's pages are no longer than that.
const SAMPLES: usize = 16;
const SAMPLE: usize = 4 << 10;
/// Blocks of which the samples are a small part.
const SAMPLED: usize = 4 * SAMPLES * SAMPLE;

impl Compressors {
    /// Compresses into `room`, unless that gains nothing.
    fn compress(&self, plain: &[u8], level: i32, room: &mut Vec<u8>) -> bool {
        let pool = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = pool().pop();
        let new = || Some(Context { compressor: Compressor::new(level).ok()?, gained: false });
        let Some(mut context) = taken.or_else(new) else { return false };
        // A context that has failed refuses what comes after.
        let Ok(gained) = context.compress(plain, level, room) else { return false };
        context.gained = gained;
        pool().push(context);
        gained
    }
}

impl Context {
    fn compress(&mut self, plain: &[u8], level: i32, room: &mut Vec<u8>) -> std::io::Result<bool> {
        // What is compressed or encrypted already would cost a quarter of a backup's work for nothing.
        let is_tried = !self.gained && plain.len() >= SAMPLED;
        if is_tried && !self.gains(&samples(plain), 1, room)? {
            return Ok(false);
        }
        self.gains(plain, level, room)
    }

    fn gains(&mut self, plain: &[u8], level: i32, room: &mut Vec<u8>) -> std::io::Result<bool> {
        room.clear();
        // Room for whatever comes out, and for what sealing appends.
        room.reserve_exact(zstd::zstd_safe::compress_bound(plain.len()) + TAG);
        self.compressor.set_compression_level(level)?;
        let length = self.compressor.compress_to_buffer(plain, room)?;
        Ok(length < plain.len() - plain.len() / 32)
    }
}

fn samples(plain: &[u8]) -> Vec<u8> {
    let step = (plain.len() - SAMPLE) / (SAMPLES - 1);
    (0..SAMPLES).map(|n| &plain[n * step..n * step + SAMPLE]).collect::<Vec<_>>().concat()
}

/// Compresses a block, or keeps it as it is when that gains nothing, and seals it. `room` is memory
/// that may be used.
pub(crate) fn seal_block(
    key: &ObjectKey,
    number: u32,
    block: OpenBlock,
    level: i32,
    compressors: &Compressors,
    mut room: Vec<u8>,
) -> SealedBlock {
    let plain = block.bytes;
    let compressed = compressors.compress(&plain, level, &mut room);
    let mut bytes = if compressed { room } else { plain };
    key.seal(u64::from(number), &mut bytes);
    SealedBlock { number, bytes, compressed, slots: block.slots }
}

/// A pack being written: its key, and the table of what has been appended.
#[derive(Debug)]
pub(crate) struct PackSealer {
    pub id: Id,
    pub class: PackClass,
    pub name: Key,
    pub key: std::sync::Arc<ObjectKey>,
    table_key: ObjectKey,
    run: Id,
    start: u32,
    offset: u64,
    blocks: Vec<BlockEntry>,
}

impl PackSealer {
    /// Begins a pack; gives its first bytes as well.
    pub(crate) fn begin(job: &Job, class: PackClass, run_id: Id, run: &RunContext) -> Result<(Self, Vec<u8>)> {
        let id = Id(run.random());
        let name = name_of(job, class, id);
        let place = job.place(class.kind(), name.clone());
        let salt = run.random::<32>();
        let recipients = job.repository().recipients();
        let keys = job.repository().key_set();
        let (key, wrapped) = match (class, keys.data) {
            (PackClass::Meta, _) => (ObjectKey::derive(keys.meta.bytes(), &salt, &place), Vec::new()),
            (PackClass::Data, Some(data)) if recipients.is_empty() => {
                (ObjectKey::derive(data.bytes(), &salt, &place), Vec::new())
            }
            (PackClass::Data, _) => {
                let raw = run.random::<32>();
                (ObjectKey::from_raw(&raw, &place), wrap_pack_key(recipients, &raw)?)
            }
        };
        let mut head = seal::header(class.kind(), &salt);
        head.extend_from_slice(&(u32::try_from(wrapped.len()).unwrap_or(u32::MAX)).to_le_bytes());
        head.extend_from_slice(&wrapped);
        let start = u32::try_from(head.len()).expect("a wrapped key is a few hundred bytes");
        let key = std::sync::Arc::new(key);
        let table_key = ObjectKey::derive(keys.meta.bytes(), &salt, &place);
        Ok((Self { id, class, name, key, table_key, run: run_id, start, offset: 0, blocks: Vec::new() }, head))
    }

    /// Notes a block that is appended now. Blocks may come in any order of their numbers.
    pub(crate) fn append(&mut self, block: &SealedBlock) {
        let at = block.number as usize;
        if self.blocks.len() <= at {
            self.blocks.resize_with(at + 1, BlockEntry::default);
        }
        self.blocks[at] = BlockEntry {
            offset: self.offset,
            length: u32::try_from(block.bytes.len()).expect("a sealed block is smaller than 4 GiB"),
            compressed: block.compressed,
            slots: block.slots.clone(),
        };
        self.offset += block.bytes.len() as u64;
    }

    /// Bytes of blocks so far.
    pub(crate) fn written(&self) -> u64 {
        self.offset
    }

    /// The last bytes of the pack (tables and footer), its description, and its table.
    pub(crate) fn finish(self) -> (Vec<u8>, PackInfo, Table) {
        let table = Table { run: self.run, blocks: self.blocks };
        let mut sealed = table.encode();
        self.table_key.seal(TABLE_NUMBER, &mut sealed);
        let length = u32::try_from(sealed.len()).expect("a table is a few megabytes");
        let copies = self.class.copies();
        let mut tail = Vec::with_capacity(sealed.len() * 2 + super::FOOTER);
        for _ in 0..copies {
            tail.extend_from_slice(&sealed);
        }
        tail.extend_from_slice(&length.to_le_bytes());
        tail.extend_from_slice(&self.offset.to_le_bytes());
        tail.push(u8::try_from(copies).unwrap_or(u8::MAX));
        tail.extend_from_slice(FOOTER_MAGIC);
        let size = u64::from(self.start) + self.offset * copies + tail.len() as u64;
        (tail, PackInfo { id: self.id, class: self.class, size, table: length, start: self.start }, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that no compressor makes fewer.
    fn noise(length: usize) -> Vec<u8> {
        let mut hash = blake3::Hasher::new().finalize_xof();
        let mut bytes = vec![0; length];
        hash.fill(&mut bytes);
        bytes
    }

    #[test]
    fn only_what_gains_nothing_is_kept_as_it_is() {
        let compressors = Compressors::default();
        let gains = |plain: &[u8]| compressors.compress(plain, 3, &mut Vec::new());
        let large = noise(SAMPLED + 4321);
        assert!(!gains(&large) && !gains(&large[..10_000]));
        // A tenth of each page, a fifth of all pages: whatever is spread is met by some samples.
        let pages = |empty: &dyn Fn(usize, usize) -> bool| {
            let mut bytes = large.clone();
            bytes.iter_mut().enumerate().filter(|(at, _)| empty(at / SAMPLE, at % SAMPLE)).for_each(|(_, b)| *b = 0);
            bytes
        };
        assert!(gains(&pages(&|_, at| at < SAMPLE / 10)));
        assert!(gains(&pages(&|page, _| page % 5 == 1)));
        assert!(gains(&vec![7; SAMPLED]) && gains(&vec![7; 1000]));
    }
}
