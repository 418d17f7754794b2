//! A storage of one's own, over a network: a repository in a directory of any server that one can log
//! in to with `ssh`. Host names, keys and agents are those of the user's own `ssh`, which must log in
//! without asking.
//!
//! ```text
//! cargo run -p kronos-examples --example sftp_storage -- sftp://me@nas/backups
//! cargo test -p kronos-examples --example sftp_storage    # with the server of `scripts/servers start sftp`
//! ```

mod address;
mod connection;
mod directories;
mod failure;
mod file;
mod listing;
mod server;
mod ssh;
mod staged;
mod storage;
#[cfg(test)]
mod tests;
mod upload;

use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{
    BackupOptions, ChunkerParameters, Protection, Registry, Repository, RestoreOptions, RunContext, Secret, backup,
    find_backup, restore,
};

use address::Address;
use storage::Sftp;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A registry is for programs that read URLs. Any other hands `Sftp::at(…)` to `Repository::init`.
fn registry(ssh: Vec<String>) -> Registry {
    let mut registry = Registry::new();
    registry.add_storage("sftp", move |settings| Ok(Sftp::at(Address::new(settings, &ssh)?)));
    registry
}

/// Makes a repository at the URL, backs a database up there, and restores it beside.
async fn run(registry: &Registry, url: &str) -> Outcome {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data/chinook.db");
    let (scheme, settings) = kronos_storage::parse_storage_url(url)?;
    let storage = registry.storage(&scheme, &settings)?;

    let run = RunContext::new();
    let protection = Protection::Passphrase(Secret::new("correct horse battery staple"));
    let repository = Repository::init(storage, &protection, ChunkerParameters::default(), &run).await?;
    backup(&repository, &SqliteSource::new(SqliteSettings::file(data))?, &BackupOptions::new(), &run).await?;

    let place = std::env::temp_dir().join(format!("kronos-sftp-storage-{}", std::process::id()));
    std::fs::create_dir_all(&place)?;
    let latest = find_backup(&repository, "latest", &run).await?;
    let target = SqliteSource::new(SqliteSettings::file(place.join("restored.db")))?;
    restore(&repository, &latest, &target, &RestoreOptions::new(), &run).await?;
    assert_eq!(std::fs::read(data)?, std::fs::read(place.join("restored.db"))?);
    std::fs::remove_dir_all(place)?;
    Ok(())
}

#[cfg(not(test))]
#[tokio::main]
async fn main() -> Outcome {
    let url = std::env::args().nth(1).ok_or("give a URL: sftp://user@host/path")?;
    run(&registry(vec!["ssh".to_owned()]), &url).await
}

/// Some tests need a server and are ignored where there is none, which the usual harness cannot do.
#[cfg(test)]
fn main() {
    tests::main();
}
