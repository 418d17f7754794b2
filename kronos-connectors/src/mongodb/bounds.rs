//! Large collections in parts, by ranges of their `_id`s. A bound may be any value of any type,
//! whether a document has it or not: each document is below it in the index, or it is not.

use kronos_core::{Error, PreviousStream, Result};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::connect::Server;
use super::error::corrupt;
use super::plan::{Content, Part};

/// A collection has at most about so many parts.
const PARTS: u64 = 512;
/// Of more documents the index is not walked through to find places for bounds.
const WALKED: u64 = 2_000_000;

/// From one `_id` on, up to but not with another.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Range {
    pub from: Option<Document>,
    pub to: Option<Document>,
}

/// How large a collection is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub bytes: u64,
    pub count: u64,
}

/// Splits a collection that has an index of `_id` into ranges of about so many bytes.
pub(super) async fn split(
    server: &Server,
    (database, collection): (&str, &str),
    size: Size,
    bytes: u64,
    previous: &[&PreviousStream],
) -> Result<Vec<Range>> {
    let wanted = (size.bytes / bytes.max(1)).min(PARTS);
    if wanted < 2 || size.count < 2 {
        return Ok(vec![Range::default()]);
    }
    // Where nothing has moved, nothing has to be stored again.
    if let Some(kept) = kept(size.bytes, previous)? {
        return Ok(ranges(kept));
    }
    let (first, last) = (end(server, database, collection, 1).await?, end(server, database, collection, -1).await?);
    let between = match (first, last) {
        (Some(first), Some(last)) if size.count > WALKED => interpolated(&first, &last, wanted),
        _ => None,
    };
    let bounds = match between {
        Some(bounds) => bounds,
        None => walk(server, database, collection, size.count.div_ceil(wanted)).await?,
    };
    Ok(ranges(bounds))
}

fn ranges(bounds: Vec<Document>) -> Vec<Range> {
    let mut found = vec![Range::default()];
    for bound in bounds {
        if let Some(last) = found.last_mut() {
            last.to = Some(bound.clone());
        }
        found.push(Range { from: Some(bound), to: None });
    }
    found
}

/// The bounds of the backup before, if the collection is about as large as it was.
fn kept(bytes: u64, previous: &[&PreviousStream]) -> Result<Option<Vec<Document>>> {
    let before: u64 = previous.iter().map(|stream| stream.end.length).sum();
    if previous.len() < 2 || bytes > before.saturating_mul(2) || bytes < before / 2 {
        return Ok(None);
    }
    let mut bounds = Vec::new();
    for stream in previous {
        if let Content::Documents(Part { from: Some(from), .. }) = Content::of(&stream.info)? {
            bounds.push(of_text(&from)?);
        }
    }
    Ok((bounds.len() + 1 == previous.len()).then_some(bounds))
}

/// The first or the last `_id`.
async fn end(server: &Server, database: &str, collection: &str, direction: i32) -> Result<Option<Document>> {
    one(server, database, doc! { "find": collection, "sort": { "_id": direction } }).await
}

async fn one(server: &Server, database: &str, mut ask: Document) -> Result<Option<Document>> {
    ask.extend(doc! { "projection": { "_id": 1 }, "hint": { "_id": 1 }, "limit": 1, "singleBatch": true });
    Ok(server.list(database, "look for places to split", ask).await?.into_iter().next())
}

/// Every so many documents a bound, by walking through the index.
async fn walk(server: &Server, database: &str, collection: &str, step: u64) -> Result<Vec<Document>> {
    let mut bounds: Vec<Document> = Vec::new();
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    loop {
        let mut ask = doc! { "find": collection, "sort": { "_id": 1 }, "skip": step };
        if let Some(from) = bounds.last() {
            ask.insert("min", from.clone());
        }
        match one(server, database, ask).await? {
            Some(bound) if bounds.last() != Some(&bound) => bounds.push(bound),
            _ => return Ok(bounds),
        }
    }
}

