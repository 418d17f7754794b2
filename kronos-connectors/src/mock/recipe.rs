//! What a stream is made of: a few numbers, from which any byte of it follows at any version.

use std::collections::BTreeMap;

use blake3::Hasher;
use kronos_core::{Digest, Error, ErrorKind, Result, StreamEnd};

/// Bytes made, hashed or compared at a time: some microseconds of work, so that it may be done
/// between two awaits.
pub(super) const PIECE: usize = 64 << 10;

/// The weyl constant of splitmix64: <https://prng.di.unimi.it/splitmix64.c>.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream, cut into cells of which each changes as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) seed: u64,
    /// Which stream of that seed.
    pub(super) number: u64,
    pub(super) length: u64,
    /// Bytes of a cell, at least one.
    pub(super) cell: u64,
    /// Cells that change from one version to the next; no more than there are.
    pub(super) change: u64,
    /// How often the data has changed.
    pub(super) version: u64,
}

impl Recipe {
    /// The bytes from `offset` on.
    pub(super) fn fill(&self, mut offset: u64, mut buffer: &mut [u8]) {
        let order = Order::of(self);
        while !buffer.is_empty() {
            let (cell, within) = (offset / self.cell, offset % self.cell);
            let most = usize::try_from(self.cell - within).unwrap_or(usize::MAX);
            let (now, later) = buffer.split_at_mut(most.min(buffer.len()));
            self.fill_cell(cell, order.times_changed(cell, self.version), within, now);
            offset += now.len() as u64;
            buffer = later;
        }
    }

    /// Splitmix64 with a key of the cell, read from its middle where that is asked for.
    fn fill_cell(&self, cell: u64, times: u64, within: u64, buffer: &mut [u8]) {
        let key = [self.number, cell, times].iter().fold(mix(self.seed), |key, part| mix(key ^ mix(*part)));
        let mut words = (within / 8..).map(|number| mix(key.wrapping_add(number.wrapping_mul(GAMMA))).to_le_bytes());
        let skip = usize::try_from(within % 8).unwrap_or(0);
        let (head, body) = buffer.split_at_mut(((8 - skip) % 8).min(buffer.len()));
        if !head.is_empty() {
            let word = words.next().unwrap_or_default();
            head.copy_from_slice(&word[skip..skip + head.len()]);
        }
        let (whole, tail) = body.as_chunks_mut::<8>();
        for (part, word) in whole.iter_mut().zip(&mut words) {
            *part = word;
        }
        tail.copy_from_slice(&words.next().unwrap_or_default()[..tail.len()]);
        // A cell of few bytes could be the same by chance: its first byte counts the changes.
        if let (0, Some(first)) = (within, buffer.first_mut()) {
            *first = mix(cell).to_le_bytes()[0].wrapping_add(times.to_le_bytes()[0]);
        }
    }

    /// How many bytes lie in cells that changed with this version.
    pub(super) fn changed_bytes(&self) -> u64 {
        let (order, last) = (Order::of(self), self.length.div_ceil(self.cell).saturating_sub(1));
        let Some(before) = self.version.checked_sub(1) else { return 0 };
        let whole = self.change * self.cell;
        let in_it = order.times_changed(last, self.version) > order.times_changed(last, before);
        if in_it { whole - ((last + 1) * self.cell - self.length) } else { whole }
    }

    /// Its end mark; makes every byte for it.
    pub(super) fn end(&self) -> StreamEnd {
        let (mut hasher, mut buffer, mut at) = (Hasher::new(), vec![0; PIECE], 0);
        while at < self.length {
            let part = &mut buffer[..piece(self.length - at)];
            self.fill(at, part);
            hasher.update(part);
            at += part.len() as u64;
        }
        StreamEnd { length: self.length, digest: Digest(*hasher.finalize().as_bytes()), rows: None }
    }

    /// What a backup keeps of it beside the bytes.
    pub(super) fn attributes(&self) -> BTreeMap<String, String> {
        self.numbers().map(|(name, number)| (name.to_owned(), number.to_string())).into()
    }

    /// Reads them back. They come from a backup and may be anything.
    pub(super) fn from_attributes(attributes: &BTreeMap<String, String>) -> Result<Self> {
        let bad = |name: &str| Error::new(ErrorKind::Corrupt, "not a stream of the mock").with("attribute", name);
        let read = |name: &str| attributes.get(name).and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| bad(name));
        let recipe = Self {
            seed: read("seed")?,
            number: read("number")?,
            length: read("length")?,
            cell: read("cell")?,
            change: read("change")?,
            version: read("version")?,
        };
        if recipe.cell == 0 || recipe.cell > 1 << 32 {
            return Err(bad("cell"));
        }
        if recipe.length > 1 << 56 {
            return Err(bad("length"));
        }
        if recipe.change > recipe.length.div_ceil(recipe.cell) { Err(bad("change")) } else { Ok(recipe) }
    }

    fn numbers(&self) -> [(&'static str, u64); 6] {
        [
            ("seed", self.seed),
            ("number", self.number),
            ("length", self.length),
            ("cell", self.cell),
            ("change", self.change),
            ("version", self.version),
        ]
    }
}

