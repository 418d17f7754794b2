//! What statements would do, as judged before they run, and what they do on real servers: nothing that
//! is called safe changes anything.
//!
//! `corpus/` has the cases, a file for each engine. Words of a case: `changes`: the state must be
//! another one after it, as it must for all that writes or defines; `same`: it need not; `fails`: the
//! server refuses it; `mayfail`: some servers do; `norun`: it is judged and not run, and why.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cases;
mod judged;
#[cfg(feature = "mongodb")]
mod mongodb;
mod mutated;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod run;
#[cfg(feature = "sqlite")]
mod sqlite;

use libtest_mimic::Arguments;

fn main() {
    let mut all = judged::trials();
    all.extend(mutated::trials());
    #[cfg(feature = "sqlite")]
    all.extend(sqlite::trials());
    #[cfg(feature = "postgres")]
    all.extend(postgres::trials());
    #[cfg(feature = "mysql")]
    all.extend(mysql::trials());
    #[cfg(feature = "mongodb")]
    all.extend(mongodb::trials());
    libtest_mimic::run(&Arguments::from_args(), all).exit();
}
