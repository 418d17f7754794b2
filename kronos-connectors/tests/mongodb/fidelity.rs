//! What comes back: documents byte for byte, options and indexes as they were.

use kronos_connectors::mongodb::Check;
use kronos_core::{ErrorKind, RestoreOptions};
use libtest_mimic::Trial;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, JavaScriptCodeWithScope, RawDocumentBuf, Regex, Timestamp, cstr, doc, rawdoc,
};

use crate::proxy::Proxy;
use crate::server::{Database, Server, assert_same, back_up, bring_back, on, repository};

/// Back and forth; the other database holds the same.
async fn round_trip(source: &Database) -> Database {
    let repository = repository().await;
    back_up(&repository, &source.source()).await.unwrap();
    let target = source.server.new_database();
    let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
    assert!(report.outcome.checks.iter().any(|check| check.contains("equal to the backup")), "{:?}", report.outcome);
    // Among them that a collection got other options than it had.
    assert_eq!(report.outcome.warnings, [""; 0]);
    if renames_well(&source.server).await {
        assert_same(&target.all().await, &source.all().await, "restored");
    } else {
        assert_same(&without_options(&target.all().await), &without_options(&source.all().await), "restored");
    }
    target
}

fn every_type() -> Vec<RawDocumentBuf> {
    let values = [
        ("double", Bson::Double(-0.0)),
        ("nan", Bson::Double(f64::NAN)),
        ("text", Bson::String("ü\u{0}🎉".into())),
        ("document", Bson::Document(doc! { "z": 1, "a": {} })),
        ("array", Bson::Array(vec![Bson::Null, Bson::Int32(1), Bson::Array(Vec::new())])),
        ("binary", Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255, 1] })),
        ("old binary", Bson::Binary(Binary { subtype: BinarySubtype::BinaryOld, bytes: vec![1, 2] })),
        ("uuid", Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] })),
        ("own binary", Bson::Binary(Binary { subtype: BinarySubtype::UserDefined(200), bytes: Vec::new() })),
        ("undefined", Bson::Undefined),
        ("id", Bson::ObjectId(ObjectId::from_bytes([9; 12]))),
        ("yes", Bson::Boolean(true)),
        ("date", Bson::DateTime(DateTime::from_millis(-1))),
        ("null", Bson::Null),
        ("regex", Bson::RegularExpression(Regex { pattern: cstr!("^a/b").into(), options: cstr!("imx").into() })),
        ("code", Bson::JavaScriptCode("function() { return 1 }".into())),
        ("symbol", Bson::Symbol("s".into())),
        ("scoped", Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "x".into(), scope: doc! { "x": 1 } })),
        ("int", Bson::Int32(i32::MIN)),
        ("time", Bson::Timestamp(Timestamp { time: 5, increment: 6 })),
        ("long", Bson::Int64(i64::MAX)),
        ("decimal", Bson::Decimal128("1.2300E+10".parse::<Decimal128>().unwrap())),
        ("least", Bson::MinKey),
        ("most", Bson::MaxKey),
    ];
    values
        .into_iter()
        .map(|(name, value)| RawDocumentBuf::try_from(&doc! { "_id": name, "v": value }).unwrap())
        .collect()
}

/// `SecantusDB` (0.7.0b3) forgets the options of a collection that is renamed; nothing else does.
async fn renames_well(server: &Server) -> bool {
    let database = server.new_database();
    database.run(doc! { "create": "a", "capped": true, "size": 4096 }).await;
    let whole = |name: &str| format!("{}.{name}", database.name);
    let admin = server.client.database("admin");
    admin.run_command(doc! { "renameCollection": whole("a"), "to": whole("b") }).await.unwrap();
    database.all().await.contains("capped")
}

/// What it forgets.
fn without_options(all: &str) -> String {
    let is_kept = |line: &&str| !line.contains(": collection ") && !line.contains("\"name\": \"_id_\"");
    all.lines().filter(is_kept).collect::<Vec<_>>().join("\n")
}

async fn types(server: Server) {
    let source = server.new_database();
    source.insert("types", every_type()).await;
    // The driver makes none of these by itself.
    let mut odd = vec![rawdoc! { "_id": 1, "a.b": 1, "$c": { "$d": 2, "e.f": 3 }, "": 4 }];
    let mut twice = rawdoc! { "_id": 2, "a": 1 };
    twice.append(cstr!("a"), 2);
    twice.append(cstr!("a"), "three");
    odd.push(twice);
    odd.push(rawdoc! { "_id": { "z": 1, "a": 2 }, "x": 1 });
    source.insert("odd", odd).await;
    let target = round_trip(&source).await;
    assert_eq!(target.documents("types").await, source.documents("types").await);
    assert_eq!(target.documents("odd").await, source.documents("odd").await);
}

