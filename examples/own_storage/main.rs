//! A storage of one's own: a whole repository in one SQLite file, for those who want to carry their
//! backups around as one thing.
//!
//! ```text
//! cargo run -p kronos-examples --example own_storage
//! cargo test -p kronos-examples --example own_storage    # the conformance suite
//! ```

mod storage;
mod upload;

use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{
    BackupOptions, ChunkerParameters, Protection, Registry, Repository, RestoreOptions, RunContext, Secret,
    StorageSettings, backup, find_backup, restore,
};

use storage::SingleFile;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::temp_dir().join(format!("kronos-own-storage-{}", std::process::id()));
    std::fs::create_dir_all(&place)?;
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data/chinook.db");

    // The registry is for programs that read URLs: `single:/path/to/file`. Any other hands
    // `SingleFile::open(…)` to `Repository::init`.
    let mut registry = Registry::new();
    registry.add_storage("single", |settings| SingleFile::open(&settings.location));
    let location = place.join("backups.single").display().to_string();
    let storage = registry.storage("single", &StorageSettings { location, ..Default::default() })?;

    let run = RunContext::new();
    let protection = Protection::Passphrase(Secret::new("correct horse battery staple"));
    let repository = Repository::init(storage, &protection, ChunkerParameters::default(), &run).await?;
    backup(&repository, &SqliteSource::new(SqliteSettings::file(data))?, &BackupOptions::new(), &run).await?;

    let latest = find_backup(&repository, "latest", &run).await?;
    let target = SqliteSource::new(SqliteSettings::file(place.join("restored.db")))?;
    restore(&repository, &latest, &target, &RestoreOptions::new(), &run).await?;
    assert_eq!(std::fs::read(data)?, std::fs::read(place.join("restored.db"))?);
    std::fs::remove_dir_all(place)?;
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn std::error::Error>> {
    main()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicU32, Ordering};

    use kronos_core::testing::storage_conformance;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn conforms() {
        let (place, count) = (tempfile::tempdir().unwrap(), AtomicU32::new(0));
        let fresh = async || SingleFile::open(place.path().join(count.fetch_add(1, Ordering::Relaxed).to_string()));
        storage_conformance(async || fresh().await.unwrap()).await;
    }
}
