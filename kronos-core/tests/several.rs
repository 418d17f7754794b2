//! One read into several repositories: each gets what it lacks, and none suffers from another.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic, and knows its numbers")]

mod common;
#[path = "common/troubled.rs"]
mod troubled;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{assert_restores, back_up, noise, objects, repository};
use kronos_core::testing::{MemorySource, MemoryStorage};
use kronos_core::{
    BackupInfo, BackupOptions, ChunkerParameters, Credentials, Error, ErrorKind, Key, Limits, Protection, PruneOptions,
    ReadData, Repository, Retention, RunContext, SeveralReport, SlowStorage, StorageOutcome, backup_to, catch_up,
    check, copy, forget, list, prune,
};
use troubled::{Trouble, Troubled};

/// A run that sends tiny packs in parts as well.
fn small() -> RunContext {
    RunContext::new().with_tiny_parts()
}

/// Repositories that are alike, on storages in memory.
async fn alike(count: usize) -> (Vec<Arc<MemoryStorage>>, Vec<Repository>) {
    let storages: Vec<_> = (0..count).map(|_| Arc::new(MemoryStorage::new())).collect();
    let mut all = vec![repository(&storages[0]).await];
    for storage in &storages[1..] {
        all.push(Repository::init_like(storage.clone(), &all[0], &small()).await.unwrap());
    }
    (storages, all)
}

/// The same repository through a storage in trouble.
async fn in_trouble(name: &str, storage: &MemoryStorage, trouble: Trouble) -> (Troubled, Repository) {
    let storage = Troubled::new(name, storage, trouble);
    let opened = Repository::open(Arc::new(storage.clone()), &Credentials::None, &small()).await.unwrap();
    (storage, opened)
}

async fn to_all(to: &[Repository], source: &MemorySource) -> SeveralReport {
    backup_to(to, source, &BackupOptions::new(), &small()).await.unwrap()
}

fn committed(report: &SeveralReport) -> Vec<bool> {
    report.storages.iter().map(|s| matches!(s.outcome, StorageOutcome::Committed(_))).collect()
}

fn backup_in(report: &SeveralReport, n: usize) -> BackupInfo {
    match &report.storages[n].outcome {
        StorageOutcome::Committed(backup) => (**backup).clone(),
        other => panic!("storage {n} has no backup: {other:?}"),
    }
}

fn failure(report: &SeveralReport, n: usize) -> &Error {
    match &report.storages[n].outcome {
        StorageOutcome::Failed(error) | StorageOutcome::Dropped(error) => error,
        other => panic!("storage {n} did not fail: {other:?}"),
    }
}

fn packs(storage: &MemoryStorage) -> BTreeMap<Key, Bytes> {
    storage.objects().into_iter().filter(|(key, _)| key.as_str().contains("/packs/")).collect()
}

fn bytes_of_packs(storage: &MemoryStorage) -> usize {
    packs(storage).values().map(Bytes::len).sum()
}

