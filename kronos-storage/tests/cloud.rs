//! Storages on real servers: the suite that every storage passes, also when requests and answers get
//! lost; what a probe finds; what wrong credentials and missing buckets look like.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{SERVERS, Server, block_on, on};
use kronos_core::testing::{FaultPlan, FaultStorage, PatientStorage, storage_conformance};
use kronos_core::{
    Atomicity, ConditionalPut, Error, ErrorKind, Key, PutOutcome, Retry, RunContext, Storage, StorageExt, Timestamp,
    probe,
};
use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut trials: Vec<Trial> = Vec::new();
    for server in SERVERS.into_iter().chain(["moto"]) {
        trials.push(on(server, "conformance", |server| {
            block_on(storage_conformance(async || server.open(&server.fresh())));
        }));
        trials.push(on(server, "conformance_beneath_a_wrapper", |server| {
            let wrapped = |storage| Arc::new(FaultStorage::new(storage, 1, FaultPlan::default())) as Arc<dyn Storage>;
            block_on(storage_conformance(async || wrapped(server.open(&server.fresh()))));
        }));
        trials.push(on(server, "commits_are_atomic", |server| block_on(commits_are_atomic(server))));
        trials.push(on(server, "many_objects_are_removed_at_once", |server| block_on(many_objects(server))));
        trials.push(on(server, "a_single_writer_needs_no_conditions", |server| block_on(single_writer(server))));
    }
    for server in SERVERS {
        trials.push(on(server, "refusals", |server| block_on(refusals(server))));
    }
    let left_out = std::env::var_os("KRONOS_TEST_LARGE").is_none();
    for server in SERVERS {
        let name = format!("an_object_beyond_5_gib{}", if left_out { " (KRONOS_TEST_LARGE is not set)" } else { "" });
        trials.push(on(server, &name, |server| block_on(beyond_5_gib(server))).with_ignored_flag(left_out));
    }
    trials.push(on("s3", "checksums_are_sent_or_left_out", |server| block_on(checksums(server))));
    trials.push(on("s3", "uploads_that_nobody_ended_are_removed", |server| block_on(leftovers(server))));
    trials.push(on("s3s", "a_store_that_lies_is_found_out", |server| block_on(a_liar(server))));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

async fn commits_are_atomic(server: Server) {
    let storage = server.open(&server.fresh());
    assert_eq!(storage.atomicity(), Atomicity::Unproven);
    let report = probe(&*storage, &RunContext::new()).await.unwrap();
    assert_eq!(report.conditional_put, ConditionalPut::Atomic);
    assert!(report.ranges && report.parts && report.lists_at_once && report.deletes, "{report:?}");
    assert!(storage.list_all(None).await.unwrap().is_empty(), "a probe leaves nothing");
}

async fn a_liar(server: Server) {
    for _ in 0..20 {
        let storage = server.open(&server.fresh());
        let report = probe(&*storage, &RunContext::new()).await.unwrap();
        assert_eq!(report.conditional_put, ConditionalPut::Racy);
    }
}

async fn many_objects(server: Server) {
    let storage = PatientStorage::new(server.open(&server.fresh()));
    let keys: Vec<Key> = (0..1_200).map(|n| key(&format!("many/{n}"))).collect();
    for some in keys.chunks(100) {
        let puts = some.iter().map(|key| storage.put(key, Bytes::from_static(b"x")));
        futures::future::join_all(puts).await.into_iter().for_each(|put| put.unwrap());
    }
    let missing = (0..10).map(|n| key(&format!("missing/{n}")));
    let all: Vec<Key> = keys.iter().cloned().chain(missing).collect();
    storage.delete(&all).await.expect("what is not there is fine");
    assert!(storage.list_all(None).await.unwrap().is_empty());
    storage.delete(&[]).await.unwrap();
}

async fn single_writer(server: Server) {
    let location = server.fresh();
    let storage = server.with("single_writer", "true").open(&location);
    assert_eq!(storage.atomicity(), Atomicity::SingleWriter);
    let place = key("a/b");
    assert_eq!(storage.put_if_absent(&place, Bytes::from_static(b"first")).await.unwrap(), PutOutcome::Created);
    assert_eq!(storage.put_if_absent(&place, Bytes::from_static(b"second")).await.unwrap(), PutOutcome::Exists);
    assert_eq!(storage.get(&place).await.unwrap(), "first");
}

/// More than any store takes in one request. Takes minutes, and as much room: with `KRONOS_TEST_LARGE` only.
async fn beyond_5_gib(server: Server) {
    const PART: usize = 8 << 20;
    const PARTS: u64 = 5 * 128 + 1;
    let storage = PatientStorage::new(server.open(&server.fresh()));
    let place = key("a/large");
    // Each part can be told from the others.
    let part = |n: u64| Bytes::from([n.to_le_bytes(), [7; 8]].concat().repeat(PART / 16));
    let mut upload = storage.begin_upload(&place).await.unwrap();
    for n in 0..PARTS {
        upload.write(part(n)).await.unwrap();
    }
    upload.write(Bytes::from_static(b"the end")).await.unwrap();
    upload.finish().await.unwrap();
    let size = PARTS * PART as u64 + 7;
    assert!(size > 5 << 30 && storage.head(&place).await.unwrap().size == size);
    assert_eq!(storage.list_all(None).await.unwrap()[0].size, size);
    for n in (0..PARTS).step_by(50).chain([PARTS - 1]) {
        let start = n * PART as u64;
        assert!(storage.get_range(&place, start..start + PART as u64).await.unwrap() == part(n), "part {n}");
    }
    assert_eq!(storage.get_range(&place, size - 8..size).await.unwrap(), "\u{7}the end");
    storage.delete_one(&place).await.unwrap();
}

