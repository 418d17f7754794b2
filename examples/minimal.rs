//! The least that backs up a SQLite file into a directory and restores it: one thread, 32 MiB of
//! memory, no command line to speak of. `scripts/minimal` builds it and measures it.
//!
//! ```text
//! minimal backup app.db /mnt/card/backups
//! minimal restore app.db /mnt/card/backups
//! ```
#![allow(clippy::print_stderr, reason = "a program, not a library")]

use std::process::ExitCode;

use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{
    BackupOptions, ChunkerParameters, Credentials, Error, ErrorKind, Limits, Protection, Repository, RestoreOptions,
    Result, RunContext, Secret, backup, find_backup, restore,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(&arguments)),
        Err(e) => Err(Error::new(ErrorKind::Internal, "the runtime could not be started").with_source(e)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("minimal: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<()> {
    let [command, database, directory] = arguments else {
        return Err(Error::new(ErrorKind::Config, "write: minimal backup|restore DATABASE DIRECTORY"));
    };
    let mut limits = Limits::default();
    (limits.memory, limits.parallel, limits.threads) = (32 << 20, 1, 1);
    let run = RunContext::new().with_limits(limits);
    let source = SqliteSource::new(SqliteSettings::file(database))?;
    let storage = kronos_storage::local(directory)?;

    // Without a passphrase in the environment nothing is encrypted.
    let passphrase = std::env::var("MINIMAL_PASSPHRASE").ok().map(Secret::new);
    let credentials = passphrase.clone().map_or(Credentials::None, Credentials::Passphrase);
    let opened = Repository::open(storage.clone(), &credentials, &run).await;
    match command.as_str() {
        "backup" => {
            let repository = match opened {
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    let protection = passphrase.map_or(Protection::None, Protection::Passphrase);
                    Repository::init(storage, &protection, ChunkerParameters::default(), &run).await?
                }
                opened => opened?,
            };
            backup(&repository, &source, &BackupOptions::new(), &run).await.map(drop)
        }
        "restore" => {
            let repository = opened?;
            let latest = find_backup(&repository, "latest", &run).await?;
            restore(&repository, &latest, &source, &RestoreOptions::new(), &run).await.map(drop)
        }
        _ => Err(Error::new(ErrorKind::Config, "neither backup nor restore").with("command", command)),
    }
}
