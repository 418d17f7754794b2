//! Backs up a SQLite database into a directory and restores it beside: all that a program needs
//! to embed Kronos.
//!
//! ```text
//! cargo run -p kronos-examples --example embed
//! ```

use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{
    BackupOptions, ChunkerParameters, Protection, Repository, RestoreOptions, RunContext, Secret, backup, find_backup,
    restore,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::temp_dir().join(format!("kronos-embed-{}", std::process::id()));
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data/chinook.db");
    let run = RunContext::new();

    let source = SqliteSource::new(SqliteSettings::file(data))?;
    let storage = kronos_storage::local(place.join("backups"))?;
    let protection = Protection::Passphrase(Secret::new("correct horse battery staple"));
    let repository = Repository::init(storage, &protection, ChunkerParameters::default(), &run).await?;
    backup(&repository, &source, &BackupOptions::new(), &run).await?;

    let latest = find_backup(&repository, "latest", &run).await?;
    let target = SqliteSource::new(SqliteSettings::file(place.join("restored.db")))?;
    let report = restore(&repository, &latest, &target, &RestoreOptions::new(), &run).await?;

    assert_eq!(std::fs::read(data)?, std::fs::read(place.join("restored.db"))?);
    assert_eq!(report.outcome.checks, ["chinook.db: integrity_check ok"]);
    std::fs::remove_dir_all(place)?;
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn std::error::Error>> {
    main()
}