async fn kinds(server: Server) {
    let source = server.new_database();
    for ask in [
        doc! { "create": "empty" },
        doc! { "create": "capped", "capped": true, "size": 8192, "max": 5 },
        doc! { "create": "clustered", "clusteredIndex": { "key": { "_id": 1 }, "unique": true } },
        doc! { "create": "strict", "validator": { "$jsonSchema": { "required": ["x"] } }, "validationLevel": "strict" },
        doc! { "create": "german", "collation": { "locale": "de", "strength": 2 } },
        doc! { "create": "series", "timeseries": { "timeField": "t", "metaField": "m", "granularity": "hours" } },
        doc! { "create": "images", "changeStreamPreAndPostImages": { "enabled": true } },
        // The second view is made of the first one, and comes before it by name.
        doc! { "create": "z_view", "viewOn": "german", "pipeline": [{ "$match": { "n": { "$gt": 1 } } }], "collation": { "locale": "de", "strength": 2 } },
        doc! { "create": "a_view", "viewOn": "z_view", "pipeline": [{ "$project": { "n": 1 } }], "collation": { "locale": "de", "strength": 2 } },
    ] {
        source.run(ask).await;
    }
    for n in 0..9 {
        source.insert("capped", vec![rawdoc! { "_id": 100 - n, "n": n }]).await;
    }
    source.insert("clustered", vec![rawdoc! { "_id": 2 }, rawdoc! { "_id": 1 }]).await;
    source.insert("german", vec![rawdoc! { "_id": "a", "n": 1 }, rawdoc! { "_id": "B", "n": 2 }]).await;
    source
        .insert(
            "series",
            (0..50).map(|n| rawdoc! { "t": DateTime::from_millis(n * 60_000), "m": "a", "v": n }).collect(),
        )
        .await;
    source
        .insert(
            "system.js",
            vec![
                RawDocumentBuf::try_from(&doc! { "_id": "f", "value": Bson::JavaScriptCode("function() {}".into()) })
                    .unwrap(),
            ],
        )
        .await;
    // What the validator would refuse was there before it, or came past it.
    source
        .run(doc! { "insert": "strict", "documents": [{ "_id": 1, "y": 1 }], "bypassDocumentValidation": true })
        .await;
    let target = round_trip(&source).await;
    let find = doc! { "find": "a_view", "filter": {} };
    let seen = |answer: mongodb::bson::Document| {
        answer.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone()
    };
    assert_eq!(seen(target.run(find.clone()).await), seen(source.run(find).await));
    // Those of a capped one come in the order in which they were written.
    let find = doc! { "find": "capped", "sort": { "$natural": 1 } };
    assert_eq!(seen(target.run(find.clone()).await), seen(source.run(find).await));
}

async fn indexes(server: Server) {
    let source = server.new_database();
    let specs = [
        doc! { "key": { "a": 1, "b": -1 }, "name": "both" },
        doc! { "key": { "u": 1 }, "name": "unique", "unique": true, "sparse": true },
        doc! { "key": { "p": 1 }, "name": "part", "partialFilterExpression": { "p": { "$gt": 5 } } },
        doc! { "key": { "t": 1 }, "name": "late", "expireAfterSeconds": 3600 },
        doc! { "key": { "h": 1 }, "name": "hidden", "hidden": true },
        doc! { "key": { "c": 1 }, "name": "french", "collation": { "locale": "fr" } },
        doc! { "key": { "g": "2dsphere" }, "name": "sphere" },
        doc! { "key": { "f": "2d" }, "name": "flat", "bits": 20, "min": -10.0, "max": 10.0 },
        doc! { "key": { "$**": 1 }, "name": "wild", "wildcardProjection": { "x": 1 } },
    ];
    source.run(doc! { "createIndexes": "i", "indexes": specs.to_vec() }).await;
    // SecantusDB has none of these.
    for spec in [
        doc! { "key": { "s": "hashed" }, "name": "hashed" },
        doc! { "key": { "w": "text" }, "name": "words", "weights": { "w": 5 }, "default_language": "german" },
    ] {
        let database = source.server.client.database(&source.name);
        let made = database.run_command(doc! { "createIndexes": "i", "indexes": [spec] });
        let refused = made.await.err().map(|error| error.to_string());
        assert!(refused.as_ref().is_none_or(|text| text.contains("SecantusDB")), "{refused:?}");
    }
    source.insert("i", vec![rawdoc! { "_id": 1, "a": 1, "u": 1, "p": 9, "c": "x" }, rawdoc! { "_id": 2 }]).await;
    round_trip(&source).await;
}