async fn assert_clean(repository: &Repository) {
    let report = check(repository, ReadData::All, &small()).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

async fn listed(repository: &Repository) -> Vec<BackupInfo> {
    match list(repository, None, &small()).await {
        Ok(listing) => listing.backups,
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => panic!("{e:?}"),
    }
}

fn source() -> MemorySource {
    let source = MemorySource::new("shop").with_pages(64);
    for (n, name) in (0..).zip(["a", "b", "c"]) {
        source.set(name, noise(n, 9000));
    }
    source
}

/// Changes some bytes of a stream.
fn change(source: &MemorySource, name: &str, at: usize, length: usize, seed: u64) {
    let mut bytes = source.contents()[name].to_vec();
    bytes[at..at + length].copy_from_slice(&noise(seed, length));
    source.set(name, bytes);
}

#[tokio::test]
async fn one_read_gives_the_same_packs_to_each() {
    for count in [2, 3] {
        let (storages, all) = alike(count).await;
        let source = source();
        for round in 0..3 {
            let report = to_all(&all, &source).await;
            assert_eq!(committed(&report), vec![true; count]);
            assert!(source.take_opened().into_values().eq([1, 1, 1]), "each stream is opened once");
            // Salts and keys are random: equal bytes were sealed once.
            let first = packs(&storages[0]);
            assert!(storages.iter().all(|storage| packs(storage) == first) && first.len() > round);
            for (n, repository) in all.iter().enumerate() {
                let backup = backup_in(&report, n);
                assert_eq!((backup.id, backup.bytes_read), (report.backup().unwrap().id, 27_000));
                assert_restores(repository, &backup, &source).await;
                assert_clean(repository).await;
            }
            change(&source, "b", 1000 * round, 300, 77 + round as u64);
        }
    }
}

#[tokio::test]
async fn in_every_mode_what_is_sealed_once_opens_everywhere() {
    let run = small();
    let (identity, recipient) = kronos_core::generate_identity();
    let protections = [
        Protection::Passphrase(kronos_core::Secret::new("a passphrase for a test")),
        Protection::Recipients(vec![recipient]),
    ];
    for protection in protections {
        let storages = [Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new())];
        let first = Repository::init(storages[0].clone(), &protection, ChunkerParameters::tiny(), &run).await.unwrap();
        let second = Repository::init_like(storages[1].clone(), &first, &run).await.unwrap();
        let source = source();
        let report = to_all(&[first, second], &source).await;
        assert_eq!(packs(&storages[0]), packs(&storages[1]));
        let credentials = match protection {
            Protection::Passphrase(passphrase) => Credentials::Passphrase(passphrase),
            _ => Credentials::Identities(vec![identity.clone()]),
        };
        for (n, storage) in storages.into_iter().enumerate() {
            let reader = Repository::open(storage, &credentials, &run).await.unwrap();
            assert_restores(&reader, &backup_in(&report, n), &source).await;
            assert_clean(&reader).await;
        }
    }
}

#[tokio::test]
async fn one_that_fails_at_any_operation_harms_nobody() {
    // A fresh job, and one with a history on which the run builds.
    for history in [false, true] {
        let source = source();
        let (storages, all) = alike(3).await;
        if history {
            to_all(&all, &source).await;
            change(&source, "b", 100, 500, 5);
        }
        let had = usize::from(history);
        let (count, _) = in_trouble("count", &storages[1].snapshot(), Trouble::None).await;
        let whole = Repository::open(Arc::new(count.clone()), &Credentials::None, &small()).await.unwrap();
        let before = count.operations();
        to_all(&[repository_of(&storages[0].snapshot()).await, whole], &source).await;
        let operations = count.operations() - before;
        assert!(operations > 20, "{operations}");
        let (mut failed, mut silent) = (0, 0);
        for number in 1..=operations {
            for trouble in [Trouble::At(0), Trouble::From(0), Trouble::Silent(0)] {
                // The first, or another one.
                let bad = usize::try_from(number % 2).unwrap();
                let fresh: Vec<_> = storages.iter().map(|s| s.snapshot()).collect();
                let (counter, _) = in_trouble("open", &fresh[bad], Trouble::None).await;
                let opening = counter.operations();
                let trouble = match trouble {
                    Trouble::At(_) => Trouble::At(opening + number),
                    Trouble::From(_) => Trouble::From(opening + number),
                    _ => Trouble::Silent(opening + number),
                };
                let mut to = Vec::new();
                for storage in &fresh {
                    to.push(repository_of(storage).await);
                }
                to[bad] = in_trouble("bad", &fresh[bad], trouble).await.1;
                let report = to_all(&to, &source).await;
                let ok = committed(&report);
                let clean = repository_of(&fresh[bad]).await;
                let there = listed(&clean).await.len() - had;
                for n in (0..3).filter(|n| *n != bad) {
                    assert!(ok[n], "{trouble:?}: {report:?}");
                    assert_restores(&to[n], &backup_in(&report, n), &source).await;
                    assert_clean(&to[n]).await;
                }
                if ok[bad] {
                    assert_eq!(there, 1, "{trouble:?}");
                } else {
                    failed += 1;
                    assert!(failure(&report, bad).to_string().contains("broken") || there == 0, "{report:?}");
                    // An answer that is lost leaves a backup that nobody was told of, whole.
                    silent += there;
                    assert!(there == 0 || failure(&report, bad).context("in doubt").is_some(), "{report:?}");
                }
                for backup in listed(&clean).await.iter().skip(had) {
                    assert_restores(&clean, backup, &source).await;
                }
                let problems = check(&clean, ReadData::All, &small()).await.unwrap().problems;
                assert!(problems.is_empty(), "{trouble:?}: {problems:?}");
                // It catches up, once.
                to[bad] = clean;
                for copied in [1 - there, 0] {
                    let results = catch_up(&to, "shop", &small()).await;
                    let copies: usize = results.iter().map(|r| r.as_ref().unwrap().copied.len()).sum();
                    assert_eq!(copies, copied, "{trouble:?}");
                }
                for (storage, repository) in fresh.iter().zip(&to) {
                    assert_eq!(listed(repository).await.len(), had + 1, "{trouble:?} {}", storage.keys().len());
                }
                assert_restores(&to[bad], listed(&to[bad]).await.last().unwrap(), &source).await;
                assert_clean(&to[bad]).await;
            }
        }
        assert!(failed > operations && silent > 0, "{failed} of {operations} failed, {silent} unnoticed");
    }
}

