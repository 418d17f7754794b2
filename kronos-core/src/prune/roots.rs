//! What the backups of a job need, by their roots.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::id::Id;
use crate::repository::index::Root;
use crate::repository::job::Job;
use crate::repository::state::State;
use crate::run::RunContext;

/// What roots reference, each read once. One bit a pack and root: there may be a thousand backups of
/// thirty thousand packs each.
#[derive(Debug, Default)]
pub(super) struct Roots {
    numbers: BTreeMap<Id, usize>,
    ids: Vec<Id>,
    of: BTreeMap<Id, Bits>,
}

#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, at: usize) {
        if self.0.len() <= at / 64 {
            self.0.resize(at / 64 + 1, 0);
        }
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    fn ones(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len() * 64).filter(|at| self.0[at / 64] & (1 << (at % 64)) != 0)
    }
}

impl Roots {
    async fn of(&mut self, job: &Job, root: Id, run: &RunContext) -> Result<&Bits> {
        if !self.of.contains_key(&root) {
            // A root that cannot be read may need anything: the error ends the prune.
            let loaded = Root::load_any(job, root, run).await?;
            let mut bits = Bits::default();
            for id in loaded.references(root) {
                let ids = &mut self.ids;
                bits.set(*self.numbers.entry(id).or_insert_with(|| {
                    ids.push(id);
                    ids.len() - 1
                }));
            }
            self.of.insert(root, bits);
        }
        Ok(&self.of[&root])
    }

    /// Everything that some roots need, and they themselves.
    pub(super) async fn needed(
        &mut self,
        job: &Job,
        roots: impl IntoIterator<Item = Id>,
        run: &RunContext,
    ) -> Result<BTreeSet<Id>> {
        let mut all = Bits::default();
        for root in roots {
            all.add(self.of(job, root, run).await?);
        }
        Ok(all.ones().map(|at| self.ids[at]).collect())
    }

    /// Everything that the backups of a state and some roots of their own need.
    pub(super) async fn live(
        &mut self,
        job: &Job,
        state: &State,
        more: &BTreeSet<Id>,
        run: &RunContext,
    ) -> Result<BTreeSet<Id>> {
        let roots: Vec<Id> = state.backups.values().map(|r| r.manifest.root.id).chain(more.iter().copied()).collect();
        self.needed(job, roots, run).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_add_up() {
        let (mut one, mut two) = (Bits::default(), Bits::default());
        for (bits, ones) in [(&mut one, vec![0, 63, 64, 1000]), (&mut two, vec![64, 5])] {
            for at in ones {
                bits.set(at);
            }
        }
        two.add(&one);
        assert_eq!(two.ones().collect::<Vec<_>>(), [0, 5, 63, 64, 1000]);
    }
}
