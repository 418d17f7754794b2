//! Parts: of large collections, of backups, of targets that hold something already.

use kronos_core::{BackupOptions, ErrorKind, RestoreOptions, RunContext, backup};
use libtest_mimic::Trial;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, RawDocumentBuf, doc, rawdoc};

use crate::server::{Server, assert_same, back_up, bring_back, on, repository};

fn only(names: &[&str]) -> RestoreOptions {
    let mut options = RestoreOptions::new();
    options.only = names.iter().map(|name| (*name).to_owned()).collect();
    options
}

fn digest(n: i64) -> kronos_core::Digest {
    kronos_core::Digest::of(n.to_string().as_bytes())
}

async fn ranges(server: Server) {
    let source = server.new_database();
    // What is like nothing else, and so is stored as it is.
    let body = |n: i64| format!("{:?} {:?}", digest(n), digest(-n - 1));
    let ids = |n: i64| -> Bson {
        match n % 6 {
            0 => Bson::Int64(n),
            1 => Bson::Double(n as f64 + 0.5),
            2 => Bson::String(format!("id {n}")),
            3 => Bson::ObjectId(ObjectId::from_bytes([
                u8::try_from(n % 250).unwrap(),
                u8::try_from(n / 250).unwrap(),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                1,
            ])),
            4 => Bson::DateTime(DateTime::from_millis(n)),
            _ => Bson::Document(doc! { "n": n }),
        }
    };
    let document = |n| RawDocumentBuf::try_from(&doc! { "_id": ids(n), "body": body(n) }).unwrap();
    source.insert("mixed", (0..3000).map(document).collect()).await;
    source.insert("mixed", vec![rawdoc! { "_id": null }, rawdoc! { "_id": true }]).await;
    let split = source.with(|settings| settings.range = 64 << 10);
    let repository = repository().await;
    let first = back_up(&repository, &split).await.unwrap();
    let target = server.new_database();
    bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
    assert_same(&target.all().await, &source.all().await, "restored of parts");

    let run = RunContext::new();
    let again = backup(&repository, &split, &BackupOptions::new(), &run).await.unwrap().backup.unwrap();
    assert_ne!(first.id, again.id);
    let streams = kronos_core::show(&repository, &again, &run).await.unwrap().streams;
    let parts = streams.iter().filter(|stream| stream.name.contains(".mixed")).count();
    assert!(parts > 4, "it was not split: {parts}");
    let (before, after) = (first.bytes_stored, again.bytes_stored);
    assert!(after < before / 20, "what has not changed is stored again: {before}, {after}");
}

async fn one_collection(server: Server) {
    let source = server.new_database();
    for name in ["a", "b", "c"] {
        source.insert(name, vec![rawdoc! { "_id": name }]).await;
    }
    source.run(doc! { "create": "v", "viewOn": "a", "pipeline": [] }).await;
    let repository = repository().await;
    back_up(&repository, &source.source()).await.unwrap();
    let target = server.new_database();
    target.insert("c", vec![rawdoc! { "_id": "stays" }]).await;
    let name = |collection: &str| format!("{}.{collection}", source.name);
    bring_back(&repository, &target.source(), &only(&[&name("a")])).await.unwrap();
    assert_eq!(target.names().await, ["a", "c"]);
    let refused = bring_back(&repository, &target.source(), &only(&[&name("a"), &name("b")])).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    bring_back(&repository, &target.source(), &only(&[&name("a"), &name("b")]).with_replace()).await.unwrap();
    assert_eq!(target.names().await, ["a", "b", "c"]);
    assert_eq!(target.documents("c").await, [rawdoc! { "_id": "stays" }.into_bytes()]);
}

async fn replace(server: Server) {
    let source = server.new_database();
    source.insert("a", vec![rawdoc! { "_id": 1, "new": true }]).await;
    source.run(doc! { "create": "series", "timeseries": { "timeField": "t" } }).await;
    source.insert("series", vec![rawdoc! { "t": DateTime::from_millis(1), "v": 1 }]).await;
    source.run(doc! { "create": "v", "viewOn": "a", "pipeline": [] }).await;
    source.insert("was_view", vec![rawdoc! { "_id": 1 }]).await;
    let repository = repository().await;
    back_up(&repository, &source.source()).await.unwrap();

    let target = server.new_database();
    target.insert("a", vec![rawdoc! { "_id": 1, "old": true }]).await;
    target.insert("gone", vec![rawdoc! { "_id": 1 }]).await;
    target.insert("v", vec![rawdoc! { "_id": 1 }]).await;
    target.run(doc! { "create": "was_view", "viewOn": "a", "pipeline": [] }).await;
    target.run(doc! { "create": "series", "timeseries": { "timeField": "old" } }).await;
    let before = target.all().await;
    let refused = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert_same(&target.all().await, &before, "refused");
    bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await.unwrap();
    assert_same(&target.all().await, &source.all().await, "replaced");
}

