//! The real program is killed at random moments while its database is written to: the repository
//! is good after each of them, the next run stores only what the killed ones did not, and every
//! backup that is listed restores to a consistent database.
//!
//! `KRONOS_TEST_KILLS` sets how often it is killed, `KRONOS_TEST_SEED` chooses the moments.
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::common::Place;
use crate::common::bank::{Bank, PAGE, Writer};

/// Large enough for two packs to be complete before the run ends.
const ACCOUNTS: u32 = 20_000;
/// So often one repository is killed before a run goes on to the end.
const KILLS_EACH: u64 = 5;

/// Moments to kill at; their seed is told when the test fails.
struct Moments {
    seed: u64,
    state: u64,
    within: Duration,
}

impl Moments {
    fn new(within: Duration) -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        let seed = std::env::var("KRONOS_TEST_SEED").map_or(u64::from(now), |s| s.parse().unwrap());
        Self { seed, state: seed, within }
    }

    fn draw(&mut self) -> Duration {
        // A linear congruential generator, by Knuth; its upper bits are good enough for this.
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((self.state >> 33) % u64::try_from(self.within.as_micros()).unwrap())
    }
}

impl Drop for Moments {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let told = writeln!(std::io::stderr(), "KRONOS_TEST_SEED={} (within {:?})", self.seed, self.within);
            assert!(told.is_ok());
        }
    }
}

/// Runs a backup, kills it after a while; tells whether it was still at work.
fn kill_after(place: &Place, repo: &str, moment: Duration) -> bool {
    let mut child = place.command(&["backup", "bank.db", "--to", repo, "-q"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(moment);
    let at_work = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    at_work
}

/// Bytes of the complete data packs that lie in a repository.
fn complete(place: &Place, repo: &str) -> u64 {
    place.files(repo, "/packs/").iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// How many backups there are, and what the newest of them stored.
fn listed(place: &Place, repo: &str) -> (usize, u64) {
    // The first run may have been killed before it made the repository.
    if !place.path(repo).join("kronos.json").exists() {
        return (0, 0);
    }
    let found = place.json(&["check", "--read-data", "--from", repo]);
    assert_eq!(found["problems"].as_array().map(Vec::len), Some(0), "{found}");
    let listing = place.json(&["list", "--from", repo]);
    let backups = listing["backups"].as_array().unwrap();
    (backups.len(), backups.last().map_or(0, |b| b["bytes_stored"].as_u64().unwrap()))
}

#[test]
fn killed_at_any_moment() {
    let kills: u64 = std::env::var("KRONOS_TEST_KILLS").map_or(20, |n| n.parse().unwrap());
    let place = Place::new();
    let bank = Bank::found(place.path("bank.db"), "wal", ACCOUNTS);
    let begun = Instant::now();
    place.ok(&["backup", "bank.db", "--to", "whole"]);
    let mut moments = Moments::new(begun.elapsed());
    let whole = listed(&place, "whole").1;
    assert_eq!(complete(&place, "whole") / (32 << 20), 2, "two full packs and a rest");
    fs::remove_dir_all(place.path("whole")).unwrap();

    let writer = Writer::start(&bank, Duration::from_millis(10), Duration::ZERO);
    let (mut killed, mut resumed, mut repositories) = (0, 0, 0);
    while killed < kills || resumed == 0 {
        repositories += 1;
        assert!(repositories <= kills + 10, "{killed} killed, {resumed} first backups used what those had left");
        let repo = format!("repo{repositories}");
        let (before, mut backups) = (writer.committed(), 0);
        for n in 0..=KILLS_EACH {
            let left = complete(&place, &repo);
            if n < KILLS_EACH {
                killed += u64::from(kill_after(&place, &repo, moments.draw()));
            } else {
                place.ok(&["backup", "bank.db", "--to", &repo]);
            }
            let (now, stored) = listed(&place, &repo);
            if now > backups {
                // A page for each side of a transaction, and something for the index.
                let changed = 2 * PAGE * (writer.committed() - before) + whole / 50;
                let told =
                    format!("stored {stored}, {left} were there of {whole}, changed {changed}, run {n} of {repo}");
                assert!(stored + left <= whole + changed, "{told}");
                resumed += u64::from(backups == 0 && left > 0);
            }
            assert!(now >= backups, "a backup was lost");
            backups = now;
        }
        assert_eq!(bank.assert_all_whole(&place, &repo), backups);
        assert!(backups > 0, "the last run was not killed");
        tidy(&place, &bank, &repo);
        fs::remove_dir_all(place.path(&repo)).unwrap();
    }
}

/// What killed runs left is removed by a prune, and nothing else.
fn tidy(place: &Place, bank: &Bank, repo: &str) {
    for _ in 0..3 {
        place.ok(&["prune", "--keep-last", "1", "--from", repo, "--grace", "0"]);
    }
    assert_eq!(bank.assert_all_whole(place, repo), 1);
    assert!(place.files(repo, "/runs/").is_empty(), "nothing is left of the killed runs");
    assert_eq!(listed(place, repo).0, 1);
}
