//! Other databases than those that are wanted.

use mongodb::bson::doc;

use super::{apply_ops, assert_read, entry, in_session, insert, update};

/// Nothing of it is looked into, not even where its kind is not known.
#[test]
fn other_databases() {
    let strange = doc! { "conjure": "a" };
    let foreign = || doc! { "op": "u", "ns": "other.a", "o2": { "_id": 1 }, "o": { "$v": 7 } };
    assert_read(&[
        ("a command", vec![entry("c", "other.$cmd", strange.clone())], &[]),
        (
            "of the server's own",
            ["admin.$cmd", "config.$cmd", "local.$cmd"].map(|ns| entry("c", ns, strange.clone())).into(),
            &[],
        ),
        ("of a name that only begins the same", vec![entry("c", "shopping.$cmd", strange.clone())], &[]),
        ("documents in any form", vec![foreign(), entry("ci", "other.a", doc! {}), entry("i", "other", doc! {})], &[]),
        ("the state of sessions", vec![update("config.transactions", doc! { "$v": 2, "diff": { "q": 1 } })], &[]),
        (
            "a version of the server's features",
            vec![update("admin.system.version", doc! { "_id": "featureCompatibilityVersion" })],
            &[],
        ),
        (
            "in a transaction",
            vec![in_session(
                apply_ops(vec![insert(1), foreign(), entry("c", "other.$cmd", strange.clone())], doc! {}),
                1,
                0,
            )],
            &["insert shop.a 1"],
        ),
        ("a database dropped", vec![entry("c", "other.$cmd", doc! { "dropDatabase": 1 })], &[]),
        (
            "a collection renamed",
            vec![entry("c", "other.$cmd", doc! { "renameCollection": "other.a", "to": "other.b" })],
            &[],
        ),
        (
            "one that goes",
            vec![entry("c", "admin.$cmd", doc! { "renameCollection": "shop.a", "to": "other.a" })],
            &["rename shop.a to other.a"],
        ),
        (
            "one that comes",
            vec![entry("c", "admin.$cmd", doc! { "renameCollection": "other.a", "to": "shop.a" })],
            &["rename other.a to shop.a"],
        ),
    ]);
}
