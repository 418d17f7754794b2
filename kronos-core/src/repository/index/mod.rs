//! The index of a backup: for each stream a tree of immutable nodes, and one root.
//!
//! A leaf holds runs of chunks; an inner node refers to nodes of the level below. Both are cut
//! where the ids in them say so, so that a change of some chunks changes the leaves around them
//! and the few nodes above, and everything else is shared with the parent's index.

mod node;
mod root;
mod tree;

pub(crate) use node::{Leaf, Node, NodeRef, Span};
pub(crate) use root::{PackUse, Root, StoredStream};
pub(crate) use tree::{NodeSink, TreeBuilder};
