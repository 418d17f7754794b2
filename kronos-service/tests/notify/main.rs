//! Notifications as they arrive: at a receiver of HTTP, and at a mail server that `scripts/servers` starts.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unreachable_pub, missing_docs, reason = "a test has no documentation")]

mod common;
mod http;
mod mail;
mod receiver;
mod secrets;
mod smtp;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut trials: Vec<Trial> = Vec::new();
    http::add(&mut trials);
    mail::add(&mut trials);
    secrets::add(&mut trials);
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A test that needs no server of others.
fn plain<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        block_on(test());
        Ok(())
    })
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}
