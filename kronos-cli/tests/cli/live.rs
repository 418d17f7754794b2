//! A database that is written to all the while, backed up by the real program: what is listed is
//! consistent, and the writers go on.
use std::time::{Duration, Instant};

use crate::common::Place;
use crate::common::bank::{Bank, Writer};

const BACKUPS: usize = 4;

/// Backs up beside a writer; `least` is how much it must have committed during each backup.
fn backed_up_while_written(journal: &str, patience: Duration, least: u64) {
    let place = Place::new();
    let bank = Bank::found(place.path("bank.db"), journal, 8_000);
    let writer = Writer::start(&bank, Duration::from_millis(1), patience);
    for n in 0..BACKUPS {
        writer.wait_for(20);
        writer.take_longest();
        let (before, begun) = (writer.committed(), Instant::now());
        let ran = place.ok(&["backup", "bank.db", "--to", "repo", "--strategy", "full"]);
        let (longest, took) = (writer.take_longest(), begun.elapsed());
        let committed = writer.committed() - before;
        assert!(committed >= least, "{journal}: {committed} committed during backup {n}, which took {took:?}");
        if patience.is_zero() {
            // A lock would have ended the writer; this is a wait of any other kind.
            assert!(longest < (took / 2).max(Duration::from_secs(1)), "a commit took {longest:?} of {took:?}");
        }
        assert!(!ran.err.contains("again"), "one pass is enough: {}", ran.err);
    }
    drop(writer);
    assert_eq!(bank.assert_all_whole(&place, "repo"), BACKUPS);
    place.ok(&["check", "--read-data", "--from", "repo"]);
}

/// No writer is held up at all: one that meets any lock fails the test.
#[test]
fn a_live_database_in_wal_mode() {
    backed_up_while_written("wal", Duration::ZERO, 30);
}

/// Writers wait while the copy is taken, and go on afterwards, while that is stored.
#[test]
fn a_live_database_with_a_rollback_journal() {
    backed_up_while_written("delete", Duration::from_secs(20), 10);
}