#[track_caller]
fn is_refused(error: &Error, kind: ErrorKind, what: &str) {
    assert_eq!(error.kind(), kind, "{what}: {error:?}");
    assert_eq!(error.retry(), Retry::Never, "{what}: {error:?}");
    assert!(error.context("hint").is_some(), "{what} has no hint: {error:?}");
}

/// Wrong credentials and a missing bucket are told as such by every call.
async fn refusals(server: Server) {
    let location = server.fresh();
    let good = server.open(&location);
    good.put(&key("a/b"), Bytes::from_static(b"content")).await.unwrap();
    let secret = "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc=";
    let wrong = match server.name {
        "s3" => vec![
            server.clone().with("secret_access_key", secret),
            server.clone().with("access_key_id", "nobody").with("secret_access_key", secret),
        ],
        "azure" => vec![server.clone().with("access_key", secret)],
        _ => match std::env::var("KRONOS_TEST_GCS_STRANGER_ACCOUNT") {
            Ok(stranger) => vec![server.clone().with("service_account", stranger)],
            Err(_) => vec![],
        },
    };
    for wrong in wrong {
        let storage = wrong.open(&location);
        for (what, error) in every_call(&*storage).await {
            is_refused(&error, ErrorKind::Authentication, what);
            let shown = format!("{error:?}");
            assert!(!shown.contains(secret) && !shown.contains("sig="), "{shown}");
        }
    }
    let bucket = server.bucket.rsplit_once('/').map_or_else(String::new, |(account, _)| format!("{account}/"));
    let storage = server.open(&format!("{bucket}there-is-no-such-bucket/x"));
    for (what, error) in every_call(&*storage).await {
        // HEAD has no words, and says the same of an object.
        if what == "head" && error.kind() == ErrorKind::NotFound {
            continue;
        }
        // What is in no bucket need not be deleted.
        if what.starts_with("delete") && error.kind() == ErrorKind::Internal {
            continue;
        }
        is_refused(&error, ErrorKind::Config, what);
    }
}

fn went_well() -> Error {
    Error::new(ErrorKind::Internal, "it went well")
}

/// What goes wrong with each call.
async fn every_call(storage: &dyn Storage) -> Vec<(&'static str, Error)> {
    let (there, content) = (key("a/b"), Bytes::from_static(b"other content"));
    let mut errors = vec![
        ("put", storage.put(&there, content.clone()).await.expect_err("put")),
        ("put_if_absent", storage.put_if_absent(&key("a/c"), content.clone()).await.expect_err("put_if_absent")),
        ("get", storage.get(&there).await.expect_err("get")),
        ("get_range", storage.get_range(&there, 1..2).await.expect_err("get_range")),
        ("head", storage.head(&there).await.expect_err("head")),
        ("list", storage.list(None, None).await.expect_err("list")),
        ("delete", storage.delete_one(&there).await.err().unwrap_or_else(went_well)),
        ("delete several", storage.delete(&[there.clone(), key("a/d")]).await.err().unwrap_or_else(went_well)),
    ];
    errors.push((
        "upload",
        match storage.begin_upload(&there).await {
            Err(e) => e,
            // Azure knows no beginning of an upload.
            Ok(mut upload) => match upload.write(content).await {
                Err(e) => e,
                Ok(()) => upload.finish().await.expect_err("upload"),
            },
        },
    ));
    errors
}

async fn checksums(server: Server) {
    let place = key("a/b");
    for (choice, notices) in [("auto", 0), ("sha256", 0), ("off", 0)] {
        let storage = server.clone().with("checksum", choice).open(&server.fresh());
        storage.put(&place, Bytes::from_static(b"content")).await.unwrap();
        assert_eq!(storage.get(&place).await.unwrap(), "content");
        assert_eq!(storage.notices().len(), notices, "{choice}: {:?}", storage.notices());
    }
}

async fn leftovers(server: Server) {
    let location = server.fresh();
    let storage = server.open(&location);
    let mut upload = storage.begin_upload(&key("a/b")).await.unwrap();
    upload.write(Bytes::from(vec![1; 5 << 20])).await.unwrap();
    // As after a kill: nobody gives it up.
    std::mem::forget(upload);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let later = Timestamp::from_micros(i64::MAX);
    let earlier = Timestamp::from_micros(0);
    assert_eq!(storage.remove_leftovers(earlier).await.unwrap(), 0, "it may still be under way");
    let elsewhere = server.open(&server.fresh());
    assert_eq!(elsewhere.remove_leftovers(later).await.unwrap(), 0, "another prefix is another storage");
    assert_eq!(storage.remove_leftovers(later).await.unwrap(), 1);
    assert_eq!(storage.remove_leftovers(later).await.unwrap(), 0);
    assert_eq!(storage.put_if_absent(&key("a/b"), Bytes::new()).await.unwrap(), PutOutcome::Created);
}
