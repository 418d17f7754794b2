//! Every shape of a database comes back as it was.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;

use common::{contents, dump, file, fill, integrity, listing, open, restore, round_trip, sql};
use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{Connector, Cutting};

/// Restores a closed database and compares the two files byte for byte.
async fn comes_back_exactly(path: &Path) {
    let before = std::fs::read(path).unwrap();
    let target = round_trip(path).await;
    let after = std::fs::read(&target).unwrap();
    assert_eq!(after.len(), before.len());
    let differing = before.iter().zip(&after).position(|(a, b)| a != b);
    assert_eq!(differing, None, "the first differing byte");
    assert_eq!(std::fs::read(path).unwrap(), before, "the source was changed");
    assert_eq!(integrity(&target), "ok");
    assert_eq!(contents(&target), contents(path));
}

async fn shape(prepare: &str, then: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&path, prepare, 3000);
    sql(&path, then);
    comes_back_exactly(&path).await;
}

#[tokio::test]
async fn a_real_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chinook.db");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/chinook.db"), &path).unwrap();
    comes_back_exactly(&path).await;
}

#[tokio::test]
async fn every_page_size_in_both_modes() {
    for size in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        shape(&format!("PRAGMA page_size={size}"), "").await;
        shape(&format!("PRAGMA page_size={size}; PRAGMA journal_mode=wal"), "").await;
    }
}

#[tokio::test]
async fn the_description_names_page_size_and_pages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    for (size, cut) in [(512, 4096), (16384, 16384)] {
        let _ = std::fs::remove_file(&path);
        fill(&path, &format!("PRAGMA page_size={size}; PRAGMA user_version=-7; PRAGMA application_id=99"), 100);
        let read = dump(&file(&path)).await.remove(0);
        assert_eq!((read.info.name.as_str(), read.info.cutting), ("app.db", Cutting::Pages(cut)));
        assert_eq!(read.info.size_hint, Some(read.bytes.len() as u64));
        let attribute = |key: &str| read.info.attributes[key].clone();
        assert_eq!(attribute("page_size"), size.to_string());
        assert_eq!((attribute("user_version"), attribute("application_id")), ("-7".to_owned(), "99".to_owned()));
        assert_eq!((attribute("journal_mode"), attribute("mode")), ("delete".to_owned(), "644".to_owned()));
    }
}

#[tokio::test]
async fn page_one_comes_last() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&path, "PRAGMA journal_mode=wal", 500);
    let read = dump(&file(&path)).await.remove(0);
    let stored = std::fs::read(&path).unwrap();
    assert!(read.bytes[..read.bytes.len() - 4096] == stored[4096..]);
    assert!(read.bytes[read.bytes.len() - 4096..] == stored[..4096]);
}

#[tokio::test]
async fn auto_vacuum_full_and_incremental() {
    shape("PRAGMA auto_vacuum=FULL", "DELETE FROM t WHERE id % 3 = 0").await;
    shape("PRAGMA auto_vacuum=INCREMENTAL", "DELETE FROM t WHERE id % 3 = 0; PRAGMA incremental_vacuum(5)").await;
}

#[tokio::test]
async fn pages_on_the_freelist() {
    shape("PRAGMA secure_delete=OFF", "DELETE FROM t WHERE id > 100").await;
    shape("PRAGMA secure_delete=OFF", "DROP TABLE t").await;
}

#[tokio::test]
async fn tables_of_every_kind() {
    shape(
        "PRAGMA foreign_keys=ON",
        "CREATE TABLE w(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;
         INSERT INTO w SELECT 'k' || id, randomblob(300) FROM t;
         CREATE TABLE g(a INT, b AS (a * 2) VIRTUAL, c AS (a || 'x') STORED);
         INSERT INTO g(a) SELECT id FROM t; CREATE INDEX gi ON g(b) WHERE a > 10;
         CREATE TABLE big(x); INSERT INTO big VALUES (randomblob(300000)), (NULL), (1e999), (-0.0);
         CREATE VIEW v AS SELECT a, b FROM g; CREATE TRIGGER tr AFTER INSERT ON g BEGIN SELECT 1; END;
         CREATE TABLE s(x ANY) STRICT; INSERT INTO s VALUES (x'00ff'), ('a'), (1)",
    )
    .await;
    shape("", "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f SELECT body FROM t; ANALYZE").await;
    shape("", "CREATE VIRTUAL TABLE r USING rtree(id, a, b); INSERT INTO r SELECT id, id, id + 1 FROM t").await;
}

#[tokio::test]
async fn utf_16() {
    shape("PRAGMA encoding='UTF-16be'", "INSERT INTO t(body) VALUES ('zażółć 🦀')").await;
    shape("PRAGMA encoding='UTF-16le'; PRAGMA journal_mode=wal", "INSERT INTO t(body) VALUES ('zażółć 🦀')").await;
}