/// What a restore leaves that was killed while it put collections into place.
async fn half_swapped(server: Server) {
    let source = server.new_database();
    source.insert("a", vec![rawdoc! { "_id": 1, "new": true }]).await;
    source.insert("b", vec![rawdoc! { "_id": 1, "new": true }]).await;
    let repository = repository().await;
    back_up(&repository, &source.source()).await.unwrap();
    for (state, seconds) in [("building", 90), ("swapping", 90), ("finishing", 90), ("done", 90), ("swapping", 5)] {
        let target = server.new_database();
        let token = "0123456789abcdef";
        let beside = |what: &str, n: i32| format!("kronos-restore.{token}.{what}.{n}");
        // The old a is aside, the new one in its place; b has not moved. Or, once it can only be
        // finished, both are there.
        target.insert("a", vec![rawdoc! { "_id": 1, "killed": true }]).await;
        target.insert(&beside("old", 0), vec![rawdoc! { "_id": 1, "old": true }]).await;
        if state == "swapping" || state == "building" {
            target.insert(&beside("new", 1), vec![rawdoc! { "_id": 1, "killed": true }]).await;
        } else {
            target.insert("b", vec![rawdoc! { "_id": 1, "killed": true }]).await;
        }
        let step = |n: i64, what: &str, number: i64, name: &str| {
            rawdoc! { "_id": n, "step": { "what": what, "number": number, "form": "documents", "name": name, "options": {}, "indexes": [] } }
        };
        let alive = DateTime::from_millis(DateTime::now().timestamp_millis() - seconds * 1000);
        let journal = vec![
            rawdoc! { "_id": "state", "state": state, "alive": alive, "silence": 60_000_i64 },
            step(0, "old", 0, "a"),
            step(1, "new", 0, "a"),
            step(2, "new", 1, "b"),
        ];
        target.insert(&format!("kronos-restore.{token}"), journal).await;
        // It fails, as there is something; but what was left has been settled before.
        let refused = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{refused:?}");
        let begun = bring_back(&repository, &target.source(), &RestoreOptions::new().with_replace()).await;
        if seconds < 60 {
            assert_eq!(begun.unwrap_err().kind(), ErrorKind::Locked, "someone lives");
            continue;
        }
        begun.unwrap();
        assert_same(&target.all().await, &source.all().await, state);
    }
}

/// The source as a target: what was killed half way is undone before anything else is looked at.
async fn half_swapped_is_undone(server: Server) {
    let empty = server.new_database();
    empty.insert("other", vec![rawdoc! { "_id": 1 }]).await;
    let repository = repository().await;
    back_up(&repository, &empty.source()).await.unwrap();
    let target = server.new_database();
    let token = "0123456789abcdef";
    target.insert("a", vec![rawdoc! { "_id": 1, "killed": true }]).await;
    target.insert(&format!("kronos-restore.{token}.old.0"), vec![rawdoc! { "_id": 1, "old": true }]).await;
    let step = |n: i64, what: &str| {
        rawdoc! { "_id": n, "step": { "what": what, "number": 0_i64, "form": "documents", "name": "a", "options": {}, "indexes": [] } }
    };
    let journal = vec![rawdoc! { "_id": "state", "state": "swapping" }, step(0, "old"), step(1, "new")];
    target.insert(&format!("kronos-restore.{token}"), journal).await;
    // Chosen so that nothing of it is in the way.
    let name = format!("{}.other", empty.name);
    bring_back(&repository, &target.source(), &only(&[&name])).await.unwrap();
    assert_eq!(target.names().await, ["a", "other"]);
    assert_eq!(target.documents("a").await, [rawdoc! { "_id": 1, "old": true }.into_bytes()]);
}

async fn all_databases(server: Server) {
    let (one, two) = (server.new_database(), server.new_database());
    one.insert("t", vec![rawdoc! { "_id": 1 }]).await;
    two.insert("t", vec![rawdoc! { "_id": 2 }]).await;
    let repository = repository().await;
    back_up(&repository, &server.source([&one.name, &two.name])).await.unwrap();
    let (first, second) = (one.all().await, two.all().await);
    one.run(doc! { "dropDatabase": 1 }).await;
    two.run(doc! { "dropDatabase": 1 }).await;
    let target = server.new_database();
    let refused = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config, "{refused:?}");
    bring_back(&repository, &server.source([]), &RestoreOptions::new()).await.unwrap();
    assert_eq!((one.all().await, two.all().await), (first, second));
}

/// Users of a database go with it; where the server takes them with their secrets they are restored.
async fn users(server: Server) {
    let source = server.new_database();
    source.insert("t", vec![rawdoc! { "_id": 1 }]).await;
    let role = doc! { "createRole": "clerk", "privileges": [{ "resource": { "db": &source.name, "collection": "t" }, "actions": ["find"] }], "roles": [] };
    source.run(role).await;
    source.run(doc! { "createUser": "eve", "pwd": "s3cret", "roles": ["clerk"] }).await;
    let repository = repository().await;
    let made = back_up(&repository, &source.source()).await.unwrap();
    let streams = kronos_core::show(&repository, &made, &RunContext::new()).await.unwrap().streams;
    assert!(streams.iter().any(|stream| stream.name == "users" && stream.bytes > 0), "{streams:?}");
    // Under another name they are left out.
    let target = server.new_database();
    let report = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
    assert!(report.outcome.warnings.iter().any(|line| line.contains("eve is left out")), "{:?}", report.outcome);
    source.run(doc! { "dropUser": "eve" }).await;
    source.run(doc! { "dropRole": "clerk" }).await;
    source.run(doc! { "dropDatabase": 1 }).await;
    let report = bring_back(&repository, &source.source(), &RestoreOptions::new()).await.unwrap();
    let is_made = report.outcome.created.iter().any(|line| line.contains("user") && line.contains("eve"));
    // `SecantusDB` has no command that takes them.
    let is_told = report.outcome.warnings.iter().any(|line| line.contains("users are not restored"));
    assert!(is_made != is_told, "{:?}", report.outcome);
    if is_made {
        source.run(doc! { "dropUser": "eve" }).await;
        source.run(doc! { "dropRole": "clerk" }).await;
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on("parts::ranges", ranges),
        on("parts::one_collection", one_collection),
        on("parts::replace", replace),
        on("parts::half_swapped", half_swapped),
        on("parts::half_swapped_is_undone", half_swapped_is_undone),
        on("parts::all_databases", all_databases),
        on("parts::users", users),
    ]
}
