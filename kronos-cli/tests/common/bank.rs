//! A bank that is open all the while: money moves between accounts, and its sum stays the same in
//! every consistent state of the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::Place;

/// A page of the database, which holds one account.
pub const PAGE: u64 = 4096;

/// A database of accounts that take a page each, full of noise.
#[derive(Debug, Clone)]
pub struct Bank {
    path: PathBuf,
    accounts: u32,
}

impl Bank {
    pub fn found(path: PathBuf, journal: &str, accounts: u32) -> Self {
        let db = Connection::open(&path).unwrap();
        db.query_row(&format!("PRAGMA journal_mode={journal}"), [], |_| Ok(())).unwrap();
        db.execute_batch(&format!(
            "PRAGMA synchronous=off; CREATE TABLE account (id INTEGER PRIMARY KEY, money INTEGER, note BLOB);
             INSERT INTO account WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < {accounts})
             SELECT i, 100, randomblob(3900) FROM c"
        ))
        .unwrap();
        Self { path, accounts }
    }

    /// Checks a file that was restored from a backup of this bank.
    pub fn assert_whole(&self, path: &Path) {
        let db = Connection::open(path).unwrap();
        let sum: i64 = db.query_row("SELECT sum(money) FROM account", [], |r| r.get(0)).unwrap();
        let check: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
        assert_eq!((sum, check.as_str()), (i64::from(self.accounts) * 100, "ok"), "{}", path.display());
    }

    /// Restores every backup that is listed and checks it; gives how many there are.
    pub fn assert_all_whole(&self, place: &Place, repo: &str) -> usize {
        let listing = place.json(&["list", "--from", repo]);
        let ids: Vec<_> = listing["backups"].as_array().unwrap().iter().map(|b| b["id"].as_str().unwrap()).collect();
        for id in &ids {
            place.ok(&["restore", id, "--from", repo, "--to", "restored.db", "--replace", "-q"]);
            self.assert_whole(&place.path("restored.db"));
        }
        ids.len()
    }
}

/// Moves money, one transaction after the other with a pause in between, until it is dropped. An
/// error of its own ends the test.
#[derive(Debug)]
pub struct Writer {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    /// The longest transaction since someone asked, in microseconds.
    longest: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `patience` is how long it waits for a lock: with none, a lock in its way ends the test.
    pub fn start(bank: &Bank, pause: Duration, patience: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (committed, longest) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (stopped, count, slowest) = (stop.clone(), committed.clone(), longest.clone());
        let Bank { path, accounts } = bank.clone();
        let thread = std::thread::spawn(move || {
            let db = Connection::open(path).unwrap();
            db.busy_timeout(patience).unwrap();
            // So that a commit waits for locks and never for the disk.
            db.execute_batch("PRAGMA synchronous=off").unwrap();
            let mut n: u32 = 1;
            while !stopped.load(Ordering::Relaxed) {
                n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (from, to) = (n % accounts, (n >> 8) % accounts);
                let begun = Instant::now();
                db.execute_batch(&format!(
                    "BEGIN IMMEDIATE; UPDATE account SET money = money - 7 WHERE id = {from};
                     UPDATE account SET money = money + 7 WHERE id = {to}; COMMIT"
                ))
                .unwrap();
                slowest.fetch_max(u64::try_from(begun.elapsed().as_micros()).unwrap(), Ordering::Relaxed);
                count.fetch_add(1, Ordering::Relaxed);
                sleep(pause);
            }
        });
        let writer = Self { stop, committed, longest, thread: Some(thread) };
        writer.wait_for(1);
        writer
    }

    /// Transactions so far.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// The longest transaction since this was last asked.
    pub fn take_longest(&self) -> Duration {
        Duration::from_micros(self.longest.swap(0, Ordering::Relaxed))
    }

    /// Waits for so many more transactions.
    pub fn wait_for(&self, more: u64) {
        let until = self.committed() + more;
        while self.committed() < until {
            assert!(self.thread.as_ref().is_some_and(|t| !t.is_finished()), "the writer was disturbed");
            sleep(Duration::from_millis(1));
        }
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