#[tokio::test]
async fn an_empty_file_stays_empty() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("empty.db");
    std::fs::write(&path, "").unwrap();
    let read = dump(&file(&path)).await.remove(0);
    assert_eq!((read.bytes.len(), read.end.length), (0, 0));
    let target = round_trip(&path).await;
    assert_eq!(std::fs::metadata(&target).unwrap().len(), 0);
}

#[tokio::test]
async fn one_page() {
    let directory = tempfile::tempdir().unwrap();
    for mode in ["delete", "wal"] {
        let path = directory.path().join(format!("{mode}.db"));
        sql(&path, &format!("PRAGMA journal_mode={mode}; PRAGMA user_version=1"));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
        let target = directory.path().join("out.db");
        restore(&file(&target), &dump(&file(&path)).await, true).await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), std::fs::read(&path).unwrap());
    }
}

#[tokio::test]
async fn what_is_only_in_the_log_comes_along() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let writer = open(&path);
    writer.execute_batch("PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0").unwrap();
    fill(&path, "", 1000);
    writer.execute_batch("PRAGMA user_version=5; DROP INDEX i; INSERT INTO t(body) VALUES ('last')").unwrap();
    let schema_version: i64 = writer.pragma_query_value(None, "schema_version", |row| row.get(0)).unwrap();
    let first = dump(&file(&path)).await.remove(0);
    assert!(first.bytes == dump(&file(&path)).await.remove(0).bytes, "two dumps of one state differ");
    let target = round_trip(&path).await;
    assert_eq!(contents(&target), contents(&path));
    let read = |key| open(&target).pragma_query_value(None, key, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((read("schema_version"), read("user_version")), (schema_version, 5));
    assert_eq!(integrity(&target), "ok");
}

#[tokio::test]
async fn two_dumps_of_one_state_are_equal_whatever_was_dumped_between() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (directory.path().join("a.db"), directory.path().join("b.db"));
    fill(&a, "", 2000);
    fill(&b, "PRAGMA page_size=1024", 500);
    let first = dump(&file(&a)).await.remove(0);
    dump(&file(&b)).await;
    let second = dump(&file(&a)).await.remove(0);
    assert!(first.bytes == second.bytes);
    assert_eq!(first.info, second.info);
}

#[tokio::test]
async fn several_files_are_one_source() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    std::fs::create_dir_all(source.join("sub")).unwrap();
    let names = ["a.db", "b.db", "sub/c.db", "empty.db"];
    fill(&source.join("a.db"), "PRAGMA journal_mode=wal", 5000);
    fill(&source.join("b.db"), "", 3000);
    fill(&source.join("sub/c.db"), "PRAGMA page_size=512", 10);
    std::fs::write(source.join("empty.db"), "").unwrap();
    let connector = SqliteSource::new(SqliteSettings::directory(&source, names)).unwrap();
    let streams = dump(&connector).await;
    assert_eq!(streams.iter().map(|s| s.info.name.as_str()).collect::<Vec<_>>(), names);
    let target = directory.path().join("target");
    let into = SqliteSource::new(SqliteSettings::directory(&target, [""; 0])).unwrap();
    let outcome = restore(&into, &streams, false).await.unwrap();
    assert_eq!(outcome.created.len(), 4);
    assert!(outcome.checks.contains(&"sub/c.db: integrity_check ok".to_owned()), "{outcome:?}");
    for name in names {
        assert_eq!(std::fs::read(target.join(name)).unwrap(), std::fs::read(source.join(name)).unwrap(), "{name}");
    }
    assert_eq!(listing(&target), ["a.db", "b.db", "empty.db", "sub"]);
    assert_eq!(connector.default_job(), "source");
}

#[tokio::test]
async fn the_rights_of_a_file_come_back() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&path, "", 10);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4640)).unwrap();
    let target = round_trip(&path).await;
    assert_eq!(std::fs::metadata(target).unwrap().permissions().mode() & 0o7777, 0o640, "never a set-uid bit");
}

#[tokio::test]
async fn a_collation_that_only_its_program_has_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    sql(
        &path,
        "CREATE TABLE t(a TEXT COLLATE nocase); CREATE INDEX i ON t(a); INSERT INTO t VALUES ('x');
         PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, 'nocase', 'ours')",
    );
    let target = directory.path().join("target.db");
    let outcome = restore(&file(&target), &dump(&file(&path)).await, false).await.unwrap();
    assert_eq!(outcome.checks, ["app.db: digest ok"]);
    assert!(outcome.warnings[0].contains("no such collation sequence: ours"), "{outcome:?}");
    assert_eq!(std::fs::read(target).unwrap(), std::fs::read(path).unwrap());
}
