//! PostgreSQL, on real servers: the suite that every connector passes, what comes back of a nasty
//! schema, writers beside a backup, failures, names, rights.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod conformance;
mod failures;
mod fidelity;
mod names;
mod network;
mod parts;
#[path = "../common/proxy.rs"]
mod proxy;
mod server;
mod servers;
mod tls;

use libtest_mimic::Arguments;

fn main() {
    let all = [
        conformance::trials(),
        failures::trials(),
        fidelity::trials(),
        names::trials(),
        network::trials(),
        parts::trials(),
        servers::trials(),
        tls::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), all.into_iter().flatten().collect()).exit();
}
