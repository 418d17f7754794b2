//! Puts the pages that SQLite writes into the order of a stream: 2, 3, … up to the last, then 1.
//!
//! Page 1 comes last on purpose: it holds the header, so a file that was restored half way is
//! never taken for a database. SQLite keeps page 1 and the last pages in its cache until the end
//! and then writes them in ascending order; everything else arrives in order as the cache spills.

use std::collections::BTreeMap;

use kronos_core::Result;

use super::error::internal;
use super::header::PageOne;

/// The byte that SQLite locks; the page that holds it is never written.
const LOCK_BYTE: u64 = 0x4000_0000;

/// How many pages may wait for an earlier one. SQLite's cache of 16 pages is what can be out of
/// order; the rest is room for a change in how it spills.
const WAITING_AT_MOST: usize = 64;

/// Takes the bytes of a stream in order.
pub(super) trait PageOut {
    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Puts pages into order.
pub(super) struct PageOrder<'a> {
    out: &'a mut dyn PageOut,
    page_size: u32,
    pages: u32,
    next: u32,
    waiting: BTreeMap<u32, Box<[u8]>>,
    first: Option<Box<[u8]>>,
}

impl<'a> PageOrder<'a> {
    /// For a database of `pages` pages.
    pub(super) fn new(out: &'a mut dyn PageOut, page_size: u32, pages: u32) -> Self {
        Self { out, page_size, pages, next: 2, waiting: BTreeMap::new(), first: None }
    }

    /// The size of a page in bytes.
    pub(super) fn page_size(&self) -> u32 {
        self.page_size
    }

    /// Takes a page, counted from 1.
    pub(super) fn page(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        if bytes.len() != self.page_size as usize || number == 0 || number > self.pages {
            return Err(internal(format!("SQLite wrote {} bytes as page {number} of {}", bytes.len(), self.pages)));
        }
        if number == 1 {
            self.first = Some(bytes.into());
            return Ok(());
        }
        if number == self.lock_page() {
            return Ok(());
        }
        self.pass_lock_page()?;
        if number < self.next {
            return Err(internal(format!("SQLite wrote page {number} again")));
        }
        if number > self.next {
            self.waiting.insert(number, bytes.into());
            return if self.waiting.len() > WAITING_AT_MOST {
                Err(internal(format!("SQLite wrote {WAITING_AT_MOST} pages ahead of page {}", self.next)))
            } else {
                Ok(())
            };
        }
        self.out.append(bytes)?;
        self.next += 1;
        self.pass_lock_page()?;
        while let Some(bytes) = self.waiting.remove(&self.next) {
            self.out.append(&bytes)?;
            self.next += 1;
            self.pass_lock_page()?;
        }
        Ok(())
    }

    /// Ends with page 1, after `one` has set right what the copying changed in it.
    pub(super) fn finish(mut self, one: &PageOne) -> Result<()> {
        self.pass_lock_page()?;
        let Some(mut first) = self.first.take() else {
            return Err(internal("SQLite never wrote page 1"));
        };
        if self.next != self.pages + 1 || !self.waiting.is_empty() {
            return Err(internal(format!("SQLite never wrote page {} of {}", self.next, self.pages)));
        }
        one.set(&mut first);
        self.out.append(&first)
    }

    fn lock_page(&self) -> u32 {
        u32::try_from(LOCK_BYTE / u64::from(self.page_size) + 1).expect("a page has at least 512 bytes")
    }

    fn pass_lock_page(&mut self) -> Result<()> {
        if self.next == self.lock_page() && self.next <= self.pages {
            self.out.append(&vec![0; self.page_size as usize])?;
            self.next += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kronos_core::ErrorKind;

    /// Records the first four bytes of each page: its number.
    #[derive(Default)]
    struct Numbers(Vec<u32>);

    impl PageOut for Numbers {
        fn append(&mut self, bytes: &[u8]) -> Result<()> {
            self.0.push(u32::from_be_bytes(bytes[..4].try_into().unwrap()));
            Ok(())
        }
    }

    fn page(number: u32, size: usize) -> Vec<u8> {
        let mut page = vec![0; size];
        page[..4].copy_from_slice(&number.to_be_bytes());
        page
    }

    fn run(size: u32, pages: u32, written: impl IntoIterator<Item = u32>) -> Result<Vec<u32>> {
        let mut out = Numbers::default();
        let mut order = PageOrder::new(&mut out, size, pages);
        for number in written {
            order.page(number, &page(number, size as usize))?;
        }
        order.finish(&PageOne::default())?;
        Ok(out.0)
    }

    #[test]
    fn page_one_comes_last_whenever_it_was_written() {
        assert_eq!(run(512, 5, [2, 3, 1, 4, 5]).unwrap(), [2, 3, 4, 5, 1]);
        assert_eq!(run(512, 5, [5, 1, 3, 4, 2, 1]).unwrap(), [2, 3, 4, 5, 1]);
        assert_eq!(run(512, 1, [1]).unwrap(), [1]);
    }

    #[test]
    fn a_missing_or_doubled_page_is_an_error() {
        for written in [&[2, 4, 1][..], &[2, 3, 4], &[2, 2, 3, 4, 1], &[2, 3, 4, 5, 1], &[1], &[0]] {
            assert_eq!(run(512, 4, written.iter().copied()).unwrap_err().kind(), ErrorKind::Internal, "{written:?}");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        assert!(run(512, 1000, 3..=66).unwrap_err().message().contains("never wrote"));
        assert!(run(512, 1000, 3..=67).unwrap_err().message().contains("ahead of page 2"));
    }

    #[test]
    fn the_lock_byte_page_is_zeros_though_nobody_writes_it() {
        // With 64 KiB pages it is page 16385: between others, as the last one, and written anyway.
        let lock = 16385;
        let expected = |pages: u32| (2..=pages).map(|n| if n == lock { 0 } else { n }).chain([1]).collect::<Vec<_>>();
        let without = |pages: u32| (1..=pages).filter(move |n| *n != lock);
        assert_eq!(run(65536, lock + 2, without(lock + 2)).unwrap(), expected(lock + 2));
        assert_eq!(run(65536, lock, without(lock)).unwrap(), expected(lock));
        assert_eq!(run(65536, lock + 1, 1..=lock + 1).unwrap(), expected(lock + 1));
        // The pages after it may come before those in front of it.
        let swapped = (1..lock - 1).chain([lock + 1, lock - 1]);
        assert_eq!(run(65536, lock + 1, swapped).unwrap(), expected(lock + 1));
    }
}
