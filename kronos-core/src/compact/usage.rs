//! How much of each pack is used: every chunk, node and table that some backup needs, counted once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::pipeline::{Fetcher, Fold, Visitor};
use crate::repository::index::{Leaf, NodeRef, Root};
use crate::repository::pack::Table;
use crate::run::RunContext;

/// The count over all backups of a job.
pub(super) struct Usage {
    fetcher: Arc<Fetcher>,
    fold: Fold<Counter>,
}

impl Usage {
    pub(super) fn new(fetcher: Arc<Fetcher>, run: &RunContext) -> Self {
        Self { fetcher, fold: Fold::new(Counter::default(), run.limits.memory / 8) }
    }

    /// Counts what a backup needs.
    pub(super) async fn count(&mut self, root: &Root) -> Result<()> {
        for stream in &root.streams {
            for at in &stream.top {
                self.fold.visit(&self.fetcher, *at, stream.levels).await?;
            }
        }
        for copy in root.packs.iter().filter_map(|p| p.table_copy) {
            self.fold.visitor.node(&self.fetcher, &copy).await?;
        }
        Ok(())
    }

    /// Less than half of what is in the pack is used.
    pub(super) fn is_sparse(&self, pack: Id) -> bool {
        self.fold.visitor.packs.get(&pack).is_none_or(|p| 2 * p.used < p.total)
    }

    /// Bytes used, before compression.
    pub(super) fn used(&self, pack: Id) -> u64 {
        self.fold.visitor.packs.get(&pack).map_or(0, |p| p.used)
    }
}

/// One pack: a bit for each of its slots.
#[derive(Debug)]
struct Marks {
    /// The number of each block's first slot.
    starts: Vec<u32>,
    bits: Vec<u64>,
    used: u64,
    total: u64,
}

impl Marks {
    fn of(table: &Table) -> Self {
        let (mut starts, mut slots) = (Vec::with_capacity(table.blocks.len()), 0);
        for block in &table.blocks {
            starts.push(slots);
            slots += u32::try_from(block.slots.len()).unwrap_or(u32::MAX);
        }
        let total = table.blocks.iter().map(crate::repository::pack::BlockEntry::plain).sum();
        Self { starts, bits: vec![0; slots as usize / 64 + 1], used: 0, total }
    }

    fn mark(&mut self, table: &Table, block: u32, slot: u16) -> Option<()> {
        let length = table.blocks.get(block as usize)?.slots.get(usize::from(slot))?.length;
        let at = self.starts.get(block as usize)? + u32::from(slot);
        let (word, bit) = (self.bits.get_mut(at as usize / 64)?, 1 << (at % 64));
        if *word & bit == 0 {
            *word |= bit;
            self.used += u64::from(length);
        }
        Some(())
    }
}

#[derive(Debug, Default)]
struct Counter {
    packs: BTreeMap<Id, Marks>,
}

impl Counter {
    fn mark(&mut self, pack: Id, table: &Table, block: u32, slots: std::ops::Range<u16>) -> Result<()> {
        let marks = self.packs.entry(pack).or_insert_with(|| Marks::of(table));
        for slot in slots {
            marks
                .mark(table, block, slot)
                .ok_or_else(|| Error::corrupt("an index names a chunk that is not there").with("pack", pack))?;
        }
        Ok(())
    }

    async fn node(&mut self, fetcher: &Fetcher, at: &NodeRef) -> Result<()> {
        let table = fetcher.meta_table(at.pack).await?;
        self.mark(at.pack, &table, at.block, at.slot..at.slot.saturating_add(1))
    }
}

impl Visitor for Counter {
    type Out = ();

    fn weight((): &()) -> usize {
        0
    }

    fn whereabouts(&self, at: &NodeRef) -> NodeRef {
        *at
    }

    async fn leaf(&mut self, fetcher: &Fetcher, at: &NodeRef, leaf: Leaf) -> Result<()> {
        for span in &leaf.spans {
            let table = fetcher.table(span.pack).await?;
            self.mark(span.pack, &table, span.block, span.slot..span.slot.saturating_add(span.count))?;
        }
        self.node(fetcher, at).await
    }

    async fn inner(&mut self, fetcher: &Fetcher, at: &NodeRef, _: &[(NodeRef, ())]) -> Result<()> {
        self.node(fetcher, at).await
    }

    fn unreadable(&mut self, _: &NodeRef, error: Error) -> Result<()> {
        Err(error)
    }
}
