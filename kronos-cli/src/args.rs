//! What can be written on the command line: the flags that every command has, and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Back up databases into one encrypted, deduplicated repository, and get them back.
#[derive(Parser)]
#[command(name = "kronos", version, propagate_version = true, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  kronos backup app.db --to /srv/backups
  kronos list --from /srv/backups
  kronos restore latest --from /srv/backups --to restored.db

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done with warnings,
4 damaged, 5 nothing to do or not found, 130 interrupted.";

/// Flags that every command has.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Global {
    /// Configuration file, the only one then [default: the system's, over it the user's, over both
    /// ./kronos.toml or .yaml]
    #[arg(short, long, value_name = "FILE", global = true, env = "KRONOS_CONFIG", hide_env_values = true)]
    #[arg(help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,
    /// Show the result as one JSON object
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Show nothing but results, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Show more
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,
    /// File with the passphrase of the repository; else the variable `KRONOS_PASSPHRASE`
    #[arg(long, value_name = "FILE", global = true, help_heading = "Keys")]
    #[arg(conflicts_with_all = ["recipient", "identity", "writer_key"])]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Make a new repository that only the holder of this age recipient's identity can read;
    /// may be given several times
    #[arg(long, value_name = "age1…", global = true, help_heading = "Keys")]
    pub(crate) recipient: Vec<String>,
    /// File with age identities that open the repository
    #[arg(long, value_name = "FILE", global = true, help_heading = "Keys", conflicts_with = "writer_key")]
    pub(crate) identity: Option<PathBuf>,
    /// File with the writer key, enough to back up into a repository with recipients; written
    /// when the repository is made and the file does not exist
    #[arg(long, value_name = "FILE", global = true, help_heading = "Keys")]
    pub(crate) writer_key: Option<PathBuf>,
    /// Accept that another repository lies where a known one was
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) accept_new_repository: bool,
}

/// The repository that a command reads or changes.
#[derive(Args)]
pub(crate) struct From {
    /// The repository: a directory, or a URL [default: the configuration's, if it has one storage]
    #[arg(long, value_name = "STORAGE", env = "KRONOS_STORAGE", hide_env_values = true)]
    pub(crate) from: Option<String>,
}

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make an empty repository
    Init(commands::init::InitArgs),
    /// Back up a database, or the jobs of the configuration
    Backup(commands::backup::BackupArgs),
    /// Write a backup back, checked, and only then put it into place
    Restore(commands::restore::RestoreArgs),
    /// List the backups, oldest first
    List(commands::list::ListArgs),
    /// Show one backup with its streams
    Show(commands::show::ShowArgs),
    /// Show what changed between two backups of a job
    Diff(commands::diff::DiffArgs),
    /// Check a repository without restoring anything
    Check(commands::check::CheckArgs),
    /// Forget backups by rules, and free what nothing needs any more
    Prune(commands::prune::PruneArgs),
    /// Forget one backup; the next prune frees its room
    Forget(commands::mark::MarkArgs),
    /// Protect a backup from being forgotten
    Hold(commands::mark::MarkArgs),
    /// Lift the protection of a backup
    Release(commands::mark::MarkArgs),
    /// Copy backups to another repository; only what is not there is sent
    Copy(commands::copy::CopyArgs),
    /// Keys of an encrypted repository
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    /// Write a backup as plain files that the engine's own tools read
    Export(commands::export::ExportArgs),
    /// Look into a source: databases, schemas, tables, columns, indexes, keys
    Inspect(commands::inspect::InspectArgs),
    /// Run one statement; it can only read unless --write is given
    Query(commands::query::QueryArgs),
    /// Make a commented sample configuration
    Generate(commands::generate::GenerateArgs),
    /// Check the configuration, then each source and each storage
    Validate(commands::validate::ValidateArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    /// Run the jobs of the configuration by their schedules, until it is stopped
    Daemon(commands::daemon::DaemonArgs),
    /// When jobs run: list, next, run, pause, resume
    #[command(subcommand)]
    Schedule(commands::schedule::ScheduleCommand),
    /// Those who hear of runs
    #[command(subcommand)]
    Notify(commands::notify::NotifyCommand),
    /// The audit log: who did what
    #[command(subcommand)]
    Audit(commands::audit::AuditCommand),
    /// Tell what is built in, what is installed, and what is missing
    Doctor(commands::doctor::DoctorArgs),
    /// Print the completions of a shell
    Completions(commands::completions::CompletionsArgs),
    /// Print the manual page
    Man(commands::man::ManArgs),
}
