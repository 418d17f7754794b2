//! `kronos forget`, `hold` and `release`: what becomes of single backups.

use clap::Args;
use kronos_core::{BackupInfo, Result};
use serde::Serialize;

use crate::app::App;
use crate::args::From;
use crate::errors::Exit;

#[derive(Args)]
pub(crate) struct MarkArgs {
    /// Ids, the beginnings of such, latest, latest~2, or times; JOB/… with several jobs
    #[arg(required = true, value_name = "BACKUP")]
    backups: Vec<String>,
    #[command(flatten)]
    from: From,
    /// Tell only which backups are meant
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Mark {
    Forget,
    Hold,
    Release,
}

#[derive(Serialize)]
struct Marked<'a> {
    dry_run: bool,
    backups: &'a [BackupInfo],
}

pub(crate) async fn run(app: &App, args: &MarkArgs, mark: Mark) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    // All are found before the first is changed: `latest` shall not wander.
    let mut backups = Vec::new();
    for text in &args.backups {
        backups.push(kronos_core::find_backup(&repository, text, &app.run).await?);
    }
    if !args.dry_run {
        for backup in &backups {
            match mark {
                Mark::Forget => kronos_core::forget(&repository, backup, &app.run).await?,
                Mark::Hold => kronos_core::hold(&repository, backup, &app.run).await?,
                Mark::Release => kronos_core::release(&repository, backup, &app.run).await?,
            }
        }
    }
    let (name, done, would) = match mark {
        Mark::Forget => ("forget", "forgot", "would forget"),
        Mark::Hold => ("hold", "held", "would hold"),
        Mark::Release => ("release", "released", "would release"),
    };
    let what = if args.dry_run { would } else { done };
    app.out.result(name, &Marked { dry_run: args.dry_run, backups: &backups }, || {
        let lines: Vec<String> = backups.iter().map(|b| format!("{what} {} of {}", b.id.short(), b.job)).collect();
        lines.join("\n")
    })?;
    Ok(Exit::Done)
}
