//! What a restore could not follow.

use kronos_core::ErrorKind;
use mongodb::bson::{Bson, Document, doc};

use super::{command, entry, read, update, uuid, with};

/// Each of these fails the backup: the error says why, and what to do.
#[test]
fn what_cannot_be_followed() {
    let cases: Vec<(Document, ErrorKind, &str)> = vec![
        (command(doc! { "conjure": "a" }), ErrorKind::Unsupported, "conjure"),
        (entry("xi", "shop.a", doc! {}), ErrorKind::Unsupported, "xi"),
        (command(doc! { "convertToCapped": "a", "size": 4096 }), ErrorKind::Unsupported, "made a capped one"),
        (command(doc! { "emptycapped": "a" }), ErrorKind::Unsupported, "emptied"),
        (command(doc! { "importCollection": "shop.a", "importUUID": uuid(1) }), ErrorKind::Unsupported, "as files"),
        (command(doc! { "upgradeDowngradeViewlessTimeseries": "s" }), ErrorKind::Unsupported, "time series"),
        (update("shop.a", doc! { "$v": 2, "diff": { "q": { "a": 1 } } }), ErrorKind::Unsupported, "part: q"),
        (update("shop.a", doc! { "$v": 1, "$set": { "a": 1 } }), ErrorKind::Unsupported, "before 5.0"),
        (update("shop.a", doc! { "$set": { "a": 1 } }), ErrorKind::Unsupported, "before 5.0"),
        (entry("u", "shop.a", doc! { "$v": 2, "diff": {} }), ErrorKind::Corrupt, "o2"),
        (entry("i", "shop.a", doc! { "x": 1 }), ErrorKind::Corrupt, "no _id"),
        (entry("i", "shop", doc! { "_id": 1 }), ErrorKind::Corrupt, "names no collection"),
        (command(doc! { "createIndexes": "a", "v": 2 }), ErrorKind::Corrupt, "o.key"),
        (command(doc! { "create": 1 }), ErrorKind::Corrupt, "lacks: o"),
        (command(doc! {}), ErrorKind::Corrupt, "lacks: o"),
        (doc! { "op": "i", "ns": "shop.a" }, ErrorKind::Corrupt, "lacks: o"),
        (doc! { "op": "i", "o": { "_id": 1 } }, ErrorKind::Corrupt, "lacks: ns"),
        (
            with(entry("c", "admin.$cmd", doc! { "commitTransaction": 1 }), doc! { "lsid": Bson::Null }),
            ErrorKind::Corrupt,
            "lsid",
        ),
    ];
    for (entry, kind, said) in cases {
        let error = read(std::slice::from_ref(&entry)).expect_err(&format!("{entry}"));
        assert_eq!(error.kind(), kind, "{entry}: {error:?}");
        assert!(error.to_string().contains(said), "{entry}: {error}");
        assert!(kind == ErrorKind::Corrupt || error.context("hint").is_some(), "{entry}: {error}");
    }
}
