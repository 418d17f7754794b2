//! A connector of one's own: a directory of JSON files, as small programs keep their data.
//!
//! It claims no more than it can keep. A dump has every file as of one moment, if their owner
//! replaces files by renaming and never writes into one; one that is written into while it is read
//! ends the dump. A restore makes a whole directory and renames it into place.
//!
//! ```text
//! cargo run -p kronos-examples --example own_connector
//! cargo test -p kronos-examples --example own_connector    # the conformance suite
//! ```

#[cfg(test)]
mod conformance;
mod connector;
mod dump;
mod restore;

use std::sync::Arc;

use kronos_core::{
    BackupOptions, ChunkerParameters, Protection, Registry, Repository, RestoreOptions, RunContext, SourceSettings,
    backup, find_backup, restore,
};

use connector::JsonFiles;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::temp_dir().join(format!("kronos-own-connector-{}", std::process::id()));
    std::fs::create_dir_all(place.join("shop"))?;
    std::fs::write(place.join("shop/orders.json"), r#"[{"apples": 3}, {"pears": 2}]"#)?;
    std::fs::write(place.join("shop/users.json"), r#"["ada", "grace"]"#)?;

    // The registry is for programs that read names of engines from a configuration or a URL. Any
    // other hands `&JsonFiles::new(…)` to `backup`.
    let mut registry = Registry::new();
    registry.add_connector(&connector::engine(), |settings| Ok(Arc::new(JsonFiles::from_settings(settings)?)));
    let at = |name: &str| SourceSettings { host: Some(place.join(name).display().to_string()), ..Default::default() };

    let run = RunContext::new();
    let storage = kronos_storage::local(place.join("backups"))?;
    let repository = Repository::init(storage, &Protection::None, ChunkerParameters::default(), &run).await?;
    let source = registry.connector("json-files", &at("shop"))?;
    backup(&repository, &*source, &BackupOptions::new(), &run).await?;

    let latest = find_backup(&repository, "latest", &run).await?;
    let target = registry.connector("json-files", &at("restored"))?;
    let report = restore(&repository, &latest, &*target, &RestoreOptions::new(), &run).await?;
    assert_eq!(report.outcome.checks, ["orders.json: well-formed", "users.json: well-formed"]);
    assert_eq!(std::fs::read(place.join("shop/users.json"))?, std::fs::read(place.join("restored/users.json"))?);
    std::fs::remove_dir_all(place)?;
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn std::error::Error>> {
    main()
}
