//! Nodes of an index, and how they are written.

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::repository::codec::{Decoder, Encoder};

/// Some consecutive chunks of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub pack: Id,
    pub block: u32,
    pub slot: u16,
    pub count: u16,
}

/// A node of an index, named by its parent node or by the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRef {
    /// Keyed digest of its bytes.
    pub id: Id,
    /// The metadata pack it lies in.
    pub pack: Id,
    pub block: u32,
    pub slot: u16,
    /// Chunks and bytes of the stream below it.
    pub chunks: u64,
    pub bytes: u64,
}

/// Runs of chunks, in the order of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Leaf {
    pub spans: Vec<Span>,
}

/// A leaf, or the nodes of the level below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Leaf(Leaf),
    Inner(Vec<NodeRef>),
}

impl Leaf {
    /// Appends one chunk.
    pub(crate) fn push(&mut self, pack: Id, block: u32, slot: u16) {
        if let Some(last) = self.spans.last_mut() {
            let follows = last.pack == pack && last.block == block && last.slot.checked_add(last.count) == Some(slot);
            if follows && last.count < u16::MAX {
                last.count += 1;
                return;
            }
        }
        self.spans.push(Span { pack, block, slot, count: 1 });
    }
}

/// Ids are written once, at the head; the rest refers to them by number.
fn write_ids(e: &mut Encoder, ids: impl Iterator<Item = Id>) -> Vec<Id> {
    let mut distinct: Vec<Id> = Vec::new();
    for id in ids {
        if !distinct.contains(&id) {
            distinct.push(id);
        }
    }
    e.number(distinct.len() as u64);
    for id in &distinct {
        e.id(id);
    }
    distinct
}

fn read_ids(d: &mut Decoder<'_>) -> Option<Vec<Id>> {
    let count = d.count(16)?;
    (0..count).map(|_| d.id()).collect()
}

fn number_of(ids: &[Id], id: Id) -> u64 {
    ids.iter().position(|i| *i == id).map_or(u64::MAX, |n| n as u64)
}

fn look_up(ids: &[Id], d: &mut Decoder<'_>) -> Option<Id> {
    ids.get(usize::try_from(d.number()?).ok()?).copied()
}

impl Node {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        match self {
            Self::Leaf(leaf) => {
                e.0.push(0);
                let ids = write_ids(&mut e, leaf.spans.iter().map(|s| s.pack));
                e.number(leaf.spans.len() as u64);
                for span in &leaf.spans {
                    e.number(number_of(&ids, span.pack));
                    e.number(u64::from(span.block));
                    e.number(u64::from(span.slot));
                    e.number(u64::from(span.count));
                }
            }
            Self::Inner(children) => {
                e.0.push(1);
                let ids = write_ids(&mut e, children.iter().map(|c| c.pack));
                e.number(children.len() as u64);
                for child in children {
                    e.id(&child.id);
                    e.number(number_of(&ids, child.pack));
                    e.number(u64::from(child.block));
                    e.number(u64::from(child.slot));
                    e.number(child.chunks);
                    e.number(child.bytes);
                }
            }
        }
        e.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder(bytes);
        let level = d.byte()?;
        let ids = read_ids(&mut d)?;
        let node = match level {
            0 => {
                let count = d.count(4)?;
                let span = |d: &mut Decoder<'_>| {
                    let pack = look_up(&ids, d)?;
                    let span = Span { pack, block: d.small()?, slot: d.short()?, count: d.short()? };
                    (span.count > 0).then_some(span)
                };
                Self::Leaf(Leaf { spans: (0..count).map(|_| span(&mut d)).collect::<Option<_>>()? })
            }
            1 => {
                let count = d.count(21)?;
                let child = |d: &mut Decoder<'_>| {
                    let id = d.id()?;
                    let pack = look_up(&ids, d)?;
                    let (block, slot) = (d.small()?, d.short()?);
                    Some(NodeRef { id, pack, block, slot, chunks: d.number()?, bytes: d.number()? })
                };
                Self::Inner((0..count).map(|_| child(&mut d)).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        d.end()?;
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nodes_go_there_and_back() {
        let mut leaf = Leaf::default();
        leaf.push(Id([1; 16]), 0, 0);
        leaf.push(Id([1; 16]), 0, 1);
        leaf.push(Id([2; 16]), 0, 2);
        leaf.push(Id([1; 16]), 7, 3);
        assert_eq!(leaf.spans.len(), 3);
        let node = Node::Leaf(leaf);
        assert_eq!(Node::decode(&node.encode()), Some(node));
        let child =
            NodeRef { id: Id([9; 16]), pack: Id([3; 16]), block: 1, slot: 500, chunks: 1 << 40, bytes: 1 << 50 };
        let node = Node::Inner(vec![child, child]);
        assert_eq!(Node::decode(&node.encode()), Some(node));
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(level in 0u8..3, rest: Vec<u8>) {
            let mut bytes = vec![level];
            bytes.extend(rest);
            let _ = Node::decode(&bytes);
        }
    }
}
