//! Documents in a row, as streams hold them; and a digest of many of them in whatever order.

use bytes::{Buf, Bytes, BytesMut};
use kronos_core::Result;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf};

use super::error::corrupt;

/// The largest document that a server has, and what it may add to one of its own.
const LARGEST: usize = (16 << 20) + (64 << 10);
/// The smallest: its length and the end.
const SMALLEST: usize = 5;

/// Takes pieces of any size, gives whole documents.
#[derive(Debug, Default)]
pub(super) struct Documents {
    rest: BytesMut,
}

impl Documents {
    /// Takes a piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    /// So many bytes, once they are there; whatever they are.
    pub(super) fn bytes(&mut self, length: usize) -> Option<Bytes> {
        (self.rest.remaining() >= length).then(|| self.rest.split_to(length).freeze())
    }

    /// Whether these bytes come next; `None` as long as that cannot be told.
    pub(super) fn begins_with(&self, bytes: [u8; 4]) -> Option<bool> {
        self.rest.first_chunk::<4>().map(|found| *found == bytes)
    }

    /// The next whole document, as its bytes.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(length) = self.rest.first_chunk::<4>().map(|bytes| i32::from_le_bytes(*bytes)) else {
            return Ok(None);
        };
        let length = usize::try_from(length).unwrap_or_default();
        if !(SMALLEST..=LARGEST).contains(&length) {
            return Err(corrupt("a document has a length that cannot be"));
        }
        if self.rest.remaining() < length {
            return Ok(None);
        }
        let document = self.rest.split_to(length).freeze();
        if document.last() != Some(&0) {
            return Err(corrupt("a document has no end"));
        }
        Ok(Some(document))
    }

    /// Nothing may be left behind the last one.
    pub(super) fn finish(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(corrupt("the last document is not whole")) }
    }
}

/// Small documents in a row.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Document>> {
    let (mut documents, mut found) = (Documents::default(), Vec::new());
    documents.push(bytes);
    while let Some(document) = documents.next()? {
        let raw = RawDocument::from_bytes(&document).map_err(|_| corrupt("this is no document"))?;
        found.push(Document::try_from(raw).map_err(|_| corrupt("this is no document"))?);
    }
    documents.finish()?;
    Ok(found)
}

/// The reverse.
pub(super) fn joined<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for document in documents {
        let raw = RawDocumentBuf::try_from(document)
            .map_err(|e| super::error::internal("a document has no bytes").with_source(e))?;
        bytes.extend_from_slice(raw.as_bytes());
    }
    Ok(bytes)
}

/// The sum of the digests of documents, and their number: the same in whatever order they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub count: u64,
    digits: [u64; 4],
}

impl Sum {
    /// Where only the number is known.
    pub(super) fn of_count(count: u64) -> Self {
        Self { count, ..Self::default() }
    }

    pub(super) fn add(&mut self, document: &[u8]) {
        let digest = blake3::hash(document);
        let mut digits = [0; 4];
        for (digit, bytes) in digits.iter_mut().zip(digest.as_bytes().chunks_exact(8)) {
            *digit = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        }
        self.add_all(&Self { count: 1, digits });
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        self.count += other.count;
        let mut carry = false;
        for (digit, more) in self.digits.iter_mut().zip(other.digits) {
            let (sum, first) = digit.overflowing_add(more);
            let (sum, second) = sum.overflowing_add(carry.into());
            (*digit, carry) = (sum, first || second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn documents_come_whole_out_of_any_pieces() {
        let all = [doc! { "_id": 1, "a": "x" }, doc! {}, doc! { "_id": 2, "a": [1, 2] }];
        let bytes = joined(&all).unwrap();
        assert_eq!(parse(&bytes).unwrap(), all);
        for size in 1..bytes.len() {
            let (mut documents, mut found) = (Documents::default(), Vec::new());
            for piece in bytes.chunks(size) {
                documents.push(piece);
                while let Some(document) = documents.next().unwrap() {
                    found.extend_from_slice(&document);
                }
            }
            documents.finish().unwrap();
            assert_eq!(found, bytes);
        }
        assert!(parse(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in [&[4, 0, 0, 0, 0][..], &[255, 255, 255, 255, 0], &[5, 0, 0, 0, 1], &[0, 0, 0, 127]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sum_knows_no_order_and_sees_every_change() {
        let of = |documents: &[&[u8]]| {
            let mut sum = Sum::default();
            for document in documents {
                sum.add(document);
            }
            sum
        };
        assert_eq!(of(&[b"a", b"b", b"c"]), of(&[b"c", b"a", b"b"]));
        assert_ne!(of(&[b"a", b"a"]), of(&[b"b", b"b"]));
        assert_ne!(of(&[b"a"]), of(&[b"a", b"a"]));
        let (mut left, right) = (of(&[b"a", b"b"]), of(&[b"c"]));
        left.add_all(&right);
        assert_eq!(left, of(&[b"a", b"b", b"c"]));
    }
}
