//! The commands, one a file: each checks its flags, calls the library, and shows the result.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod daemon;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod mark;
pub(crate) mod notify;
pub(crate) mod prune;
pub(crate) mod query;
pub(crate) mod restore;
pub(crate) mod schedule;
pub(crate) mod show;
pub(crate) mod validate;

use std::sync::Arc;

use kronos_core::Result;

use crate::app::App;
use crate::args::Command;
use crate::deeds::written_down;
use crate::errors::Exit;

/// The name of a command, as hints look at it.
pub(crate) fn name(command: &Command) -> &'static str {
    match command {
        Command::Init(_) => "init",
        Command::Backup(_) => "backup",
        Command::Restore(_) => "restore",
        Command::List(_) => "list",
        Command::Show(_) => "show",
        Command::Diff(_) => "diff",
        Command::Check(_) => "check",
        Command::Prune(_) => "prune",
        Command::Forget(_) => "forget",
        Command::Hold(_) => "hold",
        Command::Release(_) => "release",
        Command::Copy(_) => "copy",
        Command::Key(_) => "key",
        Command::Export(_) => "export",
        Command::Inspect(_) => "inspect",
        Command::Query(_) => "query",
        Command::Generate(_) => "generate",
        Command::Validate(_) => "validate",
        Command::Config(_) => "config",
        Command::Daemon(_) => "daemon",
        Command::Schedule(_) => "schedule",
        Command::Notify(_) => "notify",
        Command::Audit(_) => "audit",
        Command::Doctor(_) => "doctor",
        Command::Completions(_) => "completions",
        Command::Man(_) => "man",
    }
}

/// Runs a command, and writes down what it did.
pub(crate) async fn run(app: &Arc<App>, command: Command) -> Result<Exit> {
    let deed = command.deed();
    written_down(app, deed, Box::pin(work(app, command))).await
}

async fn work(app: &Arc<App>, command: Command) -> Result<Exit> {
    match command {
        Command::Init(args) => init::run(app, &args).await,
        Command::Backup(args) => backup::run(app, &args).await,
        Command::Restore(args) => restore::run(app, &args).await,
        Command::List(args) => list::run(app, &args).await,
        Command::Show(args) => show::run(app, &args).await,
        Command::Diff(args) => diff::run(app, &args).await,
        Command::Check(args) => check::run(app, &args).await,
        Command::Prune(args) => prune::run(app, &args).await,
        Command::Forget(args) => mark::run(app, &args, mark::Mark::Forget).await,
        Command::Hold(args) => mark::run(app, &args, mark::Mark::Hold).await,
        Command::Release(args) => mark::run(app, &args, mark::Mark::Release).await,
        Command::Copy(args) => copy::run(app, &args).await,
        Command::Key(command) => key::run(app, &command).await,
        Command::Export(args) => export::run(app, &args).await,
        Command::Inspect(args) => inspect::run(app, &args).await,
        Command::Query(args) => query::run(app, &args).await,
        Command::Generate(args) => generate::run(&args, &app.out),
        Command::Validate(args) => validate::run(app, &args).await,
        Command::Config(command) => config::run(app, &command),
        Command::Daemon(args) => daemon::run(app, &args).await,
        Command::Schedule(command) => schedule::run(app, command).await,
        Command::Notify(command) => notify::run(app, &command).await,
        Command::Audit(command) => audit::run(app, &command).await,
        Command::Doctor(args) => doctor::run(app, &args).await,
        Command::Completions(args) => Ok(completions::run(&args, &app.out)),
        Command::Man(args) => man::run(&args, &app.out),
    }
}
