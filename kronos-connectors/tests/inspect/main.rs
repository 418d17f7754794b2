//! The database service: the same cases on every engine, on real servers.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cases;
mod engines;
mod lists;
mod pages;
mod pools;
mod statements;
mod transactions;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, cases::trials()).exit();
}
