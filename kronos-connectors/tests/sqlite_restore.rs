//! A restore puts whole, checked files into place, or nothing.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;

use common::{Read, contents, dump, file, fill, listing, open, restore, sql};
use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{Connector, ErrorKind, RestoreRequest, RunContext, Stream};

async fn sample(directory: &Path, mode: &str) -> Vec<Read> {
    let path = directory.join("source.db");
    fill(&path, &format!("PRAGMA journal_mode={mode}"), 1000);
    dump(&file(&path)).await
}

fn directory(path: &Path) -> SqliteSource {
    SqliteSource::new(SqliteSettings::directory(path, [""; 0])).unwrap()
}

fn request(streams: &[Read], replace: bool) -> RestoreRequest {
    RestoreRequest { replace, ..RestoreRequest::new(streams.iter().map(Read::previous).collect()) }
}

#[tokio::test]
async fn names_from_a_backup_are_not_trusted() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("in").join("target");
    std::fs::create_dir_all(&target).unwrap();
    let mut streams = sample(root.path(), "delete").await;
    let before = listing(root.path());
    for name in ["../../escaped.db", "/tmp/kronos-escaped.db", "a/../../../escaped.db", "..", "", "a\0b", "a//b", "./a"]
    {
        streams[0].info.name = name.to_owned();
        for into in [directory(&target), file(&target.join("named.db"))] {
            let error = restore(&into, &streams, true).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{name:?}");
        }
    }
    assert_eq!((listing(root.path()), listing(&target)), (before, vec![]));
    assert!(!Path::new("/tmp/kronos-escaped.db").exists());
}

