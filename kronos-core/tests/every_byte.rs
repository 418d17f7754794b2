//! Every byte counts: whatever happens to one object of a repository, `check` names it and no
//! restore gives a wrong byte.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic, and knows its numbers")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kronos_core::testing::{ManualClock, MemorySource, MemoryStorage, Prng};
use kronos_core::{
    BackupInfo, BackupOptions, ChunkerParameters, Credentials, Key, Protection, ReadData, Repository, RestoreOptions,
    RunContext, Secret, Timestamp, backup, check, hold, list, release, restore,
};

struct Fixture {
    storage: MemoryStorage,
    credentials: Credentials,
    expected: Vec<(BackupInfo, BTreeMap<String, Bytes>)>,
}

fn run() -> RunContext {
    RunContext::reproducible(1, &ManualClock::new(Timestamp::parse("2026-11-21T00:00:00Z").unwrap()))
}

/// Two jobs, five backups, a checkpoint.
async fn fixture(protection: Protection, credentials: Credentials) -> Fixture {
    let storage = MemoryStorage::new();
    let run = run();
    let repository =
        Repository::init(Arc::new(storage.clone()), &protection, ChunkerParameters::tiny(), &run).await.unwrap();
    let mut prng = Prng::new(42);
    let mut expected = Vec::new();
    for (name, count) in [("shop", 3), ("Other job", 2)] {
        let source = MemorySource::new(name).with_pages(64);
        let mut bytes: Vec<u8> = (0..6_000).map(|_| prng.below(256) as u8).collect();
        for n in 0..count {
            bytes[n * 1000] ^= 1;
            source.set("a", bytes.clone());
            source.set("b", vec![n as u8; 900]);
            let made = backup(&repository, &source, &BackupOptions::new(), &run).await.unwrap().backup.unwrap();
            expected.push((made, source.contents()));
        }
    }
    for _ in 0..130 {
        hold(&repository, &expected[0].0, &run).await.unwrap();
        release(&repository, &expected[0].0, &run).await.unwrap();
    }
    assert!(storage.keys().iter().any(|k| k.as_str().contains("/checkpoint/")), "the fixture has a checkpoint");
    Fixture { storage, credentials, expected }
}

impl Fixture {
    /// Everything that users can do to see the damage; `key` is the object that was hit.
    async fn examine(&self, storage: MemoryStorage, key: &Key, other: Option<&Key>, what: &str) {
        let run = run();
        let storage = Arc::new(storage);
        let repository = match Repository::open(storage.clone(), &self.credentials, &run).await {
            Ok(repository) => repository,
            // Without a header or a key nothing can be opened; the error has to say which object.
            Err(e) => panic!("{what} {key}: one bad object must not close the repository: {e:?}"),
        };
        let report = check(&repository, ReadData::All, &run).await.unwrap();
        let named = report.problems.iter().chain(&report.notes).any(|p| p.object.contains(key.as_str()));
        let lost_entry = report.problems.iter().any(|p| p.message.contains("newest entry of the log has been lost"));
        let newest_lost = key.as_str().contains("/log/") && lost_entry;
        assert!(named || newest_lost, "{what} {key}: check does not name it: {:?}", report.problems);
        for (info, contents) in &self.expected {
            let target = MemorySource::new("target");
            match restore(&repository, info, &target, &RestoreOptions::new(), &run).await {
                Ok(_) => assert_eq!(&target.contents(), contents, "{what} {key}: a wrong byte was restored"),
                Err(e) => {
                    assert!(target.contents().is_empty(), "{what} {key}: a failed restore left something behind");
                    let entry_lost = (what == "removed:" && key.as_str().contains("/log/")) || text_names_an_entry(&e);
                    let text = format!("{e:?}");
                    let says_which = [Some(key), other].into_iter().flatten().any(|key| text.contains(key.as_str()));
                    assert!(entry_lost || says_which, "{what} {key}: the error names another: {text}");
                }
            }
        }
        let listed = list(&repository, None, &run).await;
        assert!(listed.is_ok(), "{what} {key}: list must go on: {listed:?}");
    }
}

/// A backup whose entry is damaged does not exist; the error says which entry that is.
fn text_names_an_entry(error: &kronos_core::Error) -> bool {
    error.context("damaged").is_some_and(|key| key.contains("/log/"))
}

async fn damage_each_object(protection: Protection, credentials: Credentials, step: usize) {
    let fixture = fixture(protection, credentials).await;
    let keys = fixture.storage.keys();
    let logs = keys.iter().filter(|k| k.as_str().contains("/log/")).count();
    let mut prng = Prng::new(7);
    for (n, key) in keys.iter().enumerate() {
        // The log has hundreds of small entries of the same two kinds; some of them will do.
        let is_log = key.as_str().contains("/log/");
        if (is_log && n % (logs / 12) != 0 && !key.as_str().ends_with("00260")) || n % step != 0 {
            continue;
        }
        let size = fixture.storage.read(key).unwrap().len();
        for bit in [prng.index(8 * size), prng.index(8 * size), 0, 8 * size - 1] {
            let storage = fixture.storage.snapshot();
            assert!(storage.flip(key, bit));
            fixture.examine(storage, key, None, &format!("bit {bit} flipped in")).await;
        }
        for length in [0, prng.index(size), size - 1] {
            let storage = fixture.storage.snapshot();
            assert!(storage.truncate(key, length));
            fixture.examine(storage, key, None, &format!("cut to {length} bytes:")).await;
        }
        let storage = fixture.storage.snapshot();
        assert!(storage.remove(key));
        fixture.examine(storage, key, None, "removed:").await;
        let other = &keys[(n + 1) % keys.len()];
        let (one, two) = (fixture.storage.read(key).unwrap(), fixture.storage.read(other).unwrap());
        // A key and its copy, a job and its copy are the same bytes: swapping them is nothing.
        if one != two {
            let storage = fixture.storage.snapshot();
            storage.overwrite(key, two);
            storage.overwrite(other, one);
            fixture.examine(storage.clone(), key, Some(other), "swapped:").await;
        }
    }
}

#[tokio::test]
async fn damage_to_any_object_is_named_and_never_restored() {
    damage_each_object(Protection::None, Credentials::None, 1).await;
}

#[tokio::test]
async fn the_same_with_a_passphrase() {
    let secret = Secret::new("one");
    // A passphrase is slow to try on purpose, so only some objects are taken.
    damage_each_object(Protection::Passphrase(secret.clone()), Credentials::Passphrase(secret), 19).await;
}
