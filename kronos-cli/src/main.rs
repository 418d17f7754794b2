//! The kronos command: parses, calls the library, shows.

mod app;
mod args;
mod by_hand;
mod commands;
mod company;
mod config;
mod deeds;
mod errors;
mod interrupt;
mod jobs;
mod keys;
mod known;
mod logs;
mod output;
mod places;
mod progress;
mod source;
mod state;
mod units;

use std::process::ExitCode;

fn main() -> ExitCode {
    app::main()
}
