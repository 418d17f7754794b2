//! Documents, and entries that only look like such.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};

use super::{assert_read, at, entry, in_session, insert_entry, update, with};

const BUCKET: [u8; 12] = [7; 12];

#[test]
fn documents() {
    let diff = |diff: Document| doc! { "$v": 2, "diff": diff };
    let bucket = |o: Document| {
        with(
            entry("u", "shop.system.buckets.s", o),
            doc! { "o2": { "_id": ObjectId::from_bytes(BUCKET) }, "checkExistenceForDiffInsert": true },
        )
    };
    let end = Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 0] };
    let new_bucket = doc! { "_id": ObjectId::from_bytes(BUCKET), "control": { "version": 2 }, "data": {} };
    assert_read(&[
        (
            "insert",
            vec![with(entry("i", "shop.a.b", doc! { "_id": 1 }), doc! { "o2": { "_id": 1 } })],
            &["insert shop.a.b 1"],
        ),
        ("replacement", vec![update("shop.a", doc! { "_id": 1, "x": 1 })], &["replace shop.a 1"]),
        (
            "fields gone, changed, new, inside",
            vec![update(
                "shop.a",
                diff(doc! { "d": { "a": false }, "u": { "b": 1 }, "i": { "c": 1 }, "sd": { "u": { "e": 1 } } }),
            )],
            &["diff shop.a 1"],
        ),
        (
            "an array cut and changed",
            vec![update("shop.a", diff(doc! { "sa": { "a": true, "l": 2, "u0": 1, "s1": { "i": { "x": 1 } } } }))],
            &["diff shop.a 1"],
        ),
        ("delete", vec![entry("d", "shop.a", doc! { "_id": 1 })], &["delete shop.a 1"]),
        (
            "a delete with its shard key",
            vec![entry("d", "shop.a", doc! { "region": "eu", "_id": 1 })],
            &["delete shop.a 1"],
        ),
        (
            "a bucket of a time series",
            vec![entry("i", "shop.system.buckets.s", new_bucket)],
            &["insert shop.system.buckets.s bucket"],
        ),
        (
            "a bucket that grows",
            vec![bucket(diff(
                doc! { "scontrol": { "u": { "count": 2 } }, "sdata": { "i": { "n": 1 }, "b": { "t": { "o": 5, "d": end } } } },
            ))],
            &["diff shop.system.buckets.s bucket"],
        ),
        ("retryable write", vec![with(in_session(insert_entry(1), 1, 0), doc! { "stmtId": 0 })], &["insert shop.a 1"]),
        (
            "findAndModify, whose image is kept elsewhere",
            vec![with(
                in_session(update("shop.a", diff(doc! { "u": { "b": 1 } })), 1, 0),
                doc! { "stmtId": 0, "needsRetryImage": "preImage" },
            )],
            &["diff shop.a 1"],
        ),
        (
            "findAndModify with its image before it",
            vec![
                in_session(entry("n", "shop.a", doc! { "_id": 1, "b": 0 }), 1, 0),
                with(update("shop.a", diff(doc! { "u": { "b": 1 } })), doc! { "preImageOpTime": at(9) }),
            ],
            &["diff shop.a 1"],
        ),
        ("moved to another shard", vec![with(insert_entry(1), doc! { "fromMigrate": true })], &["insert shop.a 1"]),
        (
            "nothing",
            vec![entry("n", "", doc! { "msg": "periodic noop" }), entry("n", "shop.a", doc! { "msg": "x" })],
            &[],
        ),
        (
            "a view is a document",
            vec![entry("i", "shop.system.views", doc! { "_id": 1, "viewOn": "a", "pipeline": [] })],
            &["insert shop.system.views 1"],
        ),
    ]);
}
