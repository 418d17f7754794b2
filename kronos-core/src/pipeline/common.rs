//! The chunks that the members of an intake know, in one table for all of them. Repositories that
//! were written together hold the same packs, so most chunks lie in the same place everywhere and
//! take room once.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::id::Id;
use crate::party::Set;

use super::intake::ChunkPlace;
use super::known::{Known, Where};

/// A pack, and the members for which something in it is known.
#[derive(Debug, Clone, Copy)]
struct View {
    pack: Id,
    set: Set,
}

/// What some members know of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub set: Set,
    pub at: ChunkPlace,
    /// Met for the first time in this run.
    pub first: bool,
}

/// The table, and the packs that it counts.
#[derive(Debug)]
pub(super) struct Common {
    known: Known,
    views: Vec<View>,
    numbers: BTreeMap<(Id, Set), u32>,
    packs: BTreeSet<Id>,
    several: bool,
}

impl Common {
    /// A table that takes about `memory` bytes at most.
    pub(super) fn new(memory: u64, several: bool) -> Self {
        let (views, numbers, packs) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { known: Known::new(memory), views, numbers, packs, several }
    }

    /// How many more chunks it has room for.
    pub(super) fn room(&self) -> usize {
        self.known.room()
    }

    /// Whether a member knows chunks of a pack: then the others may share their room.
    pub(super) fn has_pack(&self, pack: Id) -> bool {
        self.packs.contains(&pack)
    }

    fn view(&mut self, pack: Id, set: Set) -> Result<u32> {
        if let Some(number) = self.numbers.get(&(pack, set)) {
            return Ok(*number);
        }
        let number = u32::try_from(self.views.len()).map_err(|_| Error::internal("too many packs"))?;
        self.views.push(View { pack, set });
        self.numbers.insert((pack, set), number);
        self.packs.insert(pack);
        Ok(number)
    }

    /// Adds chunks (id, block, slot) that a member had in a pack before. Those added first win when
    /// room is short, and when one lies in two packs.
    pub(super) fn add_old(
        &mut self,
        member: usize,
        pack: Id,
        chunks: impl Iterator<Item = (Id, u16, u16)>,
    ) -> Result<()> {
        let own = self.view(pack, Set::of(member))?;
        for (id, block, slot) in chunks {
            let at = Where { pack: own, block, slot };
            if !self.several {
                self.known.add_old(id, at);
                continue;
            }
            let mut joins = None;
            let mut has = false;
            for other in self.known.all(id) {
                let view = self.views[other.pack as usize];
                has |= view.set.has(member);
                if view.pack == pack && (other.block, other.slot) == (block, slot) {
                    joins = Some((other.pack, view.set));
                }
            }
            match joins {
                _ if has => {}
                Some((old, mut set)) => {
                    set.insert(member);
                    let new = self.view(pack, set)?;
                    self.known.change(id, Where { pack: old, ..at }, new);
                }
                None => self.known.insert_old(id, at),
            }
        }
        Ok(())
    }

    /// Call once after the last `add_old`.
    pub(super) fn seal_old(&mut self) {
        if !self.several {
            self.known.seal_old();
        }
    }

    /// Adds a chunk stored by this run for those who lacked it.
    pub(super) fn add_new(&mut self, id: Id, set: Set, (pack, block, slot): (Id, u16, u16)) -> Result<()> {
        let pack = self.view(pack, set)?;
        self.known.add_new(id, Where { pack, block, slot });
        Ok(())
    }

    /// Where a chunk lies for the members of a set. Gives those who do not know it.
    pub(super) fn look_up(&mut self, id: Id, mut set: Set, hits: &mut Vec<Hit>) -> Set {
        let views = &self.views;
        self.known.meet(id, |at, first| {
            let view = views[at.pack as usize];
            let here = view.set.and(set);
            if !here.is_empty() {
                hits.push(Hit { set: here, at: (view.pack, u32::from(at.block), at.slot), first });
                set = set.without(here);
            }
            !here.is_empty()
        });
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> Id {
        Id(crate::id::Digest::of(&n.to_le_bytes()).0[..16].try_into().unwrap())
    }

    #[test]
    fn what_lies_in_the_same_place_takes_room_once() {
        let mut common = Common::new(1 << 20, true);
        let room = common.room();
        let chunks = |pack: u32| (0..1000).map(move |n| (id(pack * 1000 + n), 0, u16::try_from(n).unwrap()));
        let packs: Vec<Id> = (0..4).map(|n| id(1_000_000 + n)).collect();
        for member in 0..3 {
            common.add_old(member, packs[0], chunks(0)).unwrap();
        }
        assert_eq!(room - common.room(), 1000);
        // The same chunks elsewhere, for one member; it knows them already. And others.
        common.add_old(1, packs[1], chunks(0)).unwrap();
        common.add_old(1, packs[2], chunks(2)).unwrap();
        common.add_old(2, packs[3], chunks(2)).unwrap();
        common.seal_old();
        assert_eq!(room - common.room(), 3000);
        let mut hits = Vec::new();
        assert!(common.look_up(id(5), Set::first(3), &mut hits).is_empty());
        assert!(hits.len() == 1 && hits[0].first && hits[0].at == (packs[0], 0, 5));
        hits.clear();
        assert_eq!(common.look_up(id(2005), Set::first(3), &mut hits), Set::of(0));
        let mut found: Vec<_> = hits.iter().map(|h| (h.set, h.at.0, h.first)).collect();
        found.sort_by_key(|h| h.0);
        assert_eq!(found, [(Set::of(1), packs[2], true), (Set::of(2), packs[3], true)]);
        common.add_new(id(2005), Set::of(0), (packs[1], 7, 8)).unwrap();
        hits.clear();
        assert!(common.look_up(id(2005), Set::first(3), &mut hits).is_empty());
        assert!(hits.iter().all(|h| !h.first) && hits.len() == 3);
        hits.clear();
        assert_eq!(common.look_up(id(9999), Set::of(1), &mut hits), Set::of(1));
    }
}
