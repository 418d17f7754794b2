//! Building the tree of one stream from its chunks, bottom up.

use crate::error::Result;
use crate::id::Id;

use super::node::{Leaf, Node, NodeRef};

/// A node ends early where the last byte of an id is zero, once it has this many members…
const LEAST: usize = 64;
/// …and always at this many.
const MOST: usize = 1024;
/// As many nodes may stand in the root itself.
const TOP: usize = 64;

/// Where finished nodes go: to the metadata packs, unless the parent's index has them already.
pub(crate) trait NodeSink {
    /// Stores a node; gives its id and place.
    fn store(&mut self, node: &Node) -> Result<(Id, Id, u32, u16)>;
}

/// The tree of one stream.
#[derive(Debug, Default)]
pub(crate) struct TreeBuilder {
    leaf: Leaf,
    members: usize,
    chunks: u64,
    bytes: u64,
    levels: Vec<Vec<NodeRef>>,
}

impl TreeBuilder {
    /// Appends the next chunk of the stream.
    pub(crate) fn push(&mut self, id: Id, length: u32, at: (Id, u32, u16), sink: &mut impl NodeSink) -> Result<()> {
        self.leaf.push(at.0, at.1, at.2);
        self.members += 1;
        self.chunks += 1;
        self.bytes += u64::from(length);
        if ends(id, self.members) { self.close_leaf(sink) } else { Ok(()) }
    }

    /// Ends the stream; gives the number of levels and the topmost nodes.
    pub(crate) fn finish(mut self, sink: &mut impl NodeSink) -> Result<(u8, Vec<NodeRef>)> {
        if self.members > 0 {
            self.close_leaf(sink)?;
        }
        let mut level = 0;
        while level + 1 < self.levels.len() || self.levels.get(level).is_some_and(|l| l.len() > TOP) {
            if !self.levels[level].is_empty() {
                self.close_inner(level, sink)?;
            }
            level += 1;
        }
        let top = self.levels.pop().unwrap_or_default();
        Ok((u8::try_from(self.levels.len()).unwrap_or(u8::MAX), top))
    }

    fn close_leaf(&mut self, sink: &mut impl NodeSink) -> Result<()> {
        let node = Node::Leaf(std::mem::take(&mut self.leaf));
        let (chunks, bytes) = (std::mem::take(&mut self.chunks), std::mem::take(&mut self.bytes));
        self.members = 0;
        let (id, pack, block, slot) = sink.store(&node)?;
        self.add(0, NodeRef { id, pack, block, slot, chunks, bytes }, sink)
    }

    fn close_inner(&mut self, level: usize, sink: &mut impl NodeSink) -> Result<()> {
        let children = std::mem::take(&mut self.levels[level]);
        let (chunks, bytes) = children.iter().fold((0, 0), |(c, b), n| (c + n.chunks, b + n.bytes));
        let (id, pack, block, slot) = sink.store(&Node::Inner(children))?;
        self.add(level + 1, NodeRef { id, pack, block, slot, chunks, bytes }, sink)
    }

    fn add(&mut self, level: usize, node: NodeRef, sink: &mut impl NodeSink) -> Result<()> {
        if self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(node);
        if ends(node.id, self.levels[level].len()) { self.close_inner(level, sink) } else { Ok(()) }
    }
}

/// Ids are keyed digests, so one in 256 ends in a zero byte.
fn ends(id: Id, members: usize) -> bool {
    members >= MOST || (members >= LEAST && id.0[15] == 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Memory(BTreeMap<Id, Vec<u8>>);

    impl NodeSink for Memory {
        fn store(&mut self, node: &Node) -> Result<(Id, Id, u32, u16)> {
            let bytes = node.encode();
            let id = Id(blake3::hash(&bytes).as_bytes()[..16].try_into().unwrap());
            self.0.insert(id, bytes);
            Ok((id, Id([0; 16]), 0, 0))
        }
    }

    fn chunk_id(n: u32) -> Id {
        Id(blake3::hash(&n.to_le_bytes()).as_bytes()[..16].try_into().unwrap())
    }

    fn build(chunks: &[u32], sink: &mut Memory) -> (u8, Vec<NodeRef>) {
        let mut tree = TreeBuilder::default();
        for &n in chunks {
            tree.push(chunk_id(n), 10, (Id([1; 16]), n / 64, u16::try_from(n % 64).unwrap()), sink).unwrap();
        }
        tree.finish(sink).unwrap()
    }

    fn leaves(sink: &Memory, levels: u8, top: &[NodeRef]) -> Vec<u32> {
        let mut out = Vec::new();
        for node in top {
            match (Node::decode(&sink.0[&node.id]).unwrap(), levels) {
                (Node::Leaf(leaf), 0) => {
                    for s in leaf.spans {
                        out.extend((0..s.count).map(|i| s.block * 64 + u32::from(s.slot + i)));
                    }
                }
                (Node::Inner(children), l) => out.extend(leaves(sink, l - 1, &children)),
                _ => panic!("a leaf above the lowest level"),
            }
        }
        out
    }

    #[test]
    fn a_tree_gives_back_its_chunks_at_every_size() {
        for size in [0u32, 1, 63, 64, 1000, 100_000, 300_000] {
            let chunks: Vec<u32> = (0..size).collect();
            let mut sink = Memory::default();
            let (levels, top) = build(&chunks, &mut sink);
            assert!(top.len() <= MOST);
            assert_eq!(leaves(&sink, levels, &top), chunks);
            assert_eq!(top.iter().map(|n| n.chunks).sum::<u64>(), u64::from(size));
        }
    }

    #[test]
    fn a_small_change_adds_a_few_nodes_only() {
        let mut chunks: Vec<u32> = (0..200_000).collect();
        let mut sink = Memory::default();
        build(&chunks, &mut sink);
        let before = sink.0.len();
        chunks[77_777] = 5_000_000;
        chunks.insert(100_000, 5_000_001);
        build(&chunks, &mut sink);
        assert!(sink.0.len() - before <= 8, "{} new nodes", sink.0.len() - before);
    }
}
