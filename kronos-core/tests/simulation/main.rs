//! Deterministic simulation: random histories of the real operations against a storage that
//! fails in every way it can, with everything checked after each step.
//!
//! `KRONOS_SIM_HISTORIES` sets how many histories are run, `KRONOS_SIM_SEED` replays one.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may panic, and knows its numbers"
)]

mod acts;
mod deeds;
mod history;
mod judge;
mod ledger;
mod trouble;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use history::{Ground, Stats, live};
use kronos_core::Bug;
use kronos_core::testing::MemoryStorage;

/// Histories in a test run without the variable.
const HISTORIES: u64 = 1500;
/// A planted fault must be found within this many.
const FIND_WITHIN: u64 = 5000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// The history of a seed, in memory and in time that is not real.
fn run_history(seed: u64, bug: Option<Bug>, verbose: bool) -> Result<Stats, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let grounds = [(); 2].map(|()| Ground::Memory(MemoryStorage::new()));
    runtime.map_err(|e| e.to_string())?.block_on(live(seed, bug, verbose, grounds, 6))
}

/// Runs histories on all cores; of the failures the one with the lowest seed comes first.
fn run_many(count: u64, bug: Option<Bug>) -> Vec<(u64, Result<Stats, String>)> {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let work = || {
        let mut results = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                return results;
            }
            let result = run_history(seed, bug, false);
            if result.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            results.push((seed, result));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all: Vec<_> = workers.into_iter().flat_map(|w| w.join().expect("a history panicked")).collect();
        all.sort_by_key(|(seed, _)| *seed);
        all
    })
}

#[test]
fn no_history_loses_a_backup() {
    if let Some(seed) = variable("KRONOS_SIM_SEED") {
        let stats = run_history(seed, None, true).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        println!("seed {seed}: {stats:?}");
        return;
    }
    let count = variable("KRONOS_SIM_HISTORIES").unwrap_or(HISTORIES);
    let begun = Instant::now();
    let mut total = Stats::default();
    for (seed, result) in run_many(count, None) {
        match result {
            Ok(stats) => total.add(&stats),
            Err(e) => panic!("replay with KRONOS_SIM_SEED={seed}\n{e}"),
        }
    }
    println!("{count} histories in {:?}: {total:?}", begun.elapsed());
    // A simulation in which nothing happens would pass as well.
    assert!(total.committed > 4 * count && total.restored > 20 * count, "{total:?}");
    assert!(
        total.crashes > count / 2 && total.conflicts > 0 && total.deleted > count && total.in_doubt > 0,
        "{total:?}"
    );
    assert!(total.harmed > count / 4 && total.healed > count / 50 && total.compacted > count / 4, "{total:?}");
    assert!(total.both > count / 4 && total.left_out > count / 10, "{total:?}");
    assert!(total.copied > 0 && total.refused > 0 && total.swept > count / 3, "{total:?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [3, 11] {
        let (one, two) = (run_history(seed, None, false).unwrap(), run_history(seed, None, false).unwrap());
        assert_eq!(one, two);
    }
}

#[test]
fn every_planted_fault_is_found() {
    let only = std::env::var("KRONOS_SIM_BUG").ok();
    for bug in Bug::ALL.into_iter().filter(|b| only.as_ref().is_none_or(|o| format!("{b:?}") == *o)) {
        let found = run_many(FIND_WITHIN, Some(bug)).into_iter().find_map(|(seed, r)| r.err().map(|e| (seed, e)));
        match found {
            Some((seed, e)) => println!("{bug:?}: found by seed {seed}: {}", e.lines().next().unwrap_or_default()),
            None => panic!("{bug:?} was not found within {FIND_WITHIN} histories"),
        }
    }
}
