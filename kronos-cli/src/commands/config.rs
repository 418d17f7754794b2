//! `kronos config show`: the configuration as it is in effect.

use clap::{Args, Subcommand};
use kronos_core::Result;
use kronos_service::Setting;
use serde::Serialize;

use crate::app::App;
use crate::errors::Exit;

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the configuration in effect as TOML, with what holds by default as comments; secrets
    /// are hidden
    Show(ShowArgs),
}

#[derive(Args)]
pub(crate) struct ShowArgs {
    /// Say after each value what set it: a file and its line, a variable, or nothing but the default
    #[arg(long)]
    origin: bool,
}

#[derive(Serialize)]
struct Shown {
    /// The files that were read, the strongest last.
    files: Vec<String>,
    settings: Vec<Setting>,
}

pub(crate) fn run(app: &App, command: &ConfigCommand) -> Result<Exit> {
    let ConfigCommand::Show(args) = command;
    let files = app.config.files.iter().map(|file| file.display().to_string()).collect();
    let shown = Shown { files, settings: app.effective.settings() };
    app.out.result("config-show", &shown, || app.effective.to_toml(args.origin))?;
    Ok(Exit::Done)
}
