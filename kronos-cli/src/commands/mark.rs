//! `kronos forget`, `hold` and `release`: what becomes of single backups.

use clap::Args;
use kronos_core::{BackupInfo, Error, ErrorKind, Repository, Result};
use serde::Serialize;

use crate::app::App;
use crate::args::From;
use crate::errors::Exit;

#[derive(Args)]
pub(crate) struct MarkArgs {
    /// Ids, the beginnings of such, latest, latest~2, or times; JOB/… with several jobs
    #[arg(required = true, value_name = "BACKUP")]
    pub(crate) backups: Vec<String>,
    #[command(flatten)]
    pub(crate) from: From,
    /// Tell only which backups are meant
    #[arg(long)]
    pub(crate) dry_run: bool,
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

impl Mark {
    /// Why there is nothing to do.
    fn done_before(self, backup: &BackupInfo) -> Option<&'static str> {
        match self {
            Self::Hold if backup.held => Some("is held already"),
            Self::Release if !backup.held => Some("is not held"),
            _ => None,
        }
    }

    async fn set(self, repository: &Repository, backup: &BackupInfo, app: &App) -> Result<()> {
        match self {
            Self::Forget => kronos_core::forget(repository, backup, &app.run).await,
            Self::Hold => kronos_core::hold(repository, backup, &app.run).await,
            Self::Release => kronos_core::release(repository, backup, &app.run).await,
        }
    }
}

pub(crate) async fn run(app: &App, args: &MarkArgs, mark: Mark) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    // All are found, and what is in the way, before the first is changed: `latest` shall not wander.
    let mut backups: Vec<BackupInfo> = Vec::new();
    for text in &args.backups {
        let backup = kronos_core::find_backup(&repository, text, &app.run).await?;
        if matches!(mark, Mark::Forget) && backup.held {
            return Err(Error::new(ErrorKind::Conflict, "the backup is held").with("backup", backup.id));
        }
        if let Some(why) = mark.done_before(&backup) {
            app.out.note(&format!("{} of {} {why}", backup.id.short(), backup.job));
        } else if backups.iter().all(|other| other.id != backup.id) {
            backups.push(backup);
        }
    }
    let mut failed = None;
    if !args.dry_run {
        for n in 0..backups.len() {
            if let Err(e) = mark.set(&repository, &backups[n], app).await {
                failed = Some(e.with("backup", backups[n].id));
                // What went before is done, and told.
                backups.truncate(n);
                break;
            }
        }
    }
    let (name, done, would) = match mark {
        Mark::Forget => ("forget", "forgot", "would forget"),
        Mark::Hold => ("hold", "held", "would hold"),
        Mark::Release => ("release", "released", "would release"),
    };
    let what = if args.dry_run { would } else { done };
    if backups.is_empty() {
        return failed.map_or(Ok(Exit::Nothing), Err);
    }
    app.out.result(name, &Marked { dry_run: args.dry_run, backups: &backups }, || {
        let lines: Vec<String> = backups.iter().map(|b| format!("{what} {} of {}", b.id.short(), b.job)).collect();
        lines.join("\n")
    })?;
    failed.map_or(Ok(Exit::Done), Err)
}
