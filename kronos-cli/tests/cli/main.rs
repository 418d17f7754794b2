//! The real program, as people call it: one command after the other, each in a place of its own.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod by_hand;
mod config;
mod daemon;
mod dry_run;
mod encryption;
mod help;
mod inspect;
mod interrupt;
mod json;
mod killed;
mod known;
mod live;
mod memory;
mod mock;
mod round_trip;
mod several;