/// The length of the next piece.
pub(super) fn piece(left: u64) -> usize {
    usize::try_from(left).unwrap_or(PIECE).min(PIECE)
}

/// The order in which cells change: all of them once, scattered, then again from the beginning.
struct Order {
    cells: u64,
    change: u64,
    /// Has no divisor in common with `cells`, so that `cell * step % cells` is a place of its own
    /// for each cell.
    step: u64,
}

impl Order {
    fn of(recipe: &Recipe) -> Self {
        let cells = recipe.length.div_ceil(recipe.cell).max(1);
        // Near the golden section neighbours are far apart.
        let step = (cells / 8 * 5 + 1..=2 * cells).find(|step| divisor(*step, cells) == 1).unwrap_or(1);
        Self { cells, change: recipe.change, step }
    }

    /// How often a cell has changed up to a version. With `change` cells at a time, version `v` is
    /// reached after `v * change` steps through the order.
    fn times_changed(&self, cell: u64, version: u64) -> u64 {
        let cells = u128::from(self.cells);
        let place = u128::from(cell) * u128::from(self.step) % cells;
        let steps = u128::from(version) * u128::from(self.change);
        let times = (steps + cells - 1 - place) / cells;
        u64::try_from(times).unwrap_or(u64::MAX)
    }
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// The mixing function of splitmix64.
pub(super) fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(GAMMA);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(recipe: &Recipe) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(recipe.length).unwrap()];
        recipe.fill(0, &mut bytes);
        bytes
    }

    #[test]
    fn the_bytes_are_the_same_from_wherever_they_are_read() {
        let recipe = Recipe { seed: 1, number: 2, length: 10_007, cell: 100, change: 3, version: 5 };
        let whole = all(&recipe);
        for (from, length) in [(0, 1), (1, 1), (7, 300), (99, 2), (100, 8), (103, 97), (9_990, 17), (8, 0)] {
            let mut part = vec![0; length];
            recipe.fill(from as u64, &mut part);
            assert_eq!(part, whole[from..from + length], "{length} from {from}");
        }
        assert_eq!(recipe.end().digest, Digest::of(&whole));
        assert_eq!(Recipe::from_attributes(&recipe.attributes()).unwrap(), recipe);
        for other in [Recipe { seed: 2, ..recipe }, Recipe { number: 3, ..recipe }] {
            assert_ne!(all(&other), whole);
        }
    }

    #[test]
    fn each_version_changes_the_cells_it_should_and_in_the_end_all() {
        for (length, cell, change) in [(1000, 10, 7), (995, 10, 30), (999, 10, 100), (5, 1, 2), (64, 8, 0), (0, 8, 0)] {
            let at = |version| Recipe { seed: 3, number: 0, length, cell, change, version };
            let cell = usize::try_from(cell).unwrap();
            let mut touched = std::collections::BTreeSet::new();
            for version in 1..40 {
                let (old, new) = (all(&at(version - 1)), all(&at(version)));
                let differ = |(number, (a, b)): (usize, (&[u8], &[u8]))| (a != b).then_some((number, a.len()));
                let cells = old.chunks(cell).zip(new.chunks(cell)).enumerate();
                let changed: Vec<(usize, usize)> = cells.filter_map(differ).collect();
                assert_eq!(changed.len() as u64, change, "{length} {cell} {version}");
                let bytes: usize = changed.iter().map(|(_, bytes)| bytes).sum();
                assert_eq!(at(version).changed_bytes(), bytes as u64, "{length} {cell} {version}");
                touched.extend(changed);
            }
            let all = length.div_ceil(cell as u64);
            assert_eq!(touched.len() as u64, if change == 0 { 0 } else { all.min(39 * change) });
        }
    }

    #[test]
    fn what_a_backup_says_is_looked_at_before_it_is_believed() {
        let recipe = Recipe { seed: 1, number: 2, length: 100, cell: 10, change: 3, version: 5 };
        for (name, value) in [("cell", "0"), ("cell", "x"), ("change", "11"), ("length", "99999999999999999999")] {
            let mut attributes = recipe.attributes();
            attributes.insert(name.to_owned(), value.to_owned());
            assert_eq!(Recipe::from_attributes(&attributes).unwrap_err().kind(), ErrorKind::Corrupt, "{name}={value}");
        }
    }
}
