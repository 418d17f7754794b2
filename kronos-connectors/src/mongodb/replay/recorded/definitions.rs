//! Collections and indexes.

use mongodb::bson::doc;

use super::{assert_read, command, entry, uuid, with};

#[test]
fn definitions() {
    let index = doc! { "v": 2, "key": { "x": 1 }, "name": "x_1", "unique": true };
    let build = |kind: &str| doc! { kind: "a", "indexBuildUUID": uuid(8), "indexes": [index.clone()] };
    let old = doc! { "o2": { "collectionOptions_old": { "uuid": uuid(1) } } };
    assert_read(&[
        (
            "create",
            vec![command(
                doc! { "create": "a", "capped": true, "size": 4096, "idIndex": { "v": 2, "key": { "_id": 1 }, "name": "_id_" } },
            )],
            &[r#"create shop.a { "capped": true, "size": 4096 }"#],
        ),
        (
            "create a temporary one",
            vec![command(doc! { "create": "tmp.agg_out.1", "temp": true, "validationLevel": "strict" })],
            &[r#"create shop.tmp.agg_out.1 { "temp": true, "validationLevel": "strict" }"#],
        ),
        (
            "create the buckets of a time series",
            vec![command(
                doc! { "create": "system.buckets.s", "timeseries": { "timeField": "t" }, "clusteredIndex": true },
            )],
            &[r#"create shop.system.buckets.s { "timeseries": { "timeField": "t" }, "clusteredIndex": true }"#],
        ),
        ("drop", vec![with(command(doc! { "drop": "a" }), doc! { "o2": { "numRecords": 3_i64 } })], &["drop shop.a"]),
        (
            "drop a database",
            vec![command(doc! { "drop": "a" }), command(doc! { "dropDatabase": 1 })],
            &["drop shop.a", "drop database shop"],
        ),
        (
            "rename",
            vec![command(
                doc! { "renameCollection": "shop.a.b", "to": "shop.c", "stayTemp": false, "dropTarget": uuid(2) },
            )],
            &["rename shop.a.b to shop.c"],
        ),
        (
            "make capped, as servers tell it",
            vec![
                command(doc! { "create": "tmpx.convertToCapped.a", "capped": true, "size": 4096, "temp": true }),
                entry("i", "shop.tmpx.convertToCapped.a", doc! { "_id": 1 }),
                command(
                    doc! { "renameCollection": "shop.tmpx.convertToCapped.a", "to": "shop.a", "stayTemp": false, "dropTarget": uuid(1) },
                ),
            ],
            &[
                r#"create shop.tmpx.convertToCapped.a { "capped": true, "size": 4096, "temp": true }"#,
                "insert shop.tmpx.convertToCapped.a 1",
                "rename shop.tmpx.convertToCapped.a to shop.a",
            ],
        ),
        (
            "an index of an empty collection",
            vec![command(with(doc! { "createIndexes": "a" }, index.clone()))],
            &[r#"index shop.a { "v": 2, "key": { "x": 1 }, "name": "x_1", "unique": true }"#],
        ),
        (
            "an index that is built",
            vec![command(build("startIndexBuild")), command(build("commitIndexBuild"))],
            &[r#"index shop.a { "v": 2, "key": { "x": 1 }, "name": "x_1", "unique": true }"#],
        ),
        (
            "an index that could not be built",
            vec![
                command(build("startIndexBuild")),
                command(with(build("abortIndexBuild"), doc! { "cause": { "ok": false, "code": 11000 } })),
            ],
            &[],
        ),
        (
            "an index dropped",
            vec![with(command(doc! { "dropIndexes": "a", "index": "x_1" }), doc! { "o2": index.clone() })],
            &["drop index shop.a x_1"],
        ),
        (
            "a validator",
            vec![with(command(doc! { "collMod": "a", "validator": { "x": 1 } }), old.clone())],
            &[r#"modify shop.a { "validator": { "x": 1 } }"#],
        ),
        (
            "an index hidden",
            vec![with(command(doc! { "collMod": "a", "index": { "name": "x_1", "hidden": true } }), old)],
            &[r#"modify shop.a { "index": { "name": "x_1", "hidden": true } }"#],
        ),
        (
            "members of a set compared",
            vec![command(doc! { "dbCheck": "shop.a", "type": "batch", "md5": "x", "minKey": 1, "maxKey": 2 })],
            &[],
        ),
        (
            "where documents lie among shards",
            vec![command(doc! { "modifyCollectionShardingIndexCatalog": "shop.a", "op": "d" })],
            &[],
        ),
    ]);
}
