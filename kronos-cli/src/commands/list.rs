//! `kronos list`: the backups of a repository, oldest first.

use clap::Args;
use kronos_core::{BackupInfo, Result};

use crate::app::App;
use crate::args::From;
use crate::errors::Exit;
use crate::output::table;
use crate::units;

#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only the backups of this job
    job: Option<String>,
    #[command(flatten)]
    from: From,
}

pub(crate) async fn run(app: &App, args: &ListArgs) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    let listing = kronos_core::list(&repository, args.job.as_deref(), &app.run).await?;
    for warning in &listing.warnings {
        app.warn(warning);
    }
    if listing.backups.is_empty() {
        app.out.note("there are no backups");
    }
    app.out
        .result("list", &listing, || if listing.backups.is_empty() { String::new() } else { rows(&listing.backups) })?;
    Ok(Exit::Done)
}

fn rows(backups: &[BackupInfo]) -> String {
    let heading = ["ID", "JOB", "WHEN", "STRATEGY", ">SIZE", ">STORED", ">TOOK", "STATE"];
    let row = |b: &BackupInfo| {
        vec![
            b.id.short(),
            b.job.clone(),
            units::time(b.started),
            b.kind.to_string(),
            units::bytes(b.bytes),
            units::bytes(b.bytes_stored),
            units::duration(b.finished.since(b.started)),
            state(b),
        ]
    };
    table(&heading, &backups.iter().map(row).collect::<Vec<_>>())
}

/// What is special about a backup, in words.
pub(crate) fn state(backup: &BackupInfo) -> String {
    let verified = match backup.verified {
        Some(true) => Some("verified"),
        Some(false) => Some("failed verification"),
        None => None,
    };
    let held = backup.held.then_some("held");
    let warnings = (!backup.warnings.is_empty()).then_some("notes");
    let damaged = backup.damaged.then_some("damaged");
    damaged.into_iter().chain(verified).chain(held).chain(warnings).collect::<Vec<_>>().join(", ")
}
