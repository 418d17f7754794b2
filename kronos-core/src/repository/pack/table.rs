//! The table of a pack: where each block lies and which chunks it holds.

use crate::id::Id;
use crate::repository::codec::{Decoder, Encoder};

/// One chunk in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub id: Id,
    pub length: u32,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BlockEntry {
    /// From the beginning of the blocks.
    pub offset: u64,
    /// Sealed.
    pub length: u32,
    pub compressed: bool,
    pub slots: Vec<Slot>,
}

impl BlockEntry {
    /// Bytes of its chunks.
    pub(crate) fn plain(&self) -> u64 {
        self.slots.iter().map(|s| u64::from(s.length)).sum()
    }

    /// Where it lies, from the beginning of the blocks.
    pub(crate) fn range(&self) -> std::ops::Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.length))
    }
}

/// The table of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// The run that wrote the pack.
    pub run: Id,
    pub blocks: Vec<BlockEntry>,
}

impl Table {
    /// How many chunks the pack holds.
    pub(crate) fn chunks(&self) -> usize {
        self.blocks.iter().map(|b| b.slots.len()).sum()
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.blocks.iter().map(|b| size_of::<BlockEntry>() + b.slots.len() * size_of::<Slot>()).sum()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.id(&self.run);
        e.number(self.blocks.len() as u64);
        for block in &self.blocks {
            e.number(block.offset);
            e.number(u64::from(block.length));
            e.number(u64::from(block.compressed));
            e.number(block.slots.len() as u64);
            for slot in &block.slots {
                e.id(&slot.id);
                e.number(u64::from(slot.length));
            }
        }
        e.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder(bytes);
        let run = d.id()?;
        let count = d.count(4)?;
        let mut blocks = Vec::with_capacity(count);
        for _ in 0..count {
            let offset = d.number()?;
            let length = d.small()?;
            let compressed = match d.byte()? {
                0 => false,
                1 => true,
                _ => return None,
            };
            let slots = d.count(17)?;
            let slots = (0..slots).map(|_| Some(Slot { id: d.id()?, length: d.small()? })).collect::<Option<_>>()?;
            blocks.push(BlockEntry { offset, length, compressed, slots });
        }
        d.end()?;
        Some(Self { run, blocks })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_table_goes_there_and_back() {
        let slot = |n| Slot { id: Id([n; 16]), length: u32::from(n) * 1000 };
        let block = BlockEntry { offset: 300, length: 70_000, compressed: true, slots: vec![slot(1), slot(200)] };
        let table = Table { run: Id([7; 16]), blocks: vec![block, BlockEntry::default()] };
        assert_eq!(Table::decode(&table.encode()), Some(table));
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(bytes: Vec<u8>) {
            let _ = Table::decode(&bytes);
        }
    }
}