async fn repository_of(storage: &MemoryStorage) -> Repository {
    Repository::open(Arc::new(storage.clone()), &Credentials::None, &small()).await.unwrap()
}

#[tokio::test]
async fn one_that_missed_some_gets_what_it_lacks_and_the_others_store_nothing_twice() {
    let source = source();
    let (storages, all) = alike(4).await;
    // The third and fourth are what the first two should be like.
    for repository in &all {
        back_up(repository, &source).await;
    }
    for round in 0..3 {
        change(&source, "a", 2000 * round, 1500, 10 + round as u64);
        back_up(&all[0], &source).await;
        back_up(&all[2], &source).await;
    }
    change(&source, "c", 3072, 1024, 20);
    let before = bytes_of_packs(&storages[0]);
    let report = to_all(&all[..2], &source).await;
    for n in [0, 1] {
        assert_restores(&all[n], &backup_in(&report, n), &source).await;
        assert_clean(&all[n]).await;
        back_up(&all[n + 2], &source).await;
        let (one, like) = (bytes_of_packs(&storages[n]), bytes_of_packs(&storages[n + 2]));
        // The same chunks, in one pack more at the most.
        assert!(one.abs_diff(like) < 300, "storage {n} holds {one} bytes, alone it would hold {like}");
    }
    let added = bytes_of_packs(&storages[0]) - before;
    assert!((1024..1400).contains(&added), "the first lacked 1024 bytes and got {added}");
    assert!(backup_in(&report, 1).bytes_stored > backup_in(&report, 0).bytes_stored + 4500);
    // What both lacked is one pack, which lies in both.
    let (one, two) = (packs(&storages[0]), packs(&storages[1]));
    assert!(one.iter().any(|(key, bytes)| two.get(key) == Some(bytes)));
}

#[tokio::test]
async fn storages_that_hold_the_same_share_the_room_for_what_is_known() {
    let source = MemorySource::new("shop").with_pages(512);
    let mut bytes = noise(1, 900 * 512);
    source.set("orders", bytes.clone());
    let (_, all) = alike(3).await;
    to_all(&all, &source).await;
    // A hundred pages of 512 bytes are new.
    bytes.chunks_mut(512).step_by(9).for_each(|page| page[0] = !page[0]);
    source.set("orders", bytes);
    // The least there is: room for 1,024 chunks.
    let mut limits = Limits::default();
    limits.memory = 1 << 10;
    let run = small().with_limits(limits);
    let report = backup_to(&all, &source, &BackupOptions::new(), &run).await.unwrap();
    for (n, repository) in all.iter().enumerate() {
        let backup = backup_in(&report, n);
        assert!(backup.bytes_stored < 150_000, "{} bytes of what was there are stored again", backup.bytes_stored);
        assert_restores(repository, &backup, &source).await;
        assert_clean(repository).await;
    }
}

