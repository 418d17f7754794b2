//! What a mock database is made from.

use std::time::Duration;

use kronos_core::{Cutting, Error, ErrorKind, Result};

use super::recipe::Recipe;

/// The bytes that change together in a stream that is not cut at pages.
const CELL: u64 = 4096;

/// What a mock database holds. `MockSource::from_source` reads the same from a URL.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MockSettings {
    /// The database's name: two of one name are the same source.
    pub name: String,
    /// Other seeds give other bytes. Default 1.
    pub seed: u64,
    /// The number of streams; none is an empty target. Default 1.
    pub streams: u32,
    /// Bytes of all streams together, divided evenly. Default 1 MiB.
    pub size: u64,
    /// How each stream is cut. Default by content.
    pub cutting: Cutting,
    /// The share of each stream that changes with each version, from 0 to 1, in whole pages or
    /// pieces of 4 KiB, at least one unless it is 0. Default 0.01.
    pub change: f64,
    /// How often the data has changed at the beginning. Default 0.
    pub version: u64,
    /// How long a reader waits for each piece of 64 KiB. Default not at all.
    pub pause: Duration,
    /// Does not read again what is of the same version as in the previous backup. Default no.
    pub proofs: bool,
}

impl MockSettings {
    /// One stream of 1 MiB.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            seed: 1,
            streams: 1,
            size: 1 << 20,
            cutting: Cutting::Content,
            change: 0.01,
            version: 0,
            pause: Duration::ZERO,
            proofs: false,
        }
    }

    /// Nothing yet: a target.
    pub fn empty(name: impl Into<String>) -> Self {
        Self { streams: 0, size: 0, ..Self::new(name) }
    }

    /// The same with other bytes.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same in so many streams.
    #[must_use]
    pub fn with_streams(mut self, streams: u32) -> Self {
        self.streams = streams;
        self
    }

    /// The same with so many bytes in all streams together.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = size;
        self
    }

    /// The same, cut at pages of this size, which also change as a whole.
    #[must_use]
    pub fn with_pages(mut self, page: u32) -> Self {
        self.cutting = Cutting::Pages(page);
        self
    }

    /// The same, of which another share changes with each version.
    #[must_use]
    pub fn with_change(mut self, share: f64) -> Self {
        self.change = share;
        self
    }

    /// The same, whose reader waits for each piece of 64 KiB.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The same, which takes over what it can prove unchanged.
    #[must_use]
    pub fn with_proofs(mut self) -> Self {
        self.proofs = true;
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        let bad = |message: &str| Err(Error::new(ErrorKind::Config, message).with("mock", &self.name));
        if self.name.is_empty() {
            return bad("a mock database has no name");
        }
        if !(0.0..=1.0).contains(&self.change) {
            return bad("the share that changes is not between 0 and 1");
        }
        if self.size > 1 << 56 || self.streams > 1 << 20 {
            return bad("a mock database holds 64 PiB in a million streams at most");
        }
        if self.streams == 0 && self.size > 0 {
            return bad("a mock database without streams has no bytes");
        }
        match self.cutting {
            Cutting::Pages(page) if !(1..=16 << 20).contains(&page) => bad("a page has 1 byte to 16 MiB"),
            _ => Ok(()),
        }
    }

    /// The streams at their first version, by name.
    pub(super) fn recipes(&self) -> impl Iterator<Item = (String, Recipe)> {
        let (count, size, version, seed) = (u64::from(self.streams), self.size, self.version, self.seed);
        let (cell, share) = (self.cell(), self.change);
        (0..count).map(move |number| {
            let length = size / count + u64::from(number < size % count);
            let change = share_of(length.div_ceil(cell), share);
            (format!("part-{number:04}"), Recipe { seed, number, length, cell, change, version })
        })
    }

    fn cell(&self) -> u64 {
        match self.cutting {
            Cutting::Pages(page) => u64::from(page),
            Cutting::Content => CELL,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a number that was a u64")]
fn share_of(cells: u64, share: f64) -> u64 {
    let some = u64::from(share > 0.0 && cells > 0);
    ((cells as f64 * share).round() as u64).clamp(some, cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_divided_and_something_always_changes() {
        let settings = MockSettings::new("a").with_streams(3).with_size(3 * 8192 + 1).with_change(0.001);
        let recipes: Vec<_> = settings.recipes().collect();
        assert_eq!(recipes.iter().map(|(_, r)| r.length).collect::<Vec<_>>(), [8193, 8192, 8192]);
        assert_eq!(recipes.iter().map(|(_, r)| r.change).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!((recipes[2].0.as_str(), recipes[2].1.number), ("part-0002", 2));
        let share = |share| settings.clone().with_change(share).recipes().next().unwrap().1.change;
        assert_eq!((share(0.0), share(0.7), share(1.0)), (0, 2, 3));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let good = MockSettings::new("a");
        good.validate().unwrap();
        MockSettings::empty("a").validate().unwrap();
        for bad in [
            MockSettings::new(""),
            good.clone().with_change(1.5),
            good.clone().with_change(f64::NAN),
            good.clone().with_pages(0),
            good.clone().with_streams(0),
            good.clone().with_size(u64::MAX),
        ] {
            assert_eq!(bad.validate().unwrap_err().kind(), ErrorKind::Config, "{bad:?}");
        }
    }
}
