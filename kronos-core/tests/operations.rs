//! Every operation once, on a repository in memory.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may panic, and knows its numbers")]

use std::sync::Arc;

use kronos_core::testing::{FaultPlan, FaultStorage, MemorySource, MemoryStorage, append_unknown_entry, log_keys};
use kronos_core::{
    BackupKind, BackupOptions, ChunkerParameters, Credentials, Differential, ErrorKind, Full, Limits, Mode, Protection,
    PruneOptions, ReadData, Repository, RestoreOptions, Retention, RunContext, Secret, backup, check, copy, diff,
    find_backup, forget, generate_identity, hold, list, plan_backup, prune, release, restore, show,
};

mod common;

use common::{assert_restores, back_up, noise, repository, still};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_stores_only_what_changed_and_both_restore() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let source = MemorySource::new("shop").with_pages(64);
    source.set("orders", noise(1, 200_000));
    source.set("empty", Vec::new());
    source.set("small", vec![7; 10]);
    let first = back_up(&repository, &source).await;
    assert_eq!((first.kind, first.bytes, first.streams), (BackupKind::Full, 200_010, 3));
    let before = MemorySource::new("before");
    source.contents().into_iter().for_each(|(name, bytes)| before.set(&name, bytes));

    let mut changed = noise(1, 200_000);
    changed[100_000..100_100].fill(0);
    changed.extend(noise(2, 500));
    source.set("orders", changed);
    source.remove("small");
    let second = back_up(&repository, &source).await;
    assert_eq!((second.kind, second.parent), (BackupKind::Incremental, Some(first.id)));
    assert!(second.bytes_stored < first.bytes_stored / 10, "{} of {}", second.bytes_stored, first.bytes_stored);
    assert_restores(&repository, &first, &before).await;
    assert_restores(&repository, &second, &source).await;

    let run = RunContext::new();
    let compared = diff(&repository, &first, &second, &run).await.unwrap();
    assert_eq!(compared.changed.len(), 2);
    assert_eq!(compared.unchanged, 1);
    let orders = compared.changed.iter().find(|c| c.name == "orders").unwrap();
    assert!((500..2_000).contains(&orders.bytes_new), "{}", orders.bytes_new);
    let details = show(&repository, &second, &run).await.unwrap();
    assert_eq!(details.streams.len(), 2);
    let report = check(&repository, ReadData::All, &run).await.unwrap();
    assert_eq!((report.problems, report.notes, report.backups), (vec![], vec![], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_streams_with_default_parameters() {
    let storage = Arc::new(MemoryStorage::new());
    let run = RunContext::new();
    let repository =
        Repository::init(storage.clone(), &Protection::None, ChunkerParameters::default(), &run).await.unwrap();
    let source = MemorySource::new("large");
    source.set("content", noise(5, 30 << 20));
    source.set("again", noise(5, 30 << 20));
    let first = back_up(&repository, &source).await;
    assert!(first.bytes_stored < 33 << 20, "the same content is stored once: {}", first.bytes_stored);
    assert_restores(&repository, &first, &source).await;
    let second = back_up(&repository, &source).await;
    assert!(second.bytes_stored < 20_000, "nothing changed: {}", second.bytes_stored);
    assert_restores(&repository, &second, &source).await;
}

#[tokio::test]
async fn when_room_is_short_the_chunks_that_are_needed_are_known() {
    let storage = Arc::new(MemoryStorage::new());
    let mut chunker = ChunkerParameters::tiny();
    (chunker.block, chunker.pack) = (64 << 10, 1 << 20);
    let run = RunContext::new();
    let repository = Repository::init(storage.clone(), &Protection::None, chunker, &run).await.unwrap();
    let source = MemorySource::new("shop").with_pages(4096);
    let mut bytes = noise(1, 900 * 4096);
    source.set("orders", bytes.clone());
    let (first, before) = (back_up(&repository, &source).await, still(&source));
    // Half of the old pages are needed no more, but lie in the same packs.
    bytes.chunks_mut(4096).step_by(2).for_each(|page| page[0] = !page[0]);
    source.set("orders", bytes);
    back_up(&repository, &source).await;
    // The least there is: room for 1,024 chunks.
    let mut limits = Limits::default();
    limits.memory = 1 << 10;
    let run = RunContext::new().with_limits(limits);
    let third = backup(&repository, &source, &BackupOptions::new(), &run).await.unwrap().backup.unwrap();
    assert!(third.bytes_stored < 20_000, "{} bytes of what was there are stored again", third.bytes_stored);
    assert_restores(&repository, &third, &source).await;
    assert_restores(&repository, &first, &before).await;
}

#[tokio::test]
async fn a_differential_depends_on_its_full_backup_and_not_on_what_came_between() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let run = RunContext::new();
    let source = MemorySource::new("shop");
    source.set("a", noise(1, 50_000));
    let full = backup(&repository, &source, &BackupOptions::new().with_strategy(Full), &run).await.unwrap();
    source.set("b", noise(2, 50_000));
    let options = BackupOptions::new().with_strategy(Differential::default());
    let one = backup(&repository, &source, &options, &run).await.unwrap().backup.unwrap();
    let two = backup(&repository, &source, &options, &run).await.unwrap().backup.unwrap();
    assert_eq!(two.kind, BackupKind::Differential);
    assert_eq!(two.parent, full.backup.map(|b| b.id));
    assert!(two.bytes_stored >= 50_000, "what changed since the full one is stored again");
    forget(&repository, &one, &run).await.unwrap();
    assert_restores(&repository, &two, &source).await;
}

#[tokio::test]
async fn jobs_are_found_whatever_lies_between_their_records() {
    for page in [1, 2, 3, 1000] {
        let storage = Arc::new(MemoryStorage::new().with_page(page));
        let repository = repository(&storage).await;
        let source = MemorySource::new("shop");
        source.set("orders", noise(1, 20_000));
        for job in ["a", "a-b", "a b", "b", "A"] {
            let options = BackupOptions::new().with_job(job);
            backup(&repository, &source, &options, &RunContext::new()).await.unwrap();
            let encoded = log_keys(job, &storage.keys()).unwrap().last().unwrap().to_string();
            let encoded = encoded.split('/').nth(1).unwrap();
            for n in 0..5 {
                let checkpoint = kronos_core::Key::new(format!("jobs/{encoded}/checkpoint/{n:020}")).unwrap();
                storage.overwrite(&checkpoint, &b"x"[..]);
            }
        }
        let found = repository.jobs(&RunContext::new()).await.unwrap();
        assert_eq!(found, ["A", "a", "a b", "a-b", "b"], "pages of {page}");
    }
}

#[tokio::test]
async fn backups_are_found_by_what_users_write() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let run = RunContext::new();
    let (a, b) = (MemorySource::new("a/b c"), MemorySource::new("Other"));
    a.set("x", noise(1, 100));
    let first = back_up(&repository, &a).await;
    let second = back_up(&repository, &a).await;
    let find = async |text: &str| find_backup(&repository, text, &run).await;
    assert_eq!(find("latest").await.unwrap().id, second.id);
    assert_eq!(find("latest~1").await.unwrap().id, first.id);
    assert_eq!(find("latest~2").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(find(&first.id.to_string()[..12]).await.unwrap().id, first.id);
    assert_eq!(find(&first.started.to_string()).await.unwrap().id, first.id);
    assert_eq!(find("2001-01-01T00:00:00Z").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(find("zzz").await.unwrap_err().kind(), ErrorKind::NotFound);
    b.set("x", noise(1, 100));
    let other = back_up(&repository, &b).await;
    assert_eq!(find("latest").await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(find("Other/latest").await.unwrap().id, other.id);
    assert_eq!(find("a/b c/latest~1").await.unwrap().id, first.id);
    assert_eq!(find("Othre/latest").await.unwrap_err().context("did you mean"), Some("Other"));
    assert_eq!(repository.jobs(&run).await.unwrap(), ["Other", "a/b c"]);
    assert_eq!(list(&repository, None, &run).await.unwrap().backups.len(), 3);
}

#[tokio::test]
async fn a_job_refuses_another_source_under_its_name() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let options = BackupOptions::new().with_job("app");
    backup(&repository, &MemorySource::new("one"), &options, &RunContext::new()).await.unwrap();
    let error = backup(&repository, &MemorySource::new("two"), &options, &RunContext::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let plan = plan_backup(Some(&repository), &MemorySource::new("one"), &options, &RunContext::new()).await.unwrap();
    assert_eq!((plan.new_job, plan.kind), (false, Some(BackupKind::Incremental)));
}

#[tokio::test]
async fn prune_frees_what_nothing_needs_after_the_grace_period() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let source = MemorySource::new("shop");
    let mut backups = Vec::new();
    for n in 0..5 {
        source.set("a", noise(n, 20_000));
        backups.push(back_up(&repository, &source).await);
    }
    let run = RunContext::new();
    hold(&repository, &backups[1], &run).await.unwrap();
    assert_eq!(forget(&repository, &backups[1], &run).await.unwrap_err().kind(), ErrorKind::Conflict);
    let keep = PruneOptions::new(Some(Retention { last: 2, ..Retention::default() }));
    let objects = storage.keys().len();
    let plan = prune(&repository, "shop", &keep.clone().with_dry_run(true), &run).await.unwrap();
    assert_eq!((plan.forgotten.len(), storage.keys().len()), (2, objects));
    let report = prune(&repository, "shop", &keep, &run).await.unwrap();
    assert_eq!(report.forgotten, [backups[0].id, backups[2].id]);
    assert_eq!((report.swept, report.deleted), (0, 0), "the grace period has not passed");
    assert_eq!(report.doomed, plan.doomed);
    let mut limits = Limits::default();
    limits.grace = std::time::Duration::ZERO;
    let run = run.with_limits(limits);
    let report = prune(&repository, "shop", &PruneOptions::new(None), &run).await.unwrap();
    assert!(report.swept > 10 && report.deleted == report.swept && report.freed > 39_000, "{report:?}");
    let again = prune(&repository, "shop", &PruneOptions::new(None), &run).await.unwrap();
    assert_eq!((again.doomed, again.swept, again.deleted), (0, 0, 0));
    assert_restores(&repository, &backups[4], &source).await;
    release(&repository, &backups[1], &run).await.unwrap();
    assert!(check(&repository, ReadData::All, &run).await.unwrap().problems.is_empty());
    let none = PruneOptions::new(Some(Retention::default()));
    assert_eq!(prune(&repository, "shop", &none, &run).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_keep_their_origin_and_are_made_once() {
    let (one, two, three) =
        (Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new()));
    let run = RunContext::new();
    let from = repository(&one).await;
    let like = Repository::init_like(two.clone(), &from, &run).await.unwrap();
    let apart = repository(&three).await;
    let source = MemorySource::new("shop").with_pages(64);
    for n in 0..3 {
        source.set("a", noise(1, 30_000));
        source.set("b", noise(n, 3_000));
        back_up(&from, &source).await;
    }
    let times = async |of: &Repository| -> Vec<_> {
        let listing = list(of, Some("shop"), &run).await.unwrap();
        listing.backups.iter().map(|backup| (backup.origin, backup.started, backup.finished)).collect()
    };
    let made = times(&from).await;
    for to in [&like, &apart] {
        let report = copy(&from, to, "shop", &[], &run).await.unwrap();
        assert_eq!((report.copied.len(), report.present, report.failed.len()), (3, 0, 0));
        assert!(report.copied[2].bytes_stored < 10_000, "only what is new goes over");
        assert_restores(to, &report.copied[2], &source).await;
        assert_eq!(times(to).await, made, "a copy knows its original and is as old");
        forget(to, &report.copied[0], &run).await.unwrap();
        let report = copy(&from, to, "shop", &[], &run).await.unwrap();
        assert_eq!((report.copied.len(), report.present), (0, 3), "also what was forgotten stays away");
        assert!(check(to, ReadData::All, &run).await.unwrap().problems.is_empty());
    }
    let report = copy(&like, &from, "shop", &[], &run).await.unwrap();
    assert_eq!((report.copied.len(), report.present), (0, 2), "a copy of a copy knows its origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn passphrases_open_and_close() {
    let storage = Arc::new(MemoryStorage::new());
    let run = RunContext::new();
    let pass = |p: &str| Credentials::Passphrase(Secret::new(p));
    let protection = Protection::Passphrase(Secret::new("one"));
    let repository = Repository::init(storage.clone(), &protection, ChunkerParameters::tiny(), &run).await.unwrap();
    let source = MemorySource::new("shop");
    source.set("a", b"a text that must not lie there in the clear".repeat(20));
    let made = back_up(&repository, &source).await;
    let contains = |needle: &[u8]| storage.objects().values().any(|o| o.windows(needle.len()).any(|w| w == needle));
    assert!(!contains(b"must not lie") && !contains(b"shop\""));
    let open = async |c: &Credentials| Repository::open(storage.clone(), c, &run).await;
    assert_restores(&open(&pass("one")).await.unwrap(), &made, &source).await;
    assert_eq!(open(&pass("two")).await.unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(open(&Credentials::None).await.unwrap_err().kind(), ErrorKind::Authentication);
    let before = repository.keys(&run).await.unwrap();
    assert_eq!(repository.remove_key(before[0].id, &run).await.unwrap_err().kind(), ErrorKind::Conflict);
    repository.add_key(&Protection::Passphrase(Secret::new("two")), &run).await.unwrap();
    repository.remove_key(before[0].id, &run).await.unwrap();
    assert!(open(&pass("two")).await.is_ok());
    assert_eq!(open(&pass("one")).await.unwrap_err().kind(), ErrorKind::Authentication);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_key_backs_up_and_deduplicates_but_reads_no_data() {
    let storage = Arc::new(MemoryStorage::new());
    let run = RunContext::new();
    let (identity, recipient) = generate_identity();
    let protection = Protection::Recipients(vec![recipient]);
    let made = Repository::init(storage.clone(), &protection, ChunkerParameters::tiny(), &run).await.unwrap();
    assert_eq!(made.mode(), Mode::Recipients);
    let writer = Credentials::WriterKey(made.writer_key().unwrap());
    drop(made);
    let writer = Repository::open(storage.clone(), &writer, &run).await.unwrap();
    let source = MemorySource::new("shop").with_pages(64);
    source.set("a", noise(1, 20_000));
    let first = back_up(&writer, &source).await;
    let second = back_up(&writer, &source).await;
    assert!(second.bytes_stored < first.bytes_stored / 5);
    let target = MemorySource::new("target");
    let error = restore(&writer, &second, &target, &RestoreOptions::new(), &run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let reader = Repository::open(storage.clone(), &Credentials::Identities(vec![identity]), &run).await.unwrap();
    assert_restores(&reader, &second, &source).await;
    let (stranger, _) = generate_identity();
    let error = Repository::open(storage.clone(), &Credentials::Identities(vec![stranger]), &run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
}

#[tokio::test]
async fn only_an_empty_storage_becomes_a_repository() {
    let storage = Arc::new(MemoryStorage::new());
    let run = RunContext::new();
    let open = async || Repository::open(storage.clone(), &Credentials::None, &run).await;
    let init = async || Repository::init(storage.clone(), &Protection::None, ChunkerParameters::tiny(), &run).await;
    assert_eq!(open().await.unwrap_err().kind(), ErrorKind::NotFound);
    let foreign = kronos_core::Key::new("holiday.jpg").unwrap();
    storage.overwrite(&foreign, vec![1]);
    assert_eq!(open().await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(init().await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(storage.keys().len(), 1);
    storage.remove(&foreign);
    init().await.unwrap();
    assert_eq!(init().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let header = kronos_core::Key::new("kronos.json").unwrap();
    let newer =
        String::from_utf8(storage.read(&header).unwrap().to_vec()).unwrap().replace("\"version\": 1", "\"version\": 9");
    storage.overwrite(&header, newer.into_bytes());
    assert_eq!(open().await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_restore_refuses_a_target_that_exists() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let source = MemorySource::new("shop");
    source.set("a", noise(1, 1_000));
    let made = back_up(&repository, &source).await;
    let target = MemorySource::new("target");
    target.set("mine", noise(2, 10));
    let run = RunContext::new();
    let error = restore(&repository, &made, &target, &RestoreOptions::new(), &run).await.unwrap_err();
    assert_eq!((error.kind(), target.contents().len()), (ErrorKind::AlreadyExists, 1));
    restore(&repository, &made, &target, &RestoreOptions::new().with_replace(), &run).await.unwrap();
    assert_eq!(target.contents(), source.contents());
}

#[tokio::test]
async fn an_interrupted_backup_is_not_lost_work() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let source = MemorySource::new("shop").with_pages(64);
    source.set("a", noise(1, 100_000));
    // The client dies at its hundred-and-fiftieth operation, with most packs uploaded.
    let plan = FaultPlan { crash_at: Some(150), ..FaultPlan::default() };
    let dying = FaultStorage::new(storage.clone(), 1, plan);
    let run = RunContext::new().with_tiny_parts();
    let client = Repository::open(Arc::new(dying.clone()), &Credentials::None, &run).await.unwrap();
    let options = BackupOptions::new();
    tokio::select! {
        () = dying.crashed() => {}
        report = backup(&client, &source, &options, &run) => panic!("it did not crash: {report:?}"),
    }
    assert!(list(&repository, None, &run).await.unwrap().backups.is_empty(), "nothing was committed");
    let packs = storage.objects().into_iter().filter(|(key, _)| key.as_str().contains("/packs/"));
    let there: u64 = packs.map(|(_, object)| object.len() as u64).sum();
    assert!(there > 20_000, "some packs were uploaded: {there} bytes");
    let made = back_up(&repository, &source).await;
    let stored = made.bytes_stored;
    assert!(stored + there < 140_000, "what was uploaded is used: {there} were there, {stored} came on top");
    assert_restores(&repository, &made, &source).await;
    let mut limits = Limits::default();
    limits.grace = std::time::Duration::ZERO;
    let run = run.with_limits(limits);
    for _ in 0..3 {
        prune(&repository, "shop", &PruneOptions::new(None), &run).await.unwrap();
    }
    assert_restores(&repository, &made, &source).await;
    assert!(!storage.keys().iter().any(|k| k.as_str().contains("/runs/")), "the announcement is gone");
}

#[tokio::test]
async fn many_small_increments_stay_restorable_and_bounded() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let source = MemorySource::new("shop").with_pages(64);
    let mut bytes = noise(1, 64 * 600);
    source.set("a", bytes.clone());
    back_up(&repository, &source).await;
    for n in 0..150 {
        bytes[n * 250] ^= 1;
        source.set("a", bytes.clone());
        back_up(&repository, &source).await;
    }
    let run = RunContext::new();
    let latest = find_backup(&repository, "latest", &run).await.unwrap();
    assert_restores(&repository, &latest, &source).await;
    let details = show(&repository, &latest, &run).await.unwrap();
    // Each increment made a pack of its own; of the sparse ones only so many are still needed.
    assert!(details.packs < 64 + 33 + 40, "{} packs", details.packs);
    assert!(check(&repository, ReadData::All, &run).await.unwrap().problems.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_relies_on_old_packs_fails_when_the_log_goes_bad_under_it() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let source = MemorySource::new("shop").with_pages(64);
    source.set("a", noise(1, 20_000));
    back_up(&repository, &source).await;
    let slow = source.clone().with_pause(std::time::Duration::from_millis(100));
    let (run, options) = (RunContext::new(), BackupOptions::new());
    let meanwhile = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        append_unknown_entry(&repository, "shop", &run).await.unwrap();
    };
    let (report, ()) = tokio::join!(backup(&repository, &slow, &options, &run), meanwhile);
    assert_eq!(report.unwrap_err().kind(), ErrorKind::Conflict, "the entry may have been a Sweep");
    // The next one knows from the beginning, relies on nothing old, and says so.
    let made = back_up(&repository, &source).await;
    assert!(made.bytes_stored > 20_000 && !made.warnings.is_empty());
    assert_restores(&repository, &made, &source).await;
}

#[tokio::test]
async fn what_is_proved_unchanged_is_not_read_and_lives_as_long_as_it_is_needed() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let source = MemorySource::new("shop").with_pages(64).with_proofs();
    source.set("still", noise(1, 20_000));
    let first = back_up(&repository, &source).await;
    let mut last = first.clone();
    for n in 0..40 {
        source.set("moving", noise(n, 500));
        last = back_up(&repository, &source).await;
        assert_eq!((last.bytes, last.bytes_read), (20_500, 500));
    }
    let mut limits = Limits::default();
    limits.grace = std::time::Duration::ZERO;
    let run = RunContext::new().with_limits(limits);
    let keep = PruneOptions::new(Some(Retention { last: 1, ..Retention::default() }));
    for _ in 0..3 {
        prune(&repository, "shop", &keep, &run).await.unwrap();
    }
    assert!(find_backup(&repository, &first.id.to_string(), &run).await.is_err());
    assert_restores(&repository, &last, &source).await;
    assert!(check(&repository, ReadData::All, &run).await.unwrap().problems.is_empty());
    let again = back_up(&repository, &source).await;
    assert_restores(&repository, &again, &source).await;
}

#[tokio::test]
async fn a_hold_holds_although_an_entry_that_cannot_be_read_may_have_said_so_already() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage).await;
    let source = MemorySource::new("shop");
    source.set("a", noise(1, 1_000));
    let backup = back_up(&repository, &source).await;
    let run = RunContext::new();
    hold(&repository, &backup, &run).await.unwrap();
    release(&repository, &backup, &run).await.unwrap();
    let key = log_keys("shop", &storage.keys()).unwrap().pop().unwrap();
    let entry = storage.read(&key).unwrap();
    storage.truncate(&key, 10);
    // The release cannot be read, so it looks held; it is held again all the same.
    hold(&repository, &backup, &run).await.unwrap();
    storage.overwrite(&key, entry);
    assert!(find_backup(&repository, "latest", &run).await.unwrap().held);
}
