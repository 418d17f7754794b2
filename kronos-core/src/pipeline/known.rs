//! The chunks a backup need not store: those its parent holds, those of interrupted runs, and
//! those it has stored itself.

use crate::id::Id;

/// Where a chunk lies; `pack` counts the packs of the run, each as often as other members have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Where {
    pub pack: u32,
    pub block: u16,
    pub slot: u16,
}

/// 24 bytes a chunk.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: Id,
    at: Where,
}

/// The highest bit of a chunk's pack: the chunk was there before and has not been met in this run.
const UNMET: u32 = 1 << 31;
/// A shard holds so many chunks, or twice as many, when the table is full: few enough to put one in
/// between.
const SHARD: usize = 256;
/// A shard grows by so many: one size of memory that all shards take and give back.
const STEP: usize = 32;

/// The table: sorted lists of chunks, each of those whose ids begin with the same bits. It takes
/// no more memory than it needs, also while it grows, and has a bound: what does not fit is not
/// known, and costs space only.
#[derive(Debug)]
pub(crate) struct Known {
    shards: Vec<Vec<Entry>>,
    len: usize,
    most: usize,
}

impl Known {
    /// A table that takes about `memory` bytes at most.
    pub(crate) fn new(memory: u64) -> Self {
        // On average half a step of a shard is free.
        let each = size_of::<Entry>() * (SHARD + STEP / 2) / SHARD;
        let most = usize::try_from(memory / each as u64).unwrap_or(usize::MAX).max(1024);
        let shards = ((most / SHARD).next_power_of_two() / 2).clamp(1, 1 << 16);
        Self { shards: vec![Vec::new(); shards], len: 0, most }
    }

    /// How many more chunks it has room for.
    pub(crate) fn room(&self) -> usize {
        self.most - self.len
    }

    /// Ids are keyed digests: any bits of one are a good hash.
    fn shard(&mut self, id: &Id) -> &mut Vec<Entry> {
        let number = usize::from(u16::from_be_bytes([id.0[0], id.0[1]])) & (self.shards.len() - 1);
        &mut self.shards[number]
    }

    /// Adds a chunk that was there before. Those added first win when room is short.
    pub(crate) fn add_old(&mut self, id: Id, at: Where) {
        if self.room() > 0 {
            self.len += 1;
            let shard = self.shard(&id);
            make_room(shard);
            shard.push(Entry { id, at: Where { pack: at.pack | UNMET, ..at } });
        }
    }

    /// Call once after the last `add_old`.
    pub(crate) fn seal_old(&mut self) {
        for shard in &mut self.shards {
            // Stable: of a chunk that lies in two packs, the one added first is used.
            shard.sort_by_key(|entry| entry.id);
            shard.dedup_by_key(|entry| entry.id);
        }
        self.len = self.shards.iter().map(Vec::len).sum();
    }

    /// Every place of a chunk.
    pub(crate) fn all(&mut self, id: Id) -> impl Iterator<Item = Where> {
        let shard = self.shard(&id);
        let from = shard.partition_point(|entry| entry.id < id);
        shard[from..].iter().take_while(move |e| e.id == id).map(|e| Where { pack: e.at.pack & !UNMET, ..e.at })
    }

    /// The same as `add_old`, at once where it belongs: nothing need be sealed.
    pub(crate) fn insert_old(&mut self, id: Id, at: Where) {
        self.insert(id, Where { pack: at.pack | UNMET, ..at });
    }

    /// Gives another pack to a place that was there before.
    pub(crate) fn change(&mut self, id: Id, at: Where, pack: u32) {
        let shard = self.shard(&id);
        let from = shard.partition_point(|entry| entry.id < id);
        for entry in shard[from..].iter_mut().take_while(|e| e.id == id) {
            if (Where { pack: entry.at.pack & !UNMET, ..entry.at }) == at {
                entry.at.pack = pack | UNMET;
            }
        }
    }

    /// Adds a chunk stored by this run.
    pub(crate) fn add_new(&mut self, id: Id, at: Where) {
        self.insert(id, at);
    }

    fn insert(&mut self, id: Id, at: Where) {
        if self.room() > 0 {
            self.len += 1;
            let shard = self.shard(&id);
            let place = shard.partition_point(|entry| entry.id <= id);
            make_room(shard);
            shard.insert(place, Entry { id, at });
        }
    }

    /// Shows each place of a chunk, and whether it has not been met before. It has been met when
    /// `uses` says so.
    pub(crate) fn meet(&mut self, id: Id, mut uses: impl FnMut(Where, bool) -> bool) {
        let shard = self.shard(&id);
        let from = shard.partition_point(|entry| entry.id < id);
        for entry in shard[from..].iter_mut().take_while(|e| e.id == id) {
            let pack = entry.at.pack & !UNMET;
            if uses(Where { pack, ..entry.at }, entry.at.pack & UNMET != 0) {
                entry.at.pack = pack;
            }
        }
    }
}

fn make_room(shard: &mut Vec<Entry>) {
    if shard.len() == shard.capacity() {
        shard.reserve_exact(shard.len().clamp(4, STEP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(known: &mut Known, id: Id) -> Vec<(Where, bool)> {
        let mut all = Vec::new();
        known.meet(id, |at, first| {
            all.push((at, first));
            true
        });
        all
    }

    #[test]
    fn chunks_are_found_and_counted_once() {
        let mut known = Known::new(1 << 20);
        let at = |pack| Where { pack, block: 1, slot: 2 };
        for n in (0..200).rev() {
            known.add_old(Id([n; 16]), at(u32::from(n)));
        }
        known.add_old(Id([5; 16]), at(999));
        known.seal_old();
        assert_eq!(met(&mut known, Id([5; 16])), [(at(5), true)]);
        assert_eq!(met(&mut known, Id([5; 16])), [(at(5), false)]);
        assert_eq!(met(&mut known, Id([250; 16])), []);
        known.add_new(Id([250; 16]), at(7));
        assert_eq!(met(&mut known, Id([250; 16])), [(at(7), false)]);
    }

    #[test]
    fn what_does_not_fit_is_not_known() {
        let mut known = Known::new(1 << 20);
        let id = |n: u32| Id(crate::id::Digest::of(&n.to_le_bytes()).0[..16].try_into().unwrap());
        let at = Where { pack: 3, block: 1, slot: 2 };
        let most = u32::try_from(known.room()).unwrap();
        assert!((40_000..44_000).contains(&most), "24 bytes each, and a little");
        (0..most / 2).for_each(|n| known.add_old(id(n), at));
        known.seal_old();
        (most / 2..most + 100).for_each(|n| known.add_new(id(n), at));
        let found = (0..most + 100).filter(|n| met(&mut known, id(*n)).first().is_some_and(|hit| hit.0 == at)).count();
        assert_eq!((found, known.room()), (most as usize, 0));
        let taken: usize = known.shards.iter().map(|s| s.capacity() * size_of::<Entry>()).sum();
        assert!(taken <= (1 << 20) / 50 * 51, "{taken} bytes");
    }
}
