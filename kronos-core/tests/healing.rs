//! Damage is found, written down, built on by nobody, and heals once the same data comes again.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic, and knows its numbers")]

mod common;

use std::sync::Arc;

use common::{assert_restores, back_up, impatient, noise, objects, report_of, repository, still};
use kronos_core::testing::{MemorySource, MemoryStorage};
use kronos_core::{
    BackupInfo, BackupKind, BackupOptions, CheckReport, Full, Key, PruneOptions, ReadData, Repository, RestoreOptions,
    Retention, RunContext, backup, check, find_backup, forget, list, prune, restore,
};

struct Patient {
    storage: Arc<MemoryStorage>,
    repository: Repository,
    source: MemorySource,
    /// What the backup holds.
    contents: MemorySource,
    backup: BackupInfo,
}

/// One backup of two streams.
async fn patient() -> Patient {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let source = MemorySource::new("shop").with_pages(64).with_proofs();
    source.set("a", noise(1, 20_000));
    source.set("b", noise(2, 3_000));
    let backup = back_up(&repository, &source).await;
    let contents = still(&source);
    Patient { storage, repository, source, contents, backup }
}

impl Patient {
    /// Both copies of the nodes go bad, wherever they are: the head, the tables and so the size stay.
    fn spoil_nodes(&self) {
        for pack in objects(&self.storage, "/meta/") {
            let length = self.storage.read(&pack).unwrap().len();
            for byte in (60..length / 2).step_by(40) {
                self.storage.flip(&pack, 8 * byte);
                self.storage.flip(&pack, 8 * (byte + length * 45 / 100));
            }
        }
    }

    async fn check(&self, read: ReadData) -> CheckReport {
        check(&self.repository, read, &RunContext::new()).await.unwrap()
    }

    async fn is_restorable(&self) -> bool {
        let target = MemorySource::new("target");
        let run = RunContext::new();
        match restore(&self.repository, &self.backup, &target, &RestoreOptions::new(), &run).await {
            Ok(_) => {
                assert_eq!(target.contents(), self.contents.contents());
                true
            }
            Err(e) => {
                assert_eq!(e.kind(), kronos_core::ErrorKind::Corrupt, "{e:?}");
                false
            }
        }
    }

    async fn is_marked(&self) -> bool {
        find_backup(&self.repository, &self.backup.id.to_string(), &RunContext::new()).await.unwrap().damaged
    }

    /// The next backup stores what is lost, and the old one is whole again.
    async fn assert_heals(&self) {
        let report = report_of(&self.repository, &self.source).await;
        assert_eq!(report.healed, [self.backup.id]);
        assert!(self.is_restorable().await && !self.is_marked().await);
        assert_restores(&self.repository, &report.backup.unwrap(), &self.source).await;
        let run = impatient();
        for _ in 0..3 {
            prune(&self.repository, "shop", &PruneOptions::new(None).with_compact(true), &run).await.unwrap();
        }
        assert!(self.is_restorable().await, "what it was led to is kept");
        let report = self.check(ReadData::All).await;
        assert_eq!((report.problems, report.damaged_backups), (vec![], vec![]));
    }
}

fn flip_block(storage: &MemoryStorage, pack: &Key) {
    // Its first block begins at byte 41.
    assert!(storage.flip(pack, 8 * 60));
}

#[tokio::test]
async fn a_bad_block_heals() {
    let patient = patient().await;
    for pack in objects(&patient.storage, "/packs/") {
        flip_block(&patient.storage, &pack);
    }
    assert!(!patient.is_restorable().await);
    assert!(!patient.is_marked().await);
    let report = patient.check(ReadData::All).await;
    assert_eq!(report.damaged_backups, [patient.backup.id]);
    assert!(patient.is_marked().await);
    // Another look, at less, forgets nothing.
    let report = patient.check(ReadData::No).await;
    assert_eq!(report.damaged_backups, [patient.backup.id]);
    assert!(!report.problems.is_empty());
    patient.assert_heals().await;
}

#[tokio::test]
async fn lost_packs_heal_without_a_check() {
    let patient = patient().await;
    for pack in objects(&patient.storage, "/packs/") {
        patient.storage.remove(&pack);
    }
    patient.assert_heals().await;
}

#[tokio::test]
async fn a_pack_that_was_cut_short_heals() {
    let patient = patient().await;
    for pack in objects(&patient.storage, "/packs/") {
        patient.storage.truncate(&pack, 300);
    }
    patient.assert_heals().await;
}

#[tokio::test]
async fn lost_metadata_heals() {
    let patient = patient().await;
    for pack in objects(&patient.storage, "/meta/") {
        patient.storage.remove(&pack);
    }
    assert!(!patient.is_restorable().await);
    patient.assert_heals().await;
}

