//! Where a transaction began of which the oplog tells the rest.
//!
//! A backup follows the oplog from the oldest transaction on that is open. Which those are is told by the
//! member that is asked, and from where on the oplog is followed by what the majority has: a transaction
//! that ends in between is no longer open, and yet its first entries are older. It shows by an entry that
//! says what came before it.

use kronos_core::{Error, Result};
use mongodb::bson::{RawDocument, RawDocumentBuf, Timestamp};

use super::super::error::corrupt;
use super::entry::moment;
use super::shared::number;

/// The moment of the entry before this one in its transaction. Nothing for the first one, and for what is
/// no part of one: several writes of a retryable statement look like it.
pub(super) fn before(entry: &RawDocument) -> Option<Timestamp> {
    let command = entry.get_str("op").ok().filter(|op| *op == "c").and_then(|_| entry.get_document("o").ok())?;
    let has = |name: &str| command.get(name).is_ok_and(|value| value.is_some());
    let is_part = has("commitTransaction")
        || (has("applyOps")
            && entry.get_document("lsid").is_ok()
            && !entry.get_i32("multiOpType").is_ok_and(|kind| kind == 1));
    let before = entry.get_document("prevOpTime").and_then(|before| before.get_timestamp("ts")).ok()?;
    (is_part && number(before) > 0).then_some(before)
}

/// The moment of its first entry; `find` gives the entry of a moment.
pub(super) async fn beginning<F>(mut part: Timestamp, find: impl Fn(Timestamp) -> F) -> Result<Timestamp>
where
    F: Future<Output = Result<Option<RawDocumentBuf>>>,
{
    loop {
        // The log forgets the oldest first: what was there a moment ago may be gone.
        let found = find(part).await?.ok_or_else(forgotten)?;
        match before(&found) {
            None => return Ok(part),
            Some(earlier) if number(earlier) >= moment(&found, "ts")? => {
                return Err(corrupt("the entries of a transaction stand in a circle"));
            }
            Some(earlier) => part = earlier,
        }
    }
}

fn forgotten() -> Error {
    Error::new(
        kronos_core::ErrorKind::Conflict,
        "the server has thrown away the beginning of a transaction that the backup needs: its oplog is too small",
    )
    .with("hint", "run the backup again; `replSetResizeOplog` makes the oplog larger")
}

#[cfg(test)]
mod tests {
    use mongodb::bson::rawdoc;

    use super::*;

    fn at(time: u32) -> Timestamp {
        Timestamp { time, increment: 1 }
    }

    fn part(time: u32, before: Timestamp, o: RawDocumentBuf) -> RawDocumentBuf {
        let before = rawdoc! { "ts": before, "t": 1_i64 };
        rawdoc! { "ts": at(time), "op": "c", "ns": "admin.$cmd", "lsid": { "id": 1 }, "txnNumber": 1_i64, "prevOpTime": before, "o": o }
    }

    const NONE: Timestamp = Timestamp { time: 0, increment: 0 };

    #[test]
    fn only_parts_have_something_before_them() {
        let applied = || rawdoc! { "applyOps": [], "partialTxn": true };
        assert_eq!(before(&part(5, at(4), applied())), Some(at(4)));
        assert_eq!(before(&part(5, at(4), rawdoc! { "commitTransaction": 1 })), Some(at(4)));
        assert_eq!(before(&part(5, NONE, applied())), None);
        assert_eq!(before(&part(5, at(4), rawdoc! { "create": "a" })), None);
        let mut statement = part(5, at(4), rawdoc! { "applyOps": [] });
        statement.append(mongodb::bson::cstr!("multiOpType"), 1);
        assert_eq!(before(&statement), None);
        assert_eq!(before(&rawdoc! { "op": "c", "o": { "applyOps": [] } }), None);
        let write = rawdoc! { "op": "i", "o": { "applyOps": 1 }, "lsid": {}, "prevOpTime": { "ts": at(4) } };
        assert_eq!(before(&write), None);
    }

    #[tokio::test]
    async fn it_is_found_part_by_part() {
        let applied = || rawdoc! { "applyOps": [] };
        let log = [part(2, NONE, applied()), part(4, at(2), applied()), part(6, at(4), applied())];
        let find = |wanted: Timestamp| {
            let found =
                log.iter().find(|entry| entry.get_timestamp("ts").is_ok_and(|moment| moment == wanted)).cloned();
            async move { Ok(found) }
        };
        assert_eq!(beginning(at(6), find).await.unwrap(), at(2));
        assert_eq!(beginning(at(2), find).await.unwrap(), at(2));
        let error = beginning(at(3), find).await.unwrap_err();
        assert_eq!(error.kind(), kronos_core::ErrorKind::Conflict);
        let circle = |_| async { Ok(Some(part(2, at(2), applied()))) };
        assert!(beginning(at(2), circle).await.is_err());
    }
}