#[tokio::test]
async fn one_file_takes_one_stream_under_any_name() {
    let root = tempfile::tempdir().unwrap();
    let mut streams = sample(root.path(), "delete").await;
    let target = root.path().join("other name.db");
    restore(&file(&target), &streams, false).await.unwrap();
    assert_eq!(contents(&target), contents(&root.path().join("source.db")));
    let mut second = streams[0].clone();
    second.info.name = "b.db".to_owned();
    streams.push(second);
    let error = restore(&file(&root.path().join("x.db")), &streams, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.context("hint").unwrap().contains("directory"));
    let named = SqliteSource::new(SqliteSettings::directory(root.path().join("n"), ["b.db", "c.db"])).unwrap();
    assert_eq!(restore(&named, &streams, false).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_missing_directory_is_made_if_its_parent_is_there() {
    let root = tempfile::tempdir().unwrap();
    let streams = sample(root.path(), "delete").await;
    let new = root.path().join("new");
    restore(&directory(&new), &streams, false).await.unwrap();
    assert_eq!(listing(&new), ["source.db"]);
    for into in [directory(&root.path().join("no/parent")), file(&root.path().join("no/x.db"))] {
        let report = into.inspect_target(&request(&streams, false)).await.unwrap();
        assert!(report.obstacles[0].contains("no such directory"), "{report:?}");
        assert_eq!(restore(&into, &streams, false).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let given_up = root.path().join("given up");
    let begun = directory(&given_up).begin_restore(&request(&streams, false), &RunContext::new()).await.unwrap();
    begun.write(streams[0].stream()).await.unwrap();
    assert_eq!(listing(&given_up).len(), 1);
    begun.abort().await;
    assert!(!given_up.exists());
}

#[tokio::test]
async fn the_report_says_what_is_there_and_what_is_needed() {
    let root = tempfile::tempdir().unwrap();
    let mut streams = sample(root.path(), "delete").await;
    let target = root.path().join("t.db");
    std::fs::write(root.path().join("t.db-wal"), "stale").unwrap();
    let report = file(&target).inspect_target(&request(&streams, false)).await.unwrap();
    assert_eq!(report.needed, streams[0].end.length);
    assert!(report.free.unwrap() > 0 && report.obstacles.is_empty());
    assert!(report.existing[0].ends_with("t.db-wal"), "{report:?}");
    // A log without its database would be taken for the new one's.
    assert_eq!(restore(&file(&target), &streams, false).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    streams[0].end.length = 1 << 60;
    let report = directory(root.path()).inspect_target(&request(&streams, true)).await.unwrap();
    assert!(report.obstacles[0].contains("no room"), "{report:?}");
    let begun = directory(&root.path().join("d")).begin_restore(&request(&streams, false), &RunContext::new()).await;
    assert_eq!(begun.unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(!root.path().join("d").exists());
}

#[tokio::test]
async fn a_file_that_appears_meanwhile_is_not_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let streams = sample(root.path(), "delete").await;
    for appeared in ["t.db", "t.db-wal", "t.db-journal"] {
        let target = root.path().join("t.db");
        let begun = file(&target).begin_restore(&request(&streams, false), &RunContext::new()).await.unwrap();
        begun.write(streams[0].stream()).await.unwrap();
        std::fs::write(root.path().join(appeared), "mine").unwrap();
        assert_eq!(begun.finish().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(root.path().join(appeared)).unwrap(), b"mine");
        assert_eq!(listing(root.path()), ["source.db", appeared]);
        std::fs::remove_file(root.path().join(appeared)).unwrap();
    }
}

#[tokio::test]
async fn a_stale_log_of_the_old_database_is_never_applied_to_the_new_one() {
    for mode in ["wal", "delete"] {
        let root = tempfile::tempdir().unwrap();
        let streams = sample(root.path(), mode).await;
        // The same schema and page size: the log would fit.
        let live = root.path().join("live.db");
        std::fs::copy(root.path().join("source.db"), &live).unwrap();
        let writer = open(&live);
        writer
            .execute_batch("PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; UPDATE t SET body='stale'")
            .unwrap();
        let target = root.path().join("t.db");
        for suffix in ["", "-wal", "-shm"] {
            let from = root.path().join(format!("live.db{suffix}"));
            std::fs::copy(from, root.path().join(format!("t.db{suffix}"))).unwrap();
        }
        drop(writer);
        std::fs::remove_file(&live).unwrap();
        restore(&file(&target), &streams, true).await.unwrap();
        assert_eq!(listing(root.path()), ["source.db", "t.db"], "{mode}");
        assert_eq!(std::fs::read(&target).unwrap(), std::fs::read(root.path().join("source.db")).unwrap());
        assert!(!contents(&target).contains("stale"));
    }
}

#[tokio::test]
async fn a_stale_log_beside_nothing_or_beside_rubbish_is_removed_with_replace() {
    for old in [None, Some(""), Some("rubbish that is no database at all")] {
        let root = tempfile::tempdir().unwrap();
        let streams = sample(root.path(), "wal").await;
        let target = root.path().join("t.db");
        if let Some(old) = old {
            std::fs::write(&target, old).unwrap();
        }
        for suffix in ["-wal", "-shm", "-journal"] {
            std::fs::write(root.path().join(format!("t.db{suffix}")), "stale").unwrap();
        }
        restore(&file(&target), &streams, true).await.unwrap();
        assert_eq!(listing(root.path()), ["source.db", "t.db"], "{old:?}");
        assert_eq!(contents(&target), contents(&root.path().join("source.db")));
    }
}

#[tokio::test]
async fn an_old_database_in_use_is_not_replaced() {
    for (mode, use_it) in
        [("wal", "SELECT * FROM t"), ("delete", "BEGIN; SELECT * FROM t"), ("delete", "BEGIN EXCLUSIVE")]
    {
        let root = tempfile::tempdir().unwrap();
        let streams = sample(root.path(), mode).await;
        let target = root.path().join("t.db");
        fill(&target, &format!("PRAGMA journal_mode={mode}"), 10);
        let into = file(&target);

        let begun = into.begin_restore(&request(&streams, true), &RunContext::new()).await.unwrap();
        begun.write(streams[0].stream()).await.unwrap();
        let user = open(&target);
        let before = std::fs::read(&target).unwrap();
        let mut statements = use_it.split(';');
        statements.by_ref().for_each(|s| {
            let mut statement = user.prepare(s).unwrap();
            let _ = statement.query([]).unwrap().next();
        });
        // It came after the beginning, and is seen all the same.
        assert_eq!(begun.finish().await.unwrap_err().kind(), ErrorKind::Locked, "{mode} {use_it}");
        let error = into.begin_restore(&request(&streams, true), &RunContext::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked, "{mode} {use_it}");
        assert!(error.context("hint").is_some());
        assert_eq!(std::fs::read(&target).unwrap(), before);
        drop(user);
        restore(&into, &streams, true).await.unwrap();
        assert_eq!(listing(root.path()), ["source.db", "t.db"]);
    }
}

#[tokio::test]
async fn beginning_to_replace_and_giving_up_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let streams = sample(root.path(), "wal").await;
    let target = root.path().join("t.db");
    fill(&target, "PRAGMA journal_mode=wal", 10);
    let before = std::fs::read(&target).unwrap();
    let begun = file(&target).begin_restore(&request(&streams, true), &RunContext::new()).await.unwrap();
    begun.write(streams[0].stream()).await.unwrap();
    drop(begun);
    assert_eq!(std::fs::read(&target).unwrap(), before);
    assert_eq!(listing(root.path()), ["source.db", "t.db"]);
}

#[tokio::test]
async fn several_files_are_replaced_together_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let mut streams = sample(root.path(), "delete").await;
    let mut second = streams[0].clone();
    second.info.name = "z.db".to_owned();
    streams.push(second);
    let target = root.path().join("target");
    std::fs::create_dir(&target).unwrap();
    fill(&target.join("source.db"), "", 3);
    fill(&target.join("z.db"), "", 3);
    let before = contents(&target.join("source.db"));
    let begun = directory(&target).begin_restore(&request(&streams, true), &RunContext::new()).await.unwrap();
    for stream in &streams {
        begun.write(stream.stream()).await.unwrap();
    }
    // The second cannot be replaced any more when the first already has been.
    let user = open(&target.join("z.db"));
    user.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(begun.finish().await.unwrap_err().kind(), ErrorKind::Locked);
    drop(user);
    assert_eq!(contents(&target.join("source.db")), before, "the first was replaced without the second");
    assert_eq!(listing(&target), ["source.db", "z.db"]);
}

#[tokio::test]
async fn left_overs_of_a_crash_are_in_nobodys_way() {
    let root = tempfile::tempdir().unwrap();
    let streams = sample(root.path(), "delete").await;
    let left = root.path().join(".t.db.kronos-0123456789abcdef");
    std::fs::write(&left, "half a database").unwrap();
    let target = root.path().join("t.db");
    restore(&file(&target), &streams, false).await.unwrap();
    restore(&file(&target), &streams, true).await.unwrap();
    assert_eq!(std::fs::read(&left).unwrap(), b"half a database");
}

#[tokio::test]
async fn what_sqlite_finds_wrong_is_not_put_into_place() {
    let root = tempfile::tempdir().unwrap();
    let mut streams = sample(root.path(), "delete").await;
    // Broken in the source already: the digest is right, the content is not.
    streams[0].bytes[..4096].fill(0xee);
    let broken = Stream::from_bytes(streams[0].info.clone(), streams[0].bytes.clone()).collect().await.unwrap();
    streams[0].end = broken.1;
    let target = root.path().join("t.db");
    let error = restore(&file(&target), &streams, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(listing(root.path()), ["source.db"]);

    let mut streams = dump(&file(&root.path().join("source.db"))).await;
    streams[0].info.attributes.insert("user_version".to_owned(), "77".to_owned());
    let error = restore(&file(&target), &streams, false).await.unwrap_err();
    assert!(error.context("found").unwrap().contains("user_version is 0, not 77"), "{error}");
    assert_eq!(listing(root.path()), ["source.db"]);
}

#[tokio::test]
async fn a_link_is_followed_and_a_directory_is_not_replaced() {
    let root = tempfile::tempdir().unwrap();
    let streams = sample(root.path(), "delete").await;
    let real = root.path().join("real.db");
    fill(&real, "", 1);
    let link = root.path().join("link.db");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    restore(&file(&link), &streams, true).await.unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(contents(&real), contents(&root.path().join("source.db")));
    let taken = root.path().join("taken.db");
    std::fs::create_dir(&taken).unwrap();
    assert_eq!(restore(&file(&taken), &streams, true).await.unwrap_err().kind(), ErrorKind::Config);
    sql(&real, "SELECT 1");
}

#[tokio::test]
async fn the_temporary_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let streams = sample(root.path(), "delete").await;
    let begun =
        file(&root.path().join("t.db")).begin_restore(&request(&streams, false), &RunContext::new()).await.unwrap();
    begun.write(streams[0].stream()).await.unwrap();
    let names = listing(root.path());
    let temporary = names.iter().find(|name| name.starts_with(".t.db.kronos-")).unwrap();
    assert_eq!(std::fs::metadata(root.path().join(temporary)).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(begun.write(streams[0].stream()).await.is_err(), "a stream was taken twice");
}
