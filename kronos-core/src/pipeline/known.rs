//! The chunks a backup need not store: those its parent holds, those of interrupted runs, and
//! those it has stored itself.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use crate::id::Id;

/// Where a chunk lies; `pack` counts the packs of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Where {
    pub pack: u32,
    pub block: u16,
    pub slot: u16,
}

/// 24 bytes a chunk.
#[derive(Debug, Clone, Copy)]
struct Old {
    id: Id,
    at: Where,
}

/// The highest bit of an old chunk's pack: the chunk has been met in this run.
const MET: u32 = 1 << 31;

/// Ids are keyed digests: any eight bytes of one are a good hash.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

/// The table. Memory is bounded: what does not fit is not known, and costs space only.
#[derive(Debug)]
pub(crate) struct Known {
    old: Vec<Old>,
    new: HashMap<Id, Where, BuildHasherDefault<IdHasher>>,
    most: usize,
}

/// What is known of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub at: Where,
    /// Met for the first time in this run.
    pub first: bool,
}

impl Known {
    /// A table that takes about `memory` bytes at most.
    pub(crate) fn new(memory: u64) -> Self {
        let most = usize::try_from(memory / (2 * size_of::<Old>() as u64)).unwrap_or(usize::MAX);
        Self { old: Vec::new(), new: HashMap::default(), most: most.max(1024) }
    }

    /// Adds a chunk that was there before. Those added first win when room is short.
    pub(crate) fn add_old(&mut self, id: Id, at: Where) {
        if self.old.len() < self.most {
            self.old.push(Old { id, at });
        }
    }

    /// Call once after the last `add_old`.
    pub(crate) fn seal_old(&mut self) {
        // Stable: of a chunk that lies in two packs, the one added first is used.
        self.old.sort_by_key(|o| o.id);
        self.old.dedup_by_key(|o| o.id);
    }

    /// Adds a chunk stored by this run.
    pub(crate) fn add_new(&mut self, id: Id, at: Where) {
        if self.new.len() < self.most {
            self.new.insert(id, at);
        }
    }

    pub(crate) fn look_up(&mut self, id: Id) -> Option<Hit> {
        if let Some(at) = self.new.get(&id) {
            return Some(Hit { at: *at, first: false });
        }
        let found = self.old.binary_search_by_key(&id, |o| o.id).ok()?;
        let old = &mut self.old[found];
        let first = old.at.pack & MET == 0;
        let at = Where { pack: old.at.pack & !MET, ..old.at };
        old.at.pack |= MET;
        Some(Hit { at, first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_found_and_counted_once() {
        let mut known = Known::new(1 << 20);
        let at = |pack| Where { pack, block: 1, slot: 2 };
        for n in (0..200).rev() {
            known.add_old(Id([n; 16]), at(u32::from(n)));
        }
        known.add_old(Id([5; 16]), at(999));
        known.seal_old();
        assert_eq!(known.look_up(Id([5; 16])), Some(Hit { at: at(5), first: true }));
        assert_eq!(known.look_up(Id([5; 16])), Some(Hit { at: at(5), first: false }));
        assert_eq!(known.look_up(Id([250; 16])), None);
        known.add_new(Id([250; 16]), at(7));
        assert_eq!(known.look_up(Id([250; 16])), Some(Hit { at: at(7), first: false }));
    }
}
