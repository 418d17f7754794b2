//! Rewriting indexes: the same chunks in other places. Nodes that backups share are rewritten
//! once, and those under which nothing moves stay where they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::repository::index::{Leaf, Node, NodeRef};

use super::fetch::{ChunkAt, Fetcher};
use super::fold::Visitor;
use super::intake::{ChunkPlace, Intake};

/// What moves, and where to.
pub(crate) trait Relocation: Send {
    /// Whether chunks of a pack may move.
    fn affects(&self, pack: Id) -> bool;

    /// The new place of a chunk of such a pack; `None` when it stays.
    fn chunk<'a>(
        &'a mut self,
        fetcher: &'a Fetcher,
        at: &'a ChunkAt,
    ) -> impl Future<Output = Result<Option<ChunkPlace>>> + Send + 'a;

    /// Whether a chunk or node that stays there is lost.
    fn is_lost(&self, pack: Id, block: u32) -> bool;

    /// Where a node can be read.
    fn whereabouts(&self, at: &NodeRef) -> NodeRef;

    /// Whether a node must be written anew, although nothing in it changes.
    fn renews(&self, at: &NodeRef) -> bool;

    /// Called before what has been written is uploaded.
    fn flush(&mut self);

    /// Whether what cannot be read is left as it is; otherwise the error ends the rewriting.
    fn tolerates(&self) -> bool;
}

/// A node after the rewriting.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub node: NodeRef,
    /// The packs below it and about how much of each is used, by number.
    pub packs: Box<[(u32, u64)]>,
    /// Everything below it is there. If it is not, `packs` may lack some.
    pub whole: bool,
}

/// Rewrites nodes.
#[derive(Debug)]
pub(crate) struct Rewriter<R> {
    pub relocation: R,
    pub intake: Arc<Intake>,
    numbers: BTreeMap<Id, u32>,
    ids: Vec<Id>,
}

impl<R: Relocation> Rewriter<R> {
    pub(crate) fn new(relocation: R, intake: Arc<Intake>) -> Self {
        Self { relocation, intake, numbers: BTreeMap::new(), ids: Vec::new() }
    }

    fn number(&mut self, pack: Id) -> u32 {
        let ids = &mut self.ids;
        *self.numbers.entry(pack).or_insert_with(|| {
            ids.push(pack);
            u32::try_from(ids.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// The pack of a number.
    pub(crate) fn pack(&self, number: u32) -> Id {
        self.ids[number as usize]
    }

    /// The node as it is now: at its place, elsewhere, or written anew.
    fn settle(&self, at: &NodeRef, node: &Node, changed: bool) -> Result<NodeRef> {
        let there = self.relocation.whereabouts(at);
        if !changed && !self.relocation.renews(&there) {
            return Ok(there);
        }
        let (id, pack, block, slot) = self.intake.store_node(node)?;
        Ok(NodeRef { id, pack, block, slot, ..*at })
    }
}

impl<R: Relocation> Visitor for Rewriter<R> {
    type Out = Arc<Rewritten>;

    fn weight(out: &Self::Out) -> usize {
        size_of::<Rewritten>() + out.packs.len() * size_of::<(u32, u64)>()
    }

    fn whereabouts(&self, at: &NodeRef) -> NodeRef {
        self.relocation.whereabouts(at)
    }

    async fn leaf(&mut self, fetcher: &Fetcher, at: &NodeRef, leaf: Leaf) -> Result<Self::Out> {
        let average = at.bytes.checked_div(at.chunks).unwrap_or(0).max(1);
        let (mut changed, mut whole) = (false, true);
        let mut new = Leaf::default();
        let mut packs: BTreeMap<u32, u64> = BTreeMap::new();
        for span in &leaf.spans {
            let moving = if self.relocation.affects(span.pack) {
                match fetcher.chunks(std::slice::from_ref(span)).await {
                    Ok(chunks) => chunks,
                    Err(e) if e.kind() == ErrorKind::Corrupt && self.relocation.tolerates() => Vec::new(),
                    Err(e) => return Err(e),
                }
            } else {
                Vec::new()
            };
            for n in 0..span.count {
                let old = (span.pack, span.block, span.slot + n);
                let moved = match moving.get(usize::from(n)) {
                    Some(chunk) => self.relocation.chunk(fetcher, chunk).await?,
                    None => None,
                };
                let place = moved.unwrap_or(old);
                changed |= place != old;
                whole &= moved.is_some() || !self.relocation.is_lost(old.0, old.1);
                new.push(place.0, place.1, place.2);
                *packs.entry(self.number(place.0)).or_default() += average;
            }
        }
        let node = self.settle(at, &Node::Leaf(new), changed)?;
        self.intake.upload_meta().await?;
        Ok(Arc::new(Rewritten { node, packs: packs.into_iter().collect(), whole }))
    }

    async fn inner(&mut self, _: &Fetcher, at: &NodeRef, below: &[(NodeRef, Self::Out)]) -> Result<Self::Out> {
        let mut packs: BTreeMap<u32, u64> = BTreeMap::new();
        for (_, new) in below {
            *packs.entry(self.number(new.node.pack)).or_default() += 64;
            for (pack, bytes) in &new.packs {
                *packs.entry(*pack).or_default() += bytes;
            }
        }
        let changed = below.iter().any(|(old, new)| *old != new.node);
        let whole = below.iter().all(|(_, new)| new.whole);
        let children = below.iter().map(|(_, new)| new.node).collect();
        let node = self.settle(at, &Node::Inner(children), changed)?;
        self.intake.upload_meta().await?;
        Ok(Arc::new(Rewritten { node, packs: packs.into_iter().collect(), whole }))
    }

    fn unreadable(&mut self, at: &NodeRef, error: Error) -> Result<Self::Out> {
        if error.kind() != ErrorKind::Corrupt || !self.relocation.tolerates() {
            return Err(error);
        }
        Ok(Arc::new(Rewritten { node: *at, packs: Box::default(), whole: false }))
    }
}