#[tokio::test]
async fn repositories_that_differ_in_every_way_all_get_a_whole_backup() {
    let source = source();
    let (_, all) = alike(4).await;
    let parts: Vec<u64> = (0..16).collect();
    source.set("a", vec![0; 16 * 256]);
    // Each of the sixteen parts is lacked by another set of them.
    for (n, repository) in all.iter().enumerate() {
        for part in parts.iter().filter(|part| *part >> n & 1 == 0) {
            change(&source, "a", usize::try_from(*part).unwrap() * 256, 256, 100 + part);
        }
        back_up(repository, &source).await;
        source.set("a", vec![0; 16 * 256]);
    }
    for part in &parts {
        change(&source, "a", usize::try_from(*part).unwrap() * 256, 256, 100 + part);
    }
    let report = to_all(&all, &source).await;
    for (n, repository) in all.iter().enumerate() {
        assert_restores(repository, &backup_in(&report, n), &source).await;
        assert_clean(repository).await;
    }
}

#[tokio::test]
async fn catching_up_makes_no_second_copy_in_either_direction() {
    let source = source();
    let run = small();
    let (_, all) = alike(3).await;
    to_all(&all, &source).await;
    // Each misses another one.
    for missing in 0..3 {
        change(&source, "a", 700 * missing, 600, 30 + missing as u64);
        let to: Vec<Repository> =
            all.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, r)| r.clone()).collect();
        to_all(&to, &source).await;
    }
    let copied = catch_up(&all, "shop", &run).await.into_iter().map(|r| r.unwrap().copied.len());
    assert_eq!(copied.collect::<Vec<_>>(), [1, 1, 1]);
    for from in &all {
        for to in &all {
            assert_eq!(copy(from, to, "shop", &[], &run).await.unwrap().copied.len(), 0);
        }
    }
    let times = |backups: Vec<BackupInfo>| backups.into_iter().map(|b| (b.started, b.bytes)).collect::<Vec<_>>();
    let first = times(listed(&all[0]).await);
    assert_eq!(first.len(), 4);
    for repository in &all {
        assert_eq!(times(listed(repository).await), first);
        assert_clean(repository).await;
    }
    // And it goes on from there, with nothing to be stored.
    let report = to_all(&all, &source).await;
    assert!((0..3).all(|n| backup_in(&report, n).bytes_stored < 3000), "{report:?}");
}

#[tokio::test]
async fn what_was_forgotten_or_pruned_in_one_does_not_come_back() {
    let source = source();
    let run = small();
    let (_, all) = alike(2).await;
    let mut reports = Vec::new();
    for round in 0..4 {
        change(&source, "b", 500 * round, 400, 40 + round as u64);
        reports.push(to_all(&all, &source).await);
    }
    forget(&all[0], &backup_in(&reports[3], 0), &run).await.unwrap();
    let retention = Retention { last: 1, ..Retention::default() };
    prune(&all[1], "shop", &PruneOptions::new(Some(retention)), &common::impatient()).await.unwrap();
    prune(&all[1], "shop", &PruneOptions::new(None), &common::impatient()).await.unwrap();
    assert_eq!((listed(&all[0]).await.len(), listed(&all[1]).await.len()), (3, 1));
    let report = to_all(&all, &source).await;
    for (n, repository) in all.iter().enumerate() {
        assert_restores(repository, &backup_in(&report, n), &source).await;
        assert_clean(repository).await;
    }
    for result in catch_up(&all, "shop", &run).await {
        assert!(result.unwrap().copied.is_empty());
    }
    assert_eq!((listed(&all[0]).await.len(), listed(&all[1]).await.len()), (4, 2));
}

