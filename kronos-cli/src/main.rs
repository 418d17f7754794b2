//! The kronos command: parses, calls the library, shows.

mod app;
mod args;
mod commands;
mod config;
mod errors;
mod interrupt;
mod keys;
mod known;
mod output;
mod places;
mod progress;
mod source;
mod units;

use std::process::ExitCode;

fn main() -> ExitCode {
    app::main()
}
