//! MySQL and MariaDB, on real servers: the suite that every connector passes, what comes back of a
//! nasty schema, writers beside a backup, failures, names, rights.
#![allow(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod failures;
mod fidelity;
mod moments;
mod parts;
mod server;
mod tool;
mod users;

use libtest_mimic::Arguments;

fn main() {
    let all = [
        conformance::trials(),
        failures::trials(),
        fidelity::trials(),
        moments::trials(),
        parts::trials(),
        tool::trials(),
        users::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), all.into_iter().flatten().collect()).exit();
}