#[tokio::test]
async fn a_stream_is_taken_over_unread_only_from_the_same_parent_everywhere() {
    let source = source().with_proofs();
    let (_, all) = alike(2).await;
    let whole = |report: &SeveralReport| (backup_in(report, 0).bytes_read, backup_in(report, 1).bytes_read);
    to_all(&all, &source).await;
    change(&source, "c", 0, 100, 1);
    source.take_opened();
    let report = to_all(&all, &source).await;
    assert_eq!(whole(&report), (9000, 9000));
    assert!(source.take_opened().into_keys().eq(["c"]), "a and b are proved unchanged");
    // Now the second one has missed a backup.
    change(&source, "a", 0, 100, 2);
    back_up(&all[0], &source).await;
    source.take_opened();
    let report = to_all(&all, &source).await;
    assert_eq!((whole(&report), source.take_opened().len()), ((27_000, 27_000), 3));
    let kinds: Vec<String> = (0..2).map(|n| backup_in(&report, n).kind.to_string()).collect();
    assert_eq!(kinds, ["incremental", "full"]);
    for (n, repository) in all.iter().enumerate() {
        assert_restores(repository, &backup_in(&report, n), &source).await;
    }
    // That gave them one in common.
    let report = to_all(&all, &source).await;
    assert_eq!((whole(&report), source.take_opened().len()), ((0, 0), 0));
    // Also copies of one backup are the same parent, under another id.
    change(&source, "b", 0, 100, 3);
    back_up(&all[1], &source).await;
    catch_up(&all, "shop", &small()).await.into_iter().for_each(|r| drop(r.unwrap()));
    source.take_opened();
    let report = to_all(&all, &source).await;
    assert_eq!(whole(&report), (0, 0));
    assert_ne!(backup_in(&report, 0).parent, backup_in(&report, 1).parent);
    for (n, repository) in all.iter().enumerate() {
        assert_restores(repository, &backup_in(&report, n), &source).await;
        assert_clean(repository).await;
    }
}

