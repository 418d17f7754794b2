//! Numbers and bytes in the binary records: tables of packs and nodes of indexes.
//!
//! Numbers are LEB128: seven bits a byte, the lowest first. A reader never trusts a count:
//! nothing is allocated that the remaining bytes could not fill.

use crate::id::Id;

#[derive(Debug, Default)]
pub(crate) struct Encoder(pub Vec<u8>);

impl Encoder {
    pub(crate) fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.0.push((n & 0x7f) as u8);
    }

    pub(crate) fn id(&mut self, id: &Id) {
        self.0.extend_from_slice(&id.0);
    }
}

#[derive(Debug)]
pub(crate) struct Decoder<'a>(pub &'a [u8]);

impl Decoder<'_> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    pub(crate) fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub(crate) fn short(&mut self) -> Option<u16> {
        self.number()?.try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn id(&mut self) -> Option<Id> {
        let (id, rest) = self.0.split_first_chunk::<16>()?;
        self.0 = rest;
        Some(Id(*id))
    }

    /// A count of things that take at least `least` bytes each.
    pub(crate) fn count(&mut self, least: usize) -> Option<usize> {
        let n = usize::try_from(self.number()?).ok()?;
        (n.checked_mul(least)? <= self.0.len()).then_some(n)
    }

    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_go_there_and_back(n: u64) {
            let mut e = Encoder::default();
            e.number(n);
            let mut d = Decoder(&e.0);
            prop_assert_eq!(d.number(), Some(n));
            prop_assert!(d.end().is_some());
        }

        #[test]
        fn rubbish_never_panics(bytes: Vec<u8>) {
            let mut d = Decoder(&bytes);
            while d.number().is_some() {}
            let mut d = Decoder(&bytes);
            let _ = d.count(16);
        }
    }
}
