//! The new end of a binary, as a diff of the oplog tells it: `{o: from where on, d: the bytes from there
//! on}`. From 8.0 on, the buckets of time series are changed so, whose columns grow.
//!
//! Entries that are older than the copy that they are applied to do no harm: what is before the smallest
//! `o` among them is the same in both, and with the entry that has it, all the rest is right again.

use kronos_core::Result;

use super::super::error::corrupt;
use super::raw::{self, BINARY, OwnedValue, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail<'a> {
    from: usize,
    bytes: &'a [u8],
}

impl<'a> Tail<'a> {
    pub(super) fn read(told: Value<'a>) -> Result<Self> {
        let wrong = || corrupt("a new end of a binary cannot be read");
        let told = told.document().ok_or_else(wrong)?;
        let from = raw::find(told, "o")?.and_then(Value::index).ok_or_else(wrong)?;
        let (_, bytes) = raw::find(told, "d")?.and_then(Value::binary).ok_or_else(wrong)?;
        Ok(Self { from, bytes })
    }

    /// The binary with this end; `None` where there is none. One that is shorter than it was then is
    /// taken as it is: a later entry puts it right.
    pub(super) fn apply(self, before: Value<'_>) -> Result<Option<OwnedValue>> {
        let Some((subtype, kept)) = before.binary() else { return Ok(None) };
        let kept = kept.get(..self.from).unwrap_or(kept);
        let length = i32::try_from(kept.len() + self.bytes.len()).map_err(|_| corrupt("a document grows too large"))?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.push(subtype);
        bytes.extend_from_slice(kept);
        bytes.extend_from_slice(self.bytes);
        Ok(Some(OwnedValue { kind: BINARY, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::spec::BinarySubtype;
    use mongodb::bson::{Binary, Document, doc};

    use super::super::diff;

    /// A column, as a bucket has it.
    fn column(bytes: &[u8]) -> Binary {
        Binary { subtype: BinarySubtype::Column, bytes: bytes.to_vec() }
    }

    fn told(from: usize, bytes: &[u8]) -> Document {
        let d = Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() };
        doc! { "sdata": { "b": { "v": { "o": i32::try_from(from).unwrap(), "d": d } } } }
    }

    fn after(document: &Document, diff: &Document) -> Document {
        let bytes = diff::apply(&document.to_vec().unwrap(), &diff.to_vec().unwrap()).unwrap();
        Document::from_reader(&bytes[..]).unwrap()
    }

    #[test]
    fn what_is_before_it_stays() {
        let bucket = |bytes: &[u8]| doc! { "_id": 1, "data": { "t": 1, "v": column(bytes) } };
        assert_eq!(after(&bucket(b"abcd"), &told(3, b"xyz")), bucket(b"abcxyz"));
        assert_eq!(after(&bucket(b"abcd"), &told(4, b"e")), bucket(b"abcde"));
        assert_eq!(after(&bucket(b"abcd"), &told(0, b"")), bucket(b""));
        // Not what it was then.
        assert_eq!(after(&bucket(b"ab"), &told(3, b"d")), bucket(b"abd"));
        assert_eq!(after(&doc! { "data": { "v": 1 } }, &told(0, b"a")), doc! { "data": { "v": null } });
        assert_eq!(after(&doc! { "data": { "w": 1 } }, &told(0, b"a")), doc! { "data": { "w": 1 } });
        for wrong in [doc! { "o": 1 }, doc! { "o": -1, "d": column(b"a") }, doc! { "o": 1, "d": "a" }] {
            assert!(diff::check(&doc! { "b": { "v": wrong } }.to_vec().unwrap()).is_err());
        }
        assert!(diff::check(&doc! { "b": { "v": 1 } }.to_vec().unwrap()).is_err());
    }

    #[test]
    fn whatever_moment_was_copied_the_end_is_the_same() {
        let mut seed = 1_u64;
        let mut below = |n: usize| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            usize::try_from((seed >> 33) % n as u64).unwrap()
        };
        for _ in 0..2000 {
            let (mut states, mut diffs) = (vec![vec![0_u8; 1 + below(6)]], Vec::new());
            for step in 1..2 + below(8) {
                let mut state = states.last().unwrap().clone();
                // Further back than the last time as well.
                let from = below(state.len() + 1);
                let new = vec![u8::try_from(step).unwrap(); below(5)];
                state.truncate(from);
                state.extend(&new);
                states.push(state);
                diffs.push(told(from, &new));
            }
            let of = |state: &[u8]| doc! { "data": { "v": column(state) } };
            let end = of(states.last().unwrap());
            for copy in &states {
                let found = diffs.iter().chain(&diffs).fold(of(copy), |document, diff| after(&document, diff));
                assert_eq!(found, end, "copied as {copy:?} of {states:?}");
            }
        }
    }
}