/// Bounds between two `_id`s of a kind that can be counted: at multiples of a power of two, so that
/// they stay where they are while a collection grows.
fn interpolated(first: &Document, last: &Document, wanted: u64) -> Option<Vec<Document>> {
    let (low, high) = (place(first.get("_id")?)?, place(last.get("_id")?)?);
    let is_id = matches!(first.get("_id"), Some(Bson::ObjectId(_)));
    if is_id != matches!(last.get("_id"), Some(Bson::ObjectId(_))) || high <= low {
        return None;
    }
    let step = i128::from(wanted).checked_add(1).map(|parts| (high - low) / parts)?;
    let step = i128::try_from(u128::try_from(step.max(1)).ok()?.next_power_of_two()).ok()?;
    let mut bounds = Vec::new();
    let mut at = (low.div_euclid(step) + 1) * step;
    while at < high {
        bounds.push(doc! { "_id": value(at, is_id)? });
        at += step;
    }
    Some(bounds)
}

/// Where a value is on a line: numbers as they are, ids by the seconds and what follows them.
fn place(value: &Bson) -> Option<i128> {
    match value {
        Bson::Int32(n) => Some(i128::from(*n)),
        Bson::Int64(n) => Some(i128::from(*n)),
        Bson::ObjectId(id) => Some(i128::from(u64::from_be_bytes(*id.bytes().first_chunk::<8>()?))),
        _ => None,
    }
}

fn value(place: i128, is_id: bool) -> Option<Bson> {
    if !is_id {
        return Some(Bson::Int64(i64::try_from(place).ok()?));
    }
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&u64::try_from(place).ok()?.to_be_bytes());
    Some(Bson::ObjectId(ObjectId::from_bytes(bytes)))
}

/// A bound for an attribute.
pub(super) fn text(bound: &Document) -> Result<String> {
    let raw = RawDocumentBuf::try_from(bound).map_err(|e| unusable().with_source(e))?;
    Ok(hex::encode(raw.as_bytes()))
}

/// The reverse.
pub(super) fn of_text(text: &str) -> Result<Document> {
    let bytes = hex::decode(text).map_err(|_| unusable())?;
    let raw = RawDocumentBuf::from_bytes(bytes).map_err(|_| unusable())?;
    Document::try_from(raw).map_err(|_| unusable())
}

fn unusable() -> Error {
    corrupt("a part of a collection has a bound that cannot be")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_stay_where_they_are_while_a_collection_grows() {
        let id = |n: u8| doc! { "_id": ObjectId::from_bytes([0x65, n, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]) };
        let before = interpolated(&id(0), &id(100), 16).unwrap();
        let after = interpolated(&id(0), &id(101), 16).unwrap();
        assert!(before.len() >= 8 && before.len() <= 32, "{}", before.len());
        assert_eq!(before, after[..before.len()]);
        let numbers = interpolated(&doc! { "_id": -5 }, &doc! { "_id": 1_000_000_i64 }, 4).unwrap();
        assert_eq!(numbers[0], doc! { "_id": 0_i64 });
        assert!(interpolated(&doc! { "_id": 1 }, &doc! { "_id": "x" }, 4).is_none());
        assert!(interpolated(&doc! { "_id": 1 }, &id(1), 4).is_none());
        let all = interpolated(&doc! { "_id": i64::MIN }, &doc! { "_id": i64::MAX }, 500).unwrap();
        assert!(all.len() <= 1024);
    }

    #[test]
    fn a_bound_survives_its_text() {
        for bound in [doc! { "_id": "x" }, doc! { "_id": { "a": 1.5 } }, doc! { "_id": Bson::Null }] {
            assert_eq!(of_text(&text(&bound).unwrap()).unwrap(), bound);
        }
        assert!(of_text("05").is_err() && of_text("xy").is_err() && of_text("0").is_err());
    }

    #[test]
    fn ranges_share_nothing_and_leave_nothing_out() {
        let found = ranges(vec![doc! { "_id": 1 }, doc! { "_id": 2 }]);
        assert_eq!(found.len(), 3);
        assert!(found[0].from.is_none() && found[2].to.is_none());
        assert!(found.windows(2).all(|pair| pair[0].to == pair[1].from));
    }
}