#[tokio::test]
async fn an_index_that_is_damaged_in_one_is_made_anew_there() {
    let source = source().with_proofs();
    let (storages, all) = alike(2).await;
    to_all(&all, &source).await;
    for key in objects(&storages[1], "/meta/") {
        // Both copies of everything but the table, which is at the end.
        let length = storages[1].read(&key).unwrap().len();
        for at in (50..length * 2 / 3).step_by(40) {
            storages[1].flip(&key, at * 8);
        }
    }
    let report = to_all(&all, &source).await;
    assert_eq!(committed(&report), [true, true]);
    for (n, repository) in all.iter().enumerate() {
        assert_restores(repository, &backup_in(&report, n), &source).await;
    }
    assert_clean(&all[0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_is_waited_for_or_dropped_and_catches_up() {
    let source = source();
    let run = small();
    let (storages, all) = alike(3).await;
    let pause = Duration::from_secs(7);
    for slow in [SlowStorage::Wait, SlowStorage::Drop { after: Duration::from_mins(1) }] {
        let (storage, snail) = in_trouble("snail", &storages[1], Trouble::Slow(pause)).await;
        let to = [all[0].clone(), snail, all[2].clone()];
        change(&source, "a", 0, 3000, 3);
        let (begun, before) = (tokio::time::Instant::now(), storage.operations());
        let report = backup_to(&to, &source, &BackupOptions::new().with_slow(slow), &run).await.unwrap();
        let took = begun.elapsed();
        if slow == SlowStorage::Wait {
            assert_eq!(committed(&report), [true, true, true]);
            assert!(took > pause * 20, "{took:?}");
        } else {
            assert_eq!(committed(&report), [true, false, true]);
            assert!(matches!(report.storages[1].outcome, StorageOutcome::Dropped(_)));
            assert_eq!(failure(&report, 1).kind(), ErrorKind::Timeout);
            assert!((60..70).contains(&took.as_secs()), "{took:?}");
            assert!(storage.operations() - before < 20);
            assert_eq!(catch_up(&all, "shop", &run).await.remove(1).unwrap().copied.len(), 1);
        }
        for repository in &all {
            let backups = listed(repository).await;
            assert_restores(repository, backups.last().unwrap(), &source).await;
            assert_clean(repository).await;
        }
    }
    assert_eq!(listed(&all[1]).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_dropped_wherever_that_is() {
    let source = source();
    let slow = SlowStorage::Drop { after: Duration::from_secs(30) };
    let (storages, all) = alike(2).await;
    to_all(&all, &source).await;
    change(&source, "a", 0, 5000, 9);
    let (mut dropped, mut in_doubt) = (0, 0);
    for number in 4..70 {
        let fresh: Vec<_> = storages.iter().map(|s| s.snapshot()).collect();
        let bad = usize::try_from(number % 2).unwrap();
        let mut to = vec![repository_of(&fresh[0]).await, repository_of(&fresh[1]).await];
        to[bad] = in_trouble("hangs", &fresh[bad], Trouble::Hangs(number)).await.1;
        let begun = tokio::time::Instant::now();
        let (options, run) = (BackupOptions::new().with_slow(slow), small());
        let made = backup_to(&to, &source, &options, &run);
        // What comes after the commit is not the run's any more.
        let Ok(report) = tokio::time::timeout(Duration::from_mins(5), made).await else { continue };
        let report = report.unwrap();
        assert!(committed(&report)[1 - bad]);
        if !committed(&report)[bad] {
            dropped += 1;
            in_doubt += usize::from(failure(&report, bad).context("in doubt").is_some());
            assert!(begun.elapsed() < Duration::from_secs(32), "{:?}", begun.elapsed());
        }
        to[bad] = repository_of(&fresh[bad]).await;
        catch_up(&to, "shop", &small()).await.into_iter().for_each(|r| drop(r.unwrap()));
        for repository in &to {
            assert_eq!(listed(repository).await.len(), 2);
            assert_restores(repository, listed(repository).await.last().unwrap(), &source).await;
            assert_clean(repository).await;
        }
    }
    assert!(dropped > 20 && in_doubt > 0, "{dropped} {in_doubt}");
}

#[tokio::test]
async fn a_stranger_is_named_and_does_not_stop_the_others() {
    let source = source();
    let (storages, all) = alike(2).await;
    let stranger = repository(&Arc::new(MemoryStorage::new())).await;
    let mut coarse = ChunkerParameters::tiny();
    coarse.block *= 2;
    let coarse = Repository::init(Arc::new(MemoryStorage::new()), &Protection::None, coarse, &small()).await.unwrap();
    assert!(all[0].is_like(&all[1]) && !all[0].is_like(&stranger) && !all[0].is_like(&coarse));
    let again = repository_of(&storages[0]).await;
    let report = to_all(&[all[0].clone(), stranger, all[1].clone(), coarse, again], &source).await;
    assert_eq!(committed(&report), [true, false, true, false, false]);
    for n in [1, 3, 4] {
        let error = failure(&report, n);
        assert!(error.kind() == ErrorKind::Config && error.context("hint").is_some(), "{error:?}");
    }
}

#[tokio::test]
async fn the_source_a_cancellation_and_the_last_storage_end_the_run() {
    let source = source();
    let (storages, all) = alike(2).await;
    let mut broken = Vec::new();
    for storage in &storages {
        broken.push(in_trouble("broken", storage, Trouble::From(9)).await.1);
    }
    let error = backup_to(&broken, &source, &BackupOptions::new(), &small()).await.unwrap_err();
    assert!(error.to_string().contains("no storage") && error.to_string().matches("disk is broken").count() == 2);
    let run = small();
    run.cancel.cancel();
    let error = backup_to(&all, &source, &BackupOptions::new(), &run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let error = backup_to(&[], &source, &BackupOptions::new(), &small()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(listed(&all[0]).await.is_empty());
    // Nothing stands in the way of the next one.
    let report = to_all(&all, &source).await;
    assert_eq!(committed(&report), [true, true]);
}
