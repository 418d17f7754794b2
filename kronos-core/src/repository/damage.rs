//! Which blocks are known to be bad. Writers treat them as not there; readers try all the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::Id;

/// Bad blocks by their pack; `None` stands for the whole pack, as when the object is missing. A pack
/// without a bad block has lost something that can be done without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Damage(BTreeMap<Id, Option<BTreeSet<u32>>>);

impl Damage {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The packs that are not as they should be.
    pub(crate) fn packs(&self) -> impl Iterator<Item = Id> {
        self.0.keys().copied()
    }

    pub(crate) fn touches(&self, pack: Id) -> bool {
        self.0.contains_key(&pack)
    }

    /// Nothing of the pack can be used.
    pub(crate) fn is_whole(&self, pack: Id) -> bool {
        matches!(self.0.get(&pack), Some(None))
    }

    pub(crate) fn is_bad(&self, pack: Id, block: u32) -> bool {
        self.0.get(&pack).is_some_and(|bad| bad.as_ref().is_none_or(|blocks| blocks.contains(&block)))
    }

    pub(crate) fn add_pack(&mut self, pack: Id) {
        self.0.insert(pack, None);
    }

    /// Something of the pack is bad that no block depends on: a copy, or its own table.
    pub(crate) fn add_scar(&mut self, pack: Id) {
        self.0.entry(pack).or_insert_with(|| Some(BTreeSet::new()));
    }

    pub(crate) fn add_block(&mut self, pack: Id, block: u32) {
        if let Some(blocks) = self.0.entry(pack).or_insert_with(|| Some(BTreeSet::new())) {
            blocks.insert(block);
        }
    }

    pub(crate) fn add(&mut self, more: &Self) {
        for (pack, bad) in &more.0 {
            match bad {
                None => self.add_pack(*pack),
                Some(blocks) => {
                    self.add_scar(*pack);
                    for block in blocks {
                        self.add_block(*pack, *block);
                    }
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, pack: Id) {
        self.0.remove(&pack);
    }

    /// What is in this one and not yet in `known`.
    pub(crate) fn beyond(&self, known: &Self) -> Self {
        let mut new = Self::default();
        for (pack, bad) in &self.0 {
            match bad {
                None if !known.is_whole(*pack) => new.add_pack(*pack),
                None => {}
                Some(blocks) => {
                    if !known.touches(*pack) {
                        new.add_scar(*pack);
                    }
                    blocks.iter().filter(|b| !known.is_bad(*pack, **b)).for_each(|b| new.add_block(*pack, *b));
                }
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_whole_packs_add_up() {
        let (one, two) = (Id([1; 16]), Id([2; 16]));
        let mut damage = Damage::default();
        damage.add_block(one, 3);
        assert!(damage.is_bad(one, 3) && !damage.is_bad(one, 4) && !damage.is_whole(one));
        let mut more = Damage::default();
        more.add_block(one, 4);
        more.add_pack(two);
        assert_eq!(more.beyond(&damage), more);
        damage.add(&more);
        assert!(damage.is_bad(one, 4) && damage.is_bad(two, 77) && damage.is_whole(two));
        assert!(more.beyond(&damage).is_empty());
        damage.add_block(two, 1);
        assert!(damage.is_whole(two), "a block does not make a lost pack better");
        damage.remove(two);
        assert!(!damage.touches(two));
    }
}
