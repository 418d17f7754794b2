//! The database service: the same cases on every engine, on real servers, and on the mock.
#![allow(clippy::unwrap_used, reason = "tests")]

mod behind;
mod cases;
mod crowd;
mod documents;
mod engines;
mod killed;
mod lists;
mod many;
mod network;
mod own;
mod pages;
mod pools;
#[path = "../common/proxy.rs"]
mod proxy;
#[path = "../common/searched.rs"]
mod searched;
mod secrets;
mod statements;
mod transactions;

use std::process::ExitCode;

fn main() -> ExitCode {
    searched::main(|| {
        let all = [
            cases::trials(),
            crowd::trials(),
            documents::trials(),
            killed::trials(),
            many::trials(),
            network::trials(),
        ];
        all.into_iter().flatten().collect()
    })
}
