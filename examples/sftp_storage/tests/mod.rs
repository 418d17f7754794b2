//! The tests. They run one after the other, because some of them kill the server.
#![allow(clippy::unwrap_used, reason = "tests")]

mod broken;
mod promises;
mod refusals;
mod server;
mod urls;

use kronos_core::Key;
use libtest_mimic::Arguments;

pub(crate) fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = [urls::trials(), promises::trials(), refusals::trials(), broken::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}
