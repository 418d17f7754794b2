//! Joins what `$changeStreamSplitLargeEvent` has split. Each fragment has some of the fields of the
//! event, an `_id` of its own, and `splitEvent: {fragment, of}`.

use kronos_core::{Error, Result};
use mongodb::bson::{RawDocument, RawDocumentBuf};

use super::super::error::corrupt;
use super::moment::whole;

/// Fragments of an event that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    fields: Vec<u8>,
    seen: i64,
}

impl Fragments {
    /// Whether an event waits for more.
    pub(super) fn is_open(&self) -> bool {
        self.seen > 0
    }

    /// Takes a fragment; gives the event once it is whole. Its `_id` is that of the last fragment,
    /// after which the stream goes on.
    pub(super) fn add(&mut self, fragment: &RawDocument) -> Result<Option<RawDocumentBuf>> {
        let place = fragment.get_document("splitEvent").map_err(|_| wrong())?;
        let place = place.to_owned().try_into().map_err(|_| wrong())?;
        let (number, of) = whole(&place, "fragment").zip(whole(&place, "of")).ok_or_else(wrong)?;
        if number != self.seen + 1 || of < number {
            return Err(wrong().with("fragment", number).with("of", of));
        }
        let bytes = fragment.as_bytes();
        let mut start = 4;
        for element in fragment.iter_elements() {
            let element = element.map_err(|_| wrong())?;
            let end = start + 1 + element.key().len() + 1 + element.size();
            let name = element.key().as_str();
            if name != "splitEvent" && (name != "_id" || number == of) {
                self.fields.extend_from_slice(&bytes[start..end]);
            }
            start = end;
        }
        self.seen = number;
        if number < of {
            return Ok(None);
        }
        let Self { fields, .. } = std::mem::take(self);
        let length = i32::try_from(fields.len() + 5).map_err(|_| wrong())?;
        let mut event = length.to_le_bytes().to_vec();
        event.extend(fields);
        event.push(0);
        RawDocumentBuf::from_bytes(event).map(Some).map_err(|_| wrong())
    }
}

fn wrong() -> Error {
    corrupt("the server sends parts of a change that do not fit together")
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{doc, rawdoc};

    use super::*;

    #[test]
    fn an_event_is_put_together_again() {
        let mut fragments = Fragments::default();
        let first = rawdoc! { "_id": { "_data": "1" }, "splitEvent": { "fragment": 1, "of": 2 }, "operationType": "insert", "wallTime": 1 };
        let second = rawdoc! { "_id": { "_data": "2" }, "splitEvent": { "fragment": 2, "of": 2 }, "fullDocument": { "_id": 1, "a": "b" } };
        assert!(fragments.add(&first).unwrap().is_none() && fragments.is_open());
        let event = fragments.add(&second).unwrap().unwrap();
        let expected = doc! { "operationType": "insert", "wallTime": 1, "_id": { "_data": "2" }, "fullDocument": { "_id": 1, "a": "b" } };
        assert_eq!(mongodb::bson::Document::try_from(event).unwrap(), expected);
        assert!(!fragments.is_open());
        assert!(fragments.add(&second).is_err());
    }
}