#[tokio::test]
async fn metadata_with_both_copies_bad_heals() {
    let patient = patient().await;
    patient.spoil_nodes();
    let damaged = patient.check(ReadData::No).await.damaged_backups;
    assert_eq!(damaged, [patient.backup.id]);
    patient.assert_heals().await;
}

#[tokio::test]
async fn healing_goes_as_far_as_the_data_does() {
    let patient = patient().await;
    for pack in objects(&patient.storage, "/packs/") {
        patient.storage.remove(&pack);
    }
    // Half of it is something else now.
    let mut changed = noise(1, 20_000);
    changed[10_000..].copy_from_slice(&noise(9, 10_000));
    patient.source.set("a", changed);
    patient.source.set("b", noise(8, 3_000));
    let report = report_of(&patient.repository, &patient.source).await;
    assert!(report.healed.is_empty());
    assert_restores(&patient.repository, &report.backup.unwrap(), &patient.source).await;
    patient.contents.contents().into_iter().for_each(|(name, bytes)| patient.source.set(&name, bytes));
    patient.assert_heals().await;
}

#[tokio::test]
async fn what_comes_back_is_good_again() {
    let patient = patient().await;
    let pack = objects(&patient.storage, "/packs/").remove(0);
    let before = patient.storage.read(&pack).unwrap();
    patient.storage.remove(&pack);
    patient.check(ReadData::No).await;
    assert!(patient.is_marked().await);
    patient.storage.overwrite(&pack, before);
    assert!(patient.is_restorable().await, "a restore tries all the same");
    patient.check(ReadData::No).await;
    assert!(patient.is_marked().await, "that it is there does not prove that it is good");
    let report = patient.check(ReadData::All).await;
    assert!(!patient.is_marked().await && report.damaged_backups.is_empty());
    assert!(patient.check(ReadData::No).await.problems.is_empty());
}

#[tokio::test]
async fn a_stream_that_was_unchanged_is_read_again_when_its_data_is_bad() {
    let patient = patient().await;
    patient.storage.remove(&objects(&patient.storage, "/packs/")[0]);
    let next = back_up(&patient.repository, &patient.source).await;
    assert_eq!(next.kind, BackupKind::Incremental);
    assert!(next.bytes_read > 0);
    assert_restores(&patient.repository, &next, &patient.source).await;
    let after = back_up(&patient.repository, &patient.source).await;
    assert_eq!(after.bytes_read, 0, "and then no more");
}

#[tokio::test]
async fn what_is_found_bad_while_it_is_taken_over_is_read_after_all() {
    let patient = patient().await;
    // Nobody has checked.
    patient.spoil_nodes();
    let next = back_up(&patient.repository, &patient.source).await;
    assert_eq!(next.bytes_read, 23_000);
}

#[tokio::test]
async fn every_kind_of_backup_stores_anew_what_is_gone() {
    for strategy in [BackupOptions::new(), BackupOptions::new().with_strategy(Full)] {
        let patient = patient().await;
        patient.storage.remove(&objects(&patient.storage, "/packs/")[0]);
        let report = backup(&patient.repository, &patient.source, &strategy, &RunContext::new()).await.unwrap();
        assert_restores(&patient.repository, &report.backup.unwrap(), &patient.source).await;
    }
}

#[tokio::test]
async fn a_damaged_one_takes_no_place_from_a_good_one_and_stays_while_it_may_heal() {
    let patient = patient().await;
    let before = patient.storage.keys();
    patient.source.set("a", noise(3, 20_000));
    patient.source.set("b", noise(4, 3_000));
    let bad = back_up(&patient.repository, &patient.source).await;
    let new = objects(&patient.storage, "/packs/").into_iter().find(|k| !before.contains(k)).unwrap();
    flip_block(&patient.storage, &new);
    assert_eq!(patient.check(ReadData::All).await.damaged_backups, [bad.id]);
    let run = RunContext::new();
    let listed = list(&patient.repository, None, &run).await.unwrap().backups;
    assert_eq!(listed.iter().map(|b| b.damaged).collect::<Vec<_>>(), [false, true]);
    let last = PruneOptions::new(Some(Retention { last: 1, ..Retention::default() }));
    let report = prune(&patient.repository, "shop", &last, &run).await.unwrap();
    assert!(report.forgotten.is_empty(), "the damaged one does not count as the last");
    let next = back_up(&patient.repository, &patient.source).await;
    let report = prune(&patient.repository, "shop", &last, &run).await.unwrap();
    assert_eq!(report.forgotten, [patient.backup.id, bad.id]);
    forget(&patient.repository, &next, &run).await.unwrap();
}