async fn large(server: Server) {
    let source = server.new_database();
    // A document may have 16 MiB, the name and length of its field among them.
    let body = "x".repeat((16 << 20) - 25);
    let largest = rawdoc! { "_id": 1, "body": body };
    assert_eq!(largest.as_bytes().len(), 16 << 20);
    source.insert("large", vec![largest]).await;
    source.insert("large", vec![rawdoc! { "_id": 2, "body": "y".repeat(9 << 20) }, rawdoc! { "_id": 3 }]).await;
    round_trip(&source).await;
}

async fn names(server: Server) {
    let source = server.new_database();
    let names = ["a.b", "a b", "a/001", "\"a/001\"", "-x", "$(touch x)", "ü🎉", "a\nb", "collections", "*", "it's `x`"];
    let mut made = 0;
    for (n, name) in (0..).zip(names) {
        let created = source.server.client.database(&source.name).run_command(doc! { "create": name }).await;
        // Servers of some versions take no $ in a name.
        if created.is_ok() {
            source.insert(name, vec![rawdoc! { "_id": n, "name": name }]).await;
            made += 1;
        }
    }
    assert!(made > 8, "{made}");
    round_trip(&source).await;
}

/// A target whose documents are not those of the backup is no success: one is taken away after all were
/// written, before they are read back.
async fn what_is_wrong_is_found(server: Server) {
    let source = server.new_database();
    source.insert("t", (0..100).map(|n| rawdoc! { "_id": n, "v": "a" }).collect()).await;
    let repository = repository().await;
    back_up(&repository, &source.source()).await.unwrap();
    for (check, reads) in [(Check::Bytes, "find\0"), (Check::Count, "$count\0")] {
        let target = server.new_database();
        let (proxy, moment) = Proxy::waiting(server.port(), &["insert\0", reads]);
        let to = target.with(|settings| {
            (settings.hosts, settings.check) = (vec![format!("127.0.0.1:{}", proxy.port)], check);
        });
        let spoil = moment.meanwhile(async {
            let names = target.names().await;
            let name = names.iter().find(|name| name.contains(".new.")).expect("it is made beside");
            let ask = doc! { "delete": name, "deletes": [{ "q": { "_id": 50 }, "limit": 1 }] };
            assert_eq!(target.run(ask).await.get_i32("n").ok(), Some(1), "{names:?}");
        });
        let options = RestoreOptions::new();
        let (done, ()) = tokio::join!(bring_back(&repository, &to, &options), spoil);
        let error = done.expect_err("a document that was taken away was not missed");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{check:?}: {error:?}");
        assert_eq!(error.context("documents"), Some("99 instead of 100"), "{check:?}: {error:?}");
        assert_eq!(target.names().await, [""; 0], "{check:?}: what was made is gone: {error:?}");
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on("fidelity::types", types),
        on("fidelity::kinds", kinds),
        on("fidelity::indexes", indexes),
        on("fidelity::large", large),
        on("fidelity::the_sample", the_sample),
        on("fidelity::names", names),
        on("fidelity::what_is_wrong_is_found", what_is_wrong_is_found),
    ]
}

/// Chinook: documents byte for byte, options and indexes equal.
async fn the_sample(server: Server) {
    let source = server.new_database();
    let collections = crate::sample::fill(&source).await;
    assert!(collections.len() >= 11, "{collections:?}");
    let repository = repository().await;
    let backup = back_up(&repository, &source.source()).await.unwrap();
    let target = server.new_database();
    bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
    let mut count = 0;
    for name in &collections {
        let documents = source.documents(name).await;
        assert!(target.documents(name).await == documents, "{name}");
        count += documents.len() as u64;
    }
    assert_eq!(backup.rows, Some(count));
    assert_same(&target.all().await, &source.all().await, "the sample");
}
