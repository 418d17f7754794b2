//! Numbers by chance that follow from a seed and a place.

use crate::mock::recipe::mix;

/// What one row is made by.
#[derive(Debug)]
pub(super) struct Dice {
    key: u64,
    thrown: u64,
}

impl Dice {
    pub(super) fn new(seed: u64, table: u64, row: u64) -> Self {
        Self { key: mix(mix(mix(seed) ^ table) ^ row), thrown: 0 }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.thrown += 1;
        mix(self.key ^ mix(self.thrown))
    }

    /// From 0 up to, not including, `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// One in so many.
    pub(super) fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        let place = self.below(among.len() as u64);
        among[usize::try_from(place).unwrap_or_default()]
    }

    pub(super) fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.number().to_le_bytes()[0]).collect()
    }

    /// A UUID of version 4, in the form of RFC 9562.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.number(), self.number());
        let high = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

/// A day, counted from the first of March of the year 0, as `2026-03-01`. After Howard Hinnant's
/// `civil_from_days`: <https://howardhinnant.github.io/date_algorithms.html>.
pub(super) fn date(days: u64) -> String {
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, from_march) = (day - (153 * month + 2) / 5 + 1, month);
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        // SQLite's own: julianday('0000-03-01') is 1721119.5.
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for days in (0..800_000).step_by(97) {
            let sqlite: String = connection.query_row("SELECT date(1721119.5 + ?1)", [days], |row| row.get(0)).unwrap();
            assert_eq!(date(u64::try_from(days).unwrap()), sqlite);
        }
    }

    #[test]
    fn what_is_thrown_is_spread() {
        let mut seen = [0_u32; 6];
        for row in 0..600 {
            seen[usize::try_from(Dice::new(1, 2, row).below(6)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|times| (60..150).contains(times)), "{seen:?}");
        assert_eq!(Dice::new(1, 2, 3).uuid().len(), 36);
        assert_eq!(&Dice::new(1, 2, 3).uuid()[14..15], "4");
    }
}
