//! The simulation of the core on real servers: the same random histories, beneath the same faults, and
//! everything checked after each step. One history for each pair of servers, from one to the other.
//!
//! `KRONOS_SIM_REAL=20` runs as many of each, `KRONOS_SIM_SEED` replays one, as far as what is real
//! can be replayed.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may panic, and knows its numbers"
)]

mod common;

#[path = "../../kronos-core/tests/simulation/acts.rs"]
mod acts;
#[path = "../../kronos-core/tests/simulation/deeds.rs"]
mod deeds;
#[path = "../../kronos-core/tests/simulation/history.rs"]
mod history;
#[path = "../../kronos-core/tests/simulation/judge.rs"]
mod judge;
#[path = "../../kronos-core/tests/simulation/ledger.rs"]
mod ledger;
#[path = "../../kronos-core/tests/simulation/trouble.rs"]
mod trouble;

use std::time::Instant;

use common::{SERVERS, Server, on};
use history::{Ground, Stats, live};
use libtest_mimic::Arguments;

/// The fewest steps of a history.
const STEPS: u64 = 3;
/// Where each pair begins: histories in which much happens.
const SEEDS: [u64; SERVERS.len()] = [5, 7, 8];

fn main() {
    let trials = SERVERS.into_iter().enumerate().map(|(n, server)| {
        let other = SERVERS[(n + 1) % SERVERS.len()];
        // Whoever has one server only goes from there to there.
        on(server, &format!("histories_with_{other}"), move |server| {
            let other = Server::named(other).unwrap_or_else(|_| server.clone());
            histories(&server, &other, SEEDS[n]);
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn histories(server: &Server, other: &Server, first: u64) {
    let seed = variable("KRONOS_SIM_SEED");
    let seed_is_given = seed.is_some();
    let count = variable("KRONOS_SIM_REAL").unwrap_or(1);
    let seeds = seed.map_or(first..first + count, |seed| seed..seed + 1);
    let (begun, mut total) = (Instant::now(), Stats::default());
    for seed in seeds.clone() {
        let grounds = [server, other].map(|server| Ground::Real(server.open(&server.fresh())));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        match runtime.block_on(live(seed, None, seed_is_given, grounds, STEPS)) {
            Ok(stats) => {
                println!("{} and {}: {seed}: {stats:?}", server.name, other.name);
                total.add(&stats);
            }
            Err(e) => panic!("replay with KRONOS_SIM_SEED={seed}\n{e}"),
        }
    }
    println!("{} and {}: {seeds:?} in {:?}: {total:?}", server.name, other.name, begun.elapsed());
    assert!(seed_is_given || total.committed > 4 && total.restored > 50, "{total:?}");
}
