//! Transactions, and what is told in the same way.

use mongodb::bson::{Timestamp, doc};

use super::{apply_ops, assert_read, entry, in_session, insert, insert_entry, read, uuid, with};

#[test]
fn transactions() {
    let part = |number, before, inner: &[i32], more| {
        in_session(apply_ops(inner.iter().map(|id| insert(*id)).collect(), more), number, before)
    };
    let partial = || doc! { "partialTxn": true };
    let prepare = || doc! { "prepare": true };
    let end = |number, before, o| in_session(entry("c", "admin.$cmd", o), number, before);
    let commit = |number, before| {
        end(number, before, doc! { "commitTransaction": 1, "commitTimestamp": Timestamp { time: 9, increment: 1 } })
    };
    let abort = |number, before| end(number, before, doc! { "abortTransaction": 1 });
    let made = doc! { "op": "c", "ns": "shop.$cmd", "ui": uuid(2), "o": { "create": "new" } };
    assert_read(&[
        ("whole", vec![part(1, 0, &[1, 2], doc! {})], &["insert shop.a 1", "insert shop.a 2"]),
        (
            "in parts",
            vec![
                part(1, 0, &[1], partial()),
                part(2, 0, &[9], doc! {}),
                part(1, 5, &[2], partial()),
                part(1, 6, &[3], doc! { "count": 3_i64 }),
            ],
            &["insert shop.a 9", "insert shop.a 1", "insert shop.a 2", "insert shop.a 3"],
        ),
        ("not over", vec![part(1, 0, &[1], partial()), part(2, 0, &[2], prepare())], &[]),
        (
            "prepared, in parts",
            vec![
                part(1, 0, &[1], partial()),
                part(1, 5, &[2], with(prepare(), doc! { "count": 2_i64 })),
                insert_entry(7),
                commit(1, 6),
            ],
            &["insert shop.a 7", "insert shop.a 1", "insert shop.a 2"],
        ),
        ("prepared and empty", vec![part(1, 0, &[], prepare()), commit(1, 6)], &[]),
        (
            "given up",
            vec![part(1, 0, &[1], prepare()), abort(1, 6), part(2, 0, &[2], partial()), abort(2, 6), abort(3, 0)],
            &[],
        ),
        (
            "the next one of a session",
            vec![part(1, 0, &[1], partial()), part(2, 0, &[2], doc! {})],
            &["insert shop.a 2"],
        ),
        (
            "with a collection made in it",
            vec![in_session(apply_ops(vec![made, insert(1)], doc! {}), 1, 0)],
            &["create shop.new {}", "insert shop.a 1"],
        ),
        (
            "inserts of a statement that may be tried again",
            vec![with(part(1, 4, &[1, 2], doc! {}), doc! { "multiOpType": 1 })],
            &["insert shop.a 1", "insert shop.a 2"],
        ),
        (
            "deletes of one statement, by no session",
            vec![apply_ops(vec![doc! { "op": "d", "ns": "shop.a", "ui": uuid(1), "o": { "_id": 1 } }], doc! {})],
            &["delete shop.a 1"],
        ),
        (
            "by a user's own applyOps in another",
            vec![apply_ops(
                vec![insert(1), doc! { "op": "c", "ns": "admin.$cmd", "o": { "applyOps": [insert(2)] } }],
                doc! {},
            )],
            &["insert shop.a 1", "insert shop.a 2"],
        ),
    ]);
    for entries in [vec![part(4, 8, &[1], doc! {})], vec![commit(4, 8)]] {
        let error = read(&entries).unwrap_err();
        assert!(error.to_string().contains("began before"), "{error}");
    }
    let nested =
        (0..20).fold(insert(1), |inner, _| doc! { "op": "c", "ns": "admin.$cmd", "o": { "applyOps": [inner] } });
    assert!(read(&[nested]).is_err());
}
