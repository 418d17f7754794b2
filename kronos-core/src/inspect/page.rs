//! Pages of a result.

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

/// Which rows of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRequest {
    /// The page, from 1.
    pub number: u64,
    /// Rows in a page. Default 100.
    pub size: u64,
    /// Where the page before ended ([`Page::next`]): the rows after it are found by key, however many
    /// come before.
    pub after: Option<String>,
    /// Count all rows, too.
    pub total: bool,
}

/// More rows than this are for [`stream_query`](super::Inspect::stream_query).
const LARGEST: u64 = 100_000;

impl Default for PageRequest {
    fn default() -> Self {
        Self { number: 1, size: 100, after: None, total: false }
    }
}

impl PageRequest {
    /// A page of 100 rows.
    pub fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// With as many rows.
    #[must_use]
    pub fn size(mut self, rows: u64) -> Self {
        self.size = rows;
        self
    }

    /// The rows after the place where another page ended.
    #[must_use]
    pub fn after(mut self, place: impl Into<String>) -> Self {
        self.after = Some(place.into());
        self
    }

    /// And how many rows there are in all.
    #[must_use]
    pub fn with_total(mut self) -> Self {
        self.total = true;
        self
    }

    /// How many rows come before the page. `Config` when there is no such page.
    pub fn skipped(&self) -> Result<u64> {
        let wrong = |message: &str| Error::new(ErrorKind::Config, message);
        if self.number == 0 {
            return Err(wrong("there is no page 0").with("hint", "pages count from 1"));
        }
        if self.size == 0 || self.size > LARGEST {
            return Err(wrong("a page has from 1 to 100000 rows").with("page size", self.size));
        }
        if self.after.is_some() {
            return Ok(0);
        }
        (self.number - 1)
            .checked_mul(self.size)
            .filter(|skipped| i64::try_from(skipped + self.size + 1).is_ok())
            .ok_or_else(|| wrong("there is no such page").with("page", self.number))
    }

    /// What the page is, when `rows` of the `size + 1` that were asked for came.
    pub fn filled(&self, rows: u64, next: Option<String>, counted: Option<u64>) -> Page {
        let has_next = rows > self.size;
        let before = (self.number - 1).saturating_mul(self.size);
        // Behind the end, nothing is known of where it was.
        let known = !has_next && self.after.is_none() && (rows > 0 || self.number == 1);
        let total = counted.or_else(|| known.then(|| before + rows));
        Page { number: self.number, size: self.size, total, has_next, next: next.filter(|_| has_next) }
    }
}

/// Which rows of a result these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The page, from 1.
    pub number: u64,
    /// The most rows that it has.
    pub size: u64,
    /// How many rows there are in all, where that is known.
    pub total: Option<u64>,
    /// There are more rows.
    pub has_next: bool,
    /// Where this page ended, for [`PageRequest::after`]: for rows of a table with a key.
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_count_from_one() {
        assert_eq!(PageRequest::new(0).skipped().unwrap_err().kind(), ErrorKind::Config);
        assert!(PageRequest::new(1).size(0).skipped().is_err());
        assert!(PageRequest::new(u64::MAX).skipped().is_err() && PageRequest::new(u64::MAX / 100).skipped().is_err());
        assert_eq!((PageRequest::new(1).skipped().unwrap(), PageRequest::new(3).skipped().unwrap()), (0, 200));
    }

    #[test]
    fn the_last_page_knows_the_total() {
        let second = PageRequest::new(2).size(10);
        let page = second.filled(11, None, None);
        assert_eq!((page.total, page.has_next), (None, true));
        let page = second.filled(4, None, None);
        assert_eq!((page.total, page.has_next), (Some(14), false));
        assert_eq!(second.filled(0, None, None).total, None);
        assert_eq!(second.filled(11, None, Some(99)).total, Some(99));
    }
}
