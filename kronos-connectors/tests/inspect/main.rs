//! The database service: the same cases on every engine, on real servers, and on the mock.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cases;
mod documents;
mod engines;
mod lists;
mod pages;
mod pools;
mod statements;
mod transactions;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let trials = cases::trials().into_iter().chain(documents::trials()).collect();
    libtest_mimic::run(&arguments, trials).exit();
}
