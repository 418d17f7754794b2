//! A database that is written to all the while, backed up by the real program, which is killed
//! now and then: whatever is listed afterwards is whole.
//!
//! `KRONOS_TEST_KILLS` sets how often it is killed.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use common::Place;
use rusqlite::Connection;

const ACCOUNTS: u32 = 3_000;
const MONEY: i64 = ACCOUNTS as i64 * 100;

/// Moves money between accounts, a transaction every few milliseconds, until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(path: PathBuf) -> Self {
        let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), committed.clone());
        let thread = std::thread::spawn(move || {
            let db = Connection::open(path).unwrap();
            db.busy_timeout(Duration::from_secs(10)).unwrap();
            let mut n: u32 = 1;
            while !stopped.load(Ordering::Relaxed) {
                n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (from, to) = (n % ACCOUNTS, (n >> 8) % ACCOUNTS);
                db.execute_batch(&format!(
                    "BEGIN IMMEDIATE; UPDATE account SET money = money - 7 WHERE id = {from};
                     UPDATE account SET money = money + 7 WHERE id = {to}; COMMIT"
                ))
                .unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(2));
            }
        });
        Self { stop, committed, thread: Some(thread) }
    }

    fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the writer was disturbed");
        }
    }
}

fn bank(path: &Path, journal: &str) {
    let db = Connection::open(path).unwrap();
    db.query_row(&format!("PRAGMA journal_mode={journal}"), [], |_| Ok(())).unwrap();
    db.execute_batch("BEGIN; CREATE TABLE account (id INTEGER PRIMARY KEY, money INTEGER, note BLOB)").unwrap();
    for id in 0..ACCOUNTS {
        db.execute("INSERT INTO account VALUES (?1, 100, randomblob(900))", [id]).unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}

fn assert_whole(path: &Path) {
    let db = Connection::open(path).unwrap();
    let sum: i64 = db.query_row("SELECT sum(money) FROM account", [], |r| r.get(0)).unwrap();
    let check: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!((sum, check.as_str()), (MONEY, "ok"), "{}", path.display());
}

/// Restores every backup that is listed and looks at it.
fn assert_all_whole(place: &Place) -> usize {
    let listing = place.json(&["list", "--from", "repo"]);
    let ids: Vec<_> = listing["backups"].as_array().unwrap().iter().map(|b| b["id"].as_str().unwrap()).collect();
    for id in &ids {
        place.ok(&["restore", id, "--from", "repo", "--to", "restored.db", "--replace", "-q"]);
        assert_whole(&place.path("restored.db"));
    }
    ids.len()
}

fn backed_up_while_written(journal: &str) {
    let place = Place::new();
    bank(&place.path("bank.db"), journal);
    let writer = Writer::start(place.path("bank.db"));
    for _ in 0..5 {
        let before = writer.committed();
        let ran = place.ok(&["backup", "bank.db", "--to", "repo", "--json"]);
        assert!(!ran.err.contains("again"), "one pass is enough: {}", ran.err);
        while writer.committed() < before + 20 {
            sleep(Duration::from_millis(2));
        }
    }
    drop(writer);
    assert_eq!(assert_all_whole(&place), 5);
    place.ok(&["check", "--read-data", "--from", "repo"]);
}

#[test]
fn a_live_database_in_wal_mode() {
    backed_up_while_written("wal");
}

#[test]
fn a_live_database_with_a_rollback_journal() {
    backed_up_while_written("delete");
}

#[test]
fn killed_at_any_moment() {
    let kills: u64 = std::env::var("KRONOS_TEST_KILLS").map_or(20, |n| n.parse().unwrap());
    let place = Place::new();
    bank(&place.path("bank.db"), "wal");
    place.ok(&["init", "--to", "repo"]);
    let writer = Writer::start(place.path("bank.db"));
    let mut killed = 0;
    for n in 0..kills {
        let mut child = place.command(&["backup", "bank.db", "--to", "repo", "-q"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // A backup takes some tens of milliseconds here.
        sleep(Duration::from_millis(n * 5 % 60));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            killed += 1;
        }
        child.wait().unwrap();
        let found = place.json(&["check", "--read-data", "--from", "repo"]);
        assert_eq!(found["problems"].as_array().map(Vec::len), Some(0), "after kill {n}: {found}");
    }
    assert!(killed >= kills / 3, "only {killed} of {kills} were killed in time");
    place.ok(&["backup", "bank.db", "--to", "repo"]);
    drop(writer);
    assert!(assert_all_whole(&place) >= 1);
    for _ in 0..3 {
        place.ok(&["prune", "--keep-last", "1", "--from", "repo", "--grace", "0"]);
    }
    assert_eq!(assert_all_whole(&place), 1);
    assert!(place.files("repo", "/runs/").is_empty(), "nothing is left of the killed runs");
    place.ok(&["check", "--read-data", "--from", "repo"]);
}
