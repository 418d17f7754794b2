//! Checking indexes: that every node and every chunk that a root leads to is there, as far as
//! tables tell. Nodes that backups share are looked at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::pipeline::{Fetcher, Fold, Visitor};
use crate::repository::damage::Damage;
use crate::repository::index::{Leaf, NodeRef, Root};
use crate::run::RunContext;

use super::{CheckReport, is_damage};

/// All indexes of a job.
pub(super) struct IndexCheck {
    fetcher: Arc<Fetcher>,
    fold: Fold<Look>,
}

impl IndexCheck {
    /// `damage` is what cannot be used of the packs.
    pub(super) fn new(fetcher: Arc<Fetcher>, damage: Damage, run: &RunContext) -> Self {
        let look = Look { damage, numbers: BTreeMap::new(), problems: Vec::new() };
        Self { fetcher, fold: Fold::new(look, run.limits.memory / 4) }
    }

    /// Whether a backup can be restored from what is there.
    pub(super) async fn is_whole(&mut self, root: &Root, report: &mut CheckReport) -> Result<bool> {
        let named: BTreeSet<u32> = root.packs.iter().map(|p| self.fold.visitor.number(p.info.id)).collect();
        let mut all_whole = true;
        for stream in &root.streams {
            let (mut bytes, mut whole) = (0, true);
            for at in &stream.top {
                let seen = self.fold.visit(&self.fetcher, *at, stream.levels).await?;
                whole &= seen.whole;
                bytes += at.bytes;
                let ours = std::iter::once(self.fold.visitor.number(at.pack)).chain(seen.packs.iter().copied());
                if ours.into_iter().any(|pack| !named.contains(&pack)) {
                    whole = false;
                    report.problem(
                        format!("backup {}", root.backup),
                        format!("its root does not name every pack that it needs: stream {}", stream.info.name),
                    );
                }
            }
            if bytes != stream.end.length {
                whole = false;
                report.problem(
                    format!("backup {}", root.backup),
                    format!("the chunks of stream {} do not add up to its length", stream.info.name),
                );
            }
            all_whole &= whole;
        }
        for error in self.fold.visitor.problems.drain(..) {
            let object = error.context("object").map_or_else(|| format!("backup {}", root.backup), str::to_owned);
            report.problem(object, error);
        }
        Ok(all_whole)
    }
}

/// What is known of a node and all below it.
#[derive(Debug)]
struct Seen {
    whole: bool,
    /// The packs below it, by number, in order.
    packs: Box<[u32]>,
}

struct Look {
    damage: Damage,
    numbers: BTreeMap<Id, u32>,
    problems: Vec<Error>,
}

impl Look {
    fn number(&mut self, pack: Id) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(pack).or_insert(next)
    }
}

impl Visitor for Look {
    type Out = Arc<Seen>;

    fn weight(out: &Self::Out) -> usize {
        size_of::<Seen>() + out.packs.len() * size_of::<u32>()
    }

    fn whereabouts(&self, at: &NodeRef) -> NodeRef {
        *at
    }

    async fn leaf(&mut self, fetcher: &Fetcher, at: &NodeRef, leaf: Leaf) -> Result<Self::Out> {
        let (mut chunks, mut bytes, mut whole) = (0u64, 0u64, true);
        let mut packs = BTreeSet::new();
        for span in &leaf.spans {
            packs.insert(self.number(span.pack));
            if self.damage.is_bad(span.pack, span.block) {
                whole = false;
            }
            // What is lost has been told of already.
            if self.damage.is_whole(span.pack) {
                continue;
            }
            match fetcher.lengths(span).await {
                Ok(length) => {
                    chunks += u64::from(span.count);
                    bytes += length;
                }
                Err(e) if is_damage(e.kind()) => {
                    whole = false;
                    self.problems.push(e);
                }
                Err(e) => return Err(e),
            }
        }
        if whole && (chunks, bytes) != (at.chunks, at.bytes) {
            whole = false;
            self.problems.push(Error::corrupt("the chunks of a node do not add up").with("pack", at.pack));
        }
        Ok(Arc::new(Seen { whole, packs: packs.into_iter().collect() }))
    }

    async fn inner(&mut self, _: &Fetcher, at: &NodeRef, below: &[(NodeRef, Self::Out)]) -> Result<Self::Out> {
        let sum = below.iter().fold((0, 0), |(c, b), (n, _)| (c + n.chunks, b + n.bytes));
        let mut packs = BTreeSet::new();
        for (child, seen) in below {
            packs.insert(self.number(child.pack));
            packs.extend(seen.packs.iter().copied());
        }
        let adds_up = sum == (at.chunks, at.bytes);
        if !adds_up {
            self.problems.push(Error::corrupt("the nodes of an index do not add up").with("pack", at.pack));
        }
        let whole = adds_up && below.iter().all(|(_, seen)| seen.whole);
        Ok(Arc::new(Seen { whole, packs: packs.into_iter().collect() }))
    }

    fn unreadable(&mut self, at: &NodeRef, error: Error) -> Result<Self::Out> {
        if !is_damage(error.kind()) {
            return Err(error);
        }
        if !self.damage.is_bad(at.pack, at.block) {
            self.problems.push(error);
        }
        Ok(Arc::new(Seen { whole: false, packs: Box::default() }))
    }
}
