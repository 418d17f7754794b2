//! Compaction: many small packs become few, badly used ones are written again, and every backup
//! stays what it was.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic, and knows its numbers")]

mod common;

use std::sync::Arc;

use common::{assert_restores, back_up, impatient, noise, objects, repository, still};
use kronos_core::testing::{FaultPlan, FaultStorage, MemorySource, MemoryStorage, needed_and_idle};
use kronos_core::{BackupInfo, Credentials, PruneOptions, ReadData, Repository, RunContext, check, forget, prune};

async fn grown(storage: &Arc<MemoryStorage>) -> (Repository, MemorySource, Vec<(BackupInfo, MemorySource)>) {
    let repository = repository(storage).await;
    let source = MemorySource::new("shop").with_pages(64);
    let mut bytes = noise(1, 30_000);
    let mut backups = Vec::new();
    for n in 0..12u64 {
        let at = (n * 37 % 460) as usize * 64;
        bytes[at..at + 64].copy_from_slice(&noise(1000 + n, 64));
        source.set("a", bytes.clone());
        source.set("small", noise(n, 100));
        backups.push((back_up(&repository, &source).await, still(&source)));
    }
    (repository, source, backups)
}

async fn assert_all(repository: &Repository, backups: &[(BackupInfo, MemorySource)]) {
    for (backup, contents) in backups {
        assert_restores(repository, backup, contents).await;
    }
    let report = check(repository, ReadData::All, &RunContext::new()).await.unwrap();
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
}

#[tokio::test]
async fn small_packs_are_merged() {
    let storage = Arc::new(MemoryStorage::new());
    let (repository, source, mut backups) = grown(&storage).await;
    let packs = |part| objects(&storage, part).len();
    let before = (packs("/packs/"), packs("/meta/"));
    let run = impatient();
    let options = PruneOptions::new(None).with_compact(true);
    let untouched = storage.objects();
    let plan = prune(&repository, "shop", &options.clone().with_dry_run(true), &run).await.unwrap();
    let planned = plan.compaction.unwrap();
    assert!(planned.packs > 10 && planned.used_bytes > 0, "{planned:?}");
    assert_eq!(storage.objects(), untouched, "a plan changes nothing");

    let report = prune(&repository, "shop", &options, &run).await.unwrap();
    let done = report.compaction.unwrap();
    assert_eq!((done.packs, done.passed_over), (planned.packs, 0));
    assert!(done.backups > 10, "{done:?}");
    assert_all(&repository, &backups).await;
    for _ in 0..2 {
        prune(&repository, "shop", &PruneOptions::new(None), &run).await.unwrap();
    }
    let after = (packs("/packs/"), packs("/meta/"));
    assert!(after.0 + 7 <= before.0 && after.1 * 2 <= before.1, "{before:?} became {after:?}");
    assert_all(&repository, &backups).await;
    let (_, idle) = needed_and_idle(&repository, "shop", &run).await.unwrap();
    assert_eq!(idle, std::collections::BTreeSet::new());

    // What comes next shares what was moved.
    let next = back_up(&repository, &source).await;
    assert!(next.bytes_stored < 4_000, "{}", next.bytes_stored);
    backups.push((next, still(&source)));
    assert_all(&repository, &backups).await;
}

#[tokio::test]
async fn badly_used_packs_are_written_again() {
    let storage = Arc::new(MemoryStorage::new());
    let (repository, _, mut backups) = grown(&storage).await;
    let run = impatient();
    let last = backups.pop().unwrap();
    for (backup, _) in &backups {
        forget(&repository, backup, &run).await.unwrap();
    }
    for _ in 0..3 {
        prune(&repository, "shop", &PruneOptions::new(None).with_compact(true), &run).await.unwrap();
    }
    assert_all(&repository, std::slice::from_ref(&last)).await;
    let bytes: usize = objects(&storage, "/packs/").iter().map(|k| storage.read(k).unwrap().len()).sum();
    assert!(bytes < 45_000, "{bytes} bytes are stored of 30,100");
}

#[tokio::test]
async fn an_interrupted_compaction_goes_on_where_it_was() {
    let storage = Arc::new(MemoryStorage::new());
    let (_, _, backups) = grown(&storage).await;
    let run = impatient();
    let options = PruneOptions::new(None).with_compact(true);
    for crash_at in (20..200).step_by(9) {
        let plan = FaultPlan { crash_at: Some(crash_at), ..FaultPlan::default() };
        let failing = FaultStorage::new(storage.clone(), 1, plan);
        let opened = Repository::open(Arc::new(failing.clone()), &Credentials::None, &run).await;
        let Ok(opened) = opened else { continue };
        tokio::select! {
            () = failing.crashed() => {}
            done = prune(&opened, "shop", &options, &run) => drop(done),
        }
        let repository = Repository::open(storage.clone(), &Credentials::None, &run).await.unwrap();
        for (backup, contents) in &backups {
            assert_restores(&repository, backup, contents).await;
        }
    }
    let repository = Repository::open(storage.clone(), &Credentials::None, &run).await.unwrap();
    for _ in 0..4 {
        prune(&repository, "shop", &options, &run).await.unwrap();
    }
    assert_all(&repository, &backups).await;
    let (_, idle) = needed_and_idle(&repository, "shop", &run).await.unwrap();
    assert_eq!(idle, std::collections::BTreeSet::new());
}

#[tokio::test]
async fn there_is_nothing_to_do_twice() {
    let storage = Arc::new(MemoryStorage::new());
    let (repository, ..) = grown(&storage).await;
    let run = impatient();
    let options = PruneOptions::new(None).with_compact(true);
    let mut last = None;
    for _ in 0..4 {
        last = prune(&repository, "shop", &options, &run).await.unwrap().compaction;
    }
    assert_eq!(last.map(|c| (c.packs, c.backups)), Some((0, 0)));
}
