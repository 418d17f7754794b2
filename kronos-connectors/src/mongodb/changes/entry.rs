//! Looks into entries and answers as far as following needs it.

use kronos_core::Result;
use mongodb::bson::{RawDocument, RawDocumentBuf, Timestamp};

use super::super::error::corrupt;
use super::shared::number;

/// The moment of an entry: `clusterTime` of a change event, `ts` of the oplog.
pub(super) fn moment(entry: &RawDocument, field: &str) -> Result<u64> {
    entry.get_timestamp(field).map(number).map_err(|_| corrupt("the server tells a change without its time"))
}

/// The documents of a batch.
pub(super) fn batch(answer: &RawDocument) -> Result<Vec<&RawDocument>> {
    let broken = || corrupt("the server answers with a batch that cannot be read");
    let wrong = |_| broken();
    let cursor = answer.get_document("cursor").map_err(wrong)?;
    let batch = cursor.get_array("firstBatch").or_else(|_| cursor.get_array("nextBatch")).map_err(wrong)?;
    let mut documents = Vec::new();
    for value in batch {
        documents.push(value.ok().and_then(mongodb::bson::RawBsonRef::as_document).ok_or_else(broken)?);
    }
    Ok(documents)
}

/// How far a change stream has got, in an answer.
pub(super) fn token(answer: &RawDocument) -> Option<RawDocumentBuf> {
    let token = answer.get_document("cursor").ok()?.get_document("postBatchResumeToken").ok()?;
    Some(token.to_owned())
}

/// The moment that a resume token stands for. Its `_data` is hexadecimal, and begins with the type
/// of a timestamp, 0x82, seconds and increment, all big endian.
pub(super) fn moment_of_token(token: &RawDocument) -> Option<u64> {
    let data = token.get_str("_data").ok()?;
    let (kind, rest) = data.split_at_checked(2)?;
    if kind == "82" { u64::from_str_radix(rest.get(..16)?, 16).ok() } else { None }
}

/// The same as a timestamp.
pub(super) fn timestamp(number: u64) -> Timestamp {
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    Timestamp { time: (number >> 32) as u32, increment: number as u32 }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::rawdoc;

    use super::*;

    #[test]
    fn a_token_tells_its_moment() {
        // As a server gives it on an idle collection.
        let token = rawdoc! { "_data": "8263D4B2F1000000052B0229296E1404" };
        assert_eq!(moment_of_token(&token).map(timestamp), Some(Timestamp { time: 0x63D4_B2F1, increment: 5 }));
        assert_eq!(moment_of_token(&rawdoc! { "_data": "81" }), None);
        assert_eq!(moment_of_token(&rawdoc! { "_data": "8" }), None);
    }

    #[test]
    fn batches_are_read_of_both_answers() {
        let first = rawdoc! { "cursor": { "id": 1_i64, "firstBatch": [{ "a": 1 }, { "a": 2 }] } };
        let next = rawdoc! { "cursor": { "id": 1_i64, "nextBatch": [], "postBatchResumeToken": { "_data": "82" } } };
        assert_eq!((batch(&first).unwrap().len(), batch(&next).unwrap().len()), (2, 0));
        assert!(token(&first).is_none() && token(&next).is_some());
        assert!(batch(&rawdoc! { "ok": 1 }).is_err());
    }
}
