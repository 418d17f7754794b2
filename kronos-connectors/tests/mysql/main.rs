//! MySQL and MariaDB, on real servers: the suite that every connector passes, what comes back of a
//! nasty schema, writers beside a backup, failures, names, rights.
#![allow(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod failures;
mod fidelity;
mod fixtures;
mod habits;
mod instance;
mod many;
mod meanwhile;
mod moments;
mod network;
mod parts;
#[path = "../common/proxy.rs"]
mod proxy;
mod server;
mod servers;
#[path = "../../../kronos-cli/tests/common/small.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "other tests use the rest")]
mod small;
mod tool;
mod users;

use libtest_mimic::Arguments;

fn main() {
    let all = [
        conformance::trials(),
        failures::trials(),
        fidelity::trials(),
        habits::trials(),
        many::trials(),
        meanwhile::trials(),
        moments::trials(),
        network::trials(),
        parts::trials(),
        servers::trials(),
        tool::trials(),
        users::trials(),
    ];
    let mut arguments = Arguments::from_args();
    // Some set what all sessions share. And MariaDB (10.11.19) falls over its own stack when a table
    // whose name is long and odd is renamed while a backup of someone else holds a stage.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, all.into_iter().flatten().collect()).exit();
}
