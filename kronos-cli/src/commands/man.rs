//! `kronos man`: the manual page of the program, or of one command.

use clap::{Args, CommandFactory};
use kronos_core::{Error, ErrorKind, Result};

use crate::args::Cli;
use crate::errors::{Exit, usage};
use crate::output::Output;

#[derive(Args)]
pub(crate) struct ManArgs {
    /// Only the page of this command, such as `backup` or `key add`
    command: Vec<String>,
}

pub(crate) fn run(args: &ManArgs, out: &Output) -> Result<Exit> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut chosen = &command;
    for name in &args.command {
        chosen = chosen.find_subcommand(name).ok_or_else(|| {
            usage("no such command", "`kronos --help` lists the commands").with("command", args.command.join(" "))
        })?;
    }
    let mut pages = Vec::new();
    render(chosen, args.command.is_empty(), &mut pages)
        .map_err(|e| Error::new(ErrorKind::Internal, "the manual page could not be made").with_source(e))?;
    out.text(&String::from_utf8_lossy(&pages));
    Ok(Exit::Done)
}

/// The page of a command, and after it those of its subcommands.
fn render(command: &clap::Command, all: bool, pages: &mut Vec<u8>) -> std::io::Result<()> {
    let name = command.get_bin_name().unwrap_or("kronos").replace(' ', "-");
    let page = clap_mangen::Man::new(command.clone().display_name(&name)).title(name.to_uppercase());
    page.render(pages)?;
    if all || command.has_subcommands() {
        for sub in command.get_subcommands() {
            render(sub, all, pages)?;
        }
    }
    Ok(())
}
