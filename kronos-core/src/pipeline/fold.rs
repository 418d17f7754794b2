//! Going through the indexes of many backups, bottom up, each node only once: what backups share
//! is visited once for all of them.

use std::collections::BTreeMap;

use futures::future::{BoxFuture, FutureExt};

use crate::error::{Error, Result};
use crate::id::Id;
use crate::repository::index::{Leaf, Node, NodeRef};

use super::fetch::Fetcher;

/// What is made of each node.
pub(crate) trait Visitor: Send {
    /// What is remembered of a node.
    type Out: Clone + Send + Sync;

    /// About how many bytes that takes.
    fn weight(out: &Self::Out) -> usize;

    /// Where to read a node: at its place, or elsewhere.
    fn whereabouts(&self, at: &NodeRef) -> NodeRef;

    /// A leaf.
    fn leaf<'a>(
        &'a mut self,
        fetcher: &'a Fetcher,
        at: &'a NodeRef,
        leaf: Leaf,
    ) -> impl Future<Output = Result<Self::Out>> + Send + 'a;

    /// An inner node, after the nodes below it.
    fn inner<'a>(
        &'a mut self,
        fetcher: &'a Fetcher,
        at: &'a NodeRef,
        below: &'a [(NodeRef, Self::Out)],
    ) -> impl Future<Output = Result<Self::Out>> + Send + 'a;

    /// A node that cannot be read: the error may be passed on, or noted.
    fn unreadable(&mut self, at: &NodeRef, error: Error) -> Result<Self::Out>;
}

/// The fold, and what it remembers.
#[derive(Debug)]
pub(crate) struct Fold<V: Visitor> {
    pub(crate) visitor: V,
    /// By place: the same node may lie at two, of which one is bad.
    done: BTreeMap<(Id, u32, u16), V::Out>,
    weight: usize,
    most: usize,
}

impl<V: Visitor> Fold<V> {
    /// Remembers about `memory` bytes. When they are used up it begins to remember anew, so that
    /// some nodes are visited again: a visitor must not mind.
    pub(crate) fn new(visitor: V, memory: u64) -> Self {
        let most = usize::try_from(memory).unwrap_or(usize::MAX);
        Self { visitor, done: BTreeMap::new(), weight: 0, most }
    }

    /// Visits a node, and before that all below it.
    pub(crate) fn visit<'a>(
        &'a mut self,
        fetcher: &'a Fetcher,
        at: NodeRef,
        levels: u8,
    ) -> BoxFuture<'a, Result<V::Out>> {
        async move {
            let place = (at.pack, at.block, at.slot);
            if let Some(done) = self.done.get(&place) {
                return Ok(done.clone());
            }
            let out = match fetcher.node(&self.visitor.whereabouts(&at)).await {
                Ok(Node::Leaf(leaf)) if levels == 0 => self.visitor.leaf(fetcher, &at, leaf).await?,
                Ok(Node::Inner(children)) if levels > 0 => {
                    let mut below = Vec::with_capacity(children.len());
                    for child in children {
                        below.push((child, self.visit(fetcher, child, levels - 1).await?));
                    }
                    self.visitor.inner(fetcher, &at, &below).await?
                }
                Ok(_) => {
                    let error = Error::corrupt("an index has a node at the wrong level").with("pack", at.pack);
                    self.visitor.unreadable(&at, error)?
                }
                Err(error) => self.visitor.unreadable(&at, error)?,
            };
            self.weight += V::weight(&out) + 64;
            if self.weight > self.most {
                self.done.clear();
                self.weight = 0;
            }
            self.done.insert(place, out.clone());
            Ok(out)
        }
        .boxed()
    }
}
