//! A strategy of one's own: everything is read on Sundays, what changed on other days.
//!
//! ```text
//! cargo run -p kronos-examples --example own_strategy
//! cargo test -p kronos-examples --example own_strategy    # the conformance suite
//! ```

use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{
    BackupKind, BackupOptions, Capabilities, ChunkerParameters, History, Incremental, Plan, Protection, Repository,
    RunContext, Strategy, Timestamp, backup,
};

#[derive(Debug)]
struct FullOnSundays;

impl Strategy for FullOnSundays {
    fn name(&self) -> &'static str {
        "full-on-sundays"
    }

    fn plan(&self, history: &History, can: &Capabilities, now: Timestamp) -> Plan {
        // The time comes in: a strategy that asked a clock could not be tried on other days.
        // 1970-01-01 was a Thursday.
        let is_sunday = now.as_micros().div_euclid(86_400_000_000).rem_euclid(7) == 3;
        if is_sunday { Plan::Full { reason: None } } else { Incremental::default().plan(history, can, now) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::temp_dir().join(format!("kronos-own-strategy-{}", std::process::id()));
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data/chinook.db");
    let run = RunContext::new();
    let storage = kronos_storage::local(&place)?;
    let repository = Repository::init(storage, &Protection::None, ChunkerParameters::default(), &run).await?;
    let source = SqliteSource::new(SqliteSettings::file(data))?;
    let options = BackupOptions::new().with_strategy(FullOnSundays);
    let report = backup(&repository, &source, &options, &run).await?;
    // Whatever the day, a job's first backup has nothing to compare with.
    assert_eq!(report.backup.map(|backup| backup.kind), Some(BackupKind::Full));
    std::fs::remove_dir_all(place)?;
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn std::error::Error>> {
    main()
}

#[test]
fn conforms() {
    kronos_core::testing::strategy_conformance(&FullOnSundays);
}

#[test]
fn sundays_are_sundays() -> Result<(), kronos_core::Error> {
    let on = |day: &str| {
        let now = Timestamp::parse(&format!("{day}T03:00:00Z"))?;
        Ok::<_, kronos_core::Error>(FullOnSundays.plan(&History::default(), &Capabilities::new(), now))
    };
    assert_eq!(on("2026-11-22")?, Plan::Full { reason: None });
    assert!(matches!(on("2026-11-23")?, Plan::Full { reason: Some(_) }), "there is none to compare with");
    Ok(())
}
