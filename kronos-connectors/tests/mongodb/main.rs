//! MongoDB, on a real server: the suite that every connector passes, what comes back of collections of
//! every kind, parts, failures, names.
#![allow(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod export;
mod failures;
mod fidelity;
mod hands;
mod leaving;
mod moments;
mod network;
mod parts;
#[path = "../common/proxy.rs"]
mod proxy;
mod rights;
mod sample;
mod server;
mod sessions;
mod tool;
mod wire;

use libtest_mimic::Arguments;

fn main() {
    sessions::be_endless();
    let all = [
        // The test server reads a long oplog slowly: those that follow it come first.
        hands::trials(),
        moments::trials(),
        conformance::trials(),
        export::trials(),
        failures::trials(),
        fidelity::trials(),
        leaving::trials(),
        network::trials(),
        parts::trials(),
        rights::trials(),
        tool::trials(),
        // They leave much in it.
        sessions::trials(),
    ];
    let mut arguments = Arguments::from_args();
    // Some look at everything that the server has.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, all.into_iter().flatten().collect()).exit();
}
