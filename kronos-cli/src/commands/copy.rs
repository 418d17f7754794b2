//! `kronos copy`: backups into another repository.

use clap::Args;
use kronos_core::{CopyReport, Result};
use serde::Serialize;

use crate::app::App;
use crate::args::From;
use crate::errors::{Exit, usage};
use crate::units;

#[derive(Args)]
pub(crate) struct CopyArgs {
    /// Only the backups of this job
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) from: From,
    /// The other repository; made with the same keys when there is none
    #[arg(long, value_name = "STORAGE")]
    pub(crate) to: String,
    /// Tell only what would be copied
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Serialize)]
struct Copied {
    dry_run: bool,
    from: String,
    to: String,
    jobs: Vec<CopyReport>,
}

#[derive(Serialize)]
struct Planned<'a> {
    dry_run: bool,
    from: String,
    to: &'a str,
    jobs: &'a [String],
    backups: &'a [kronos_core::BackupInfo],
}

pub(crate) async fn run(app: &App, args: &CopyArgs) -> Result<Exit> {
    let from = app.open_from(&args.from).await?;
    let place = app.place(&app.storage_url(Some(&args.to), "--to")?)?;
    if place.name == from.describe() {
        return Err(usage("both are the same repository", "name another one with --to").with("storage", place.name));
    }
    let there = app.open_if_there(&place).await?;
    let jobs = match &args.job {
        Some(job) => vec![job.clone()],
        None => from.jobs(&app.run).await?,
    };
    if args.dry_run {
        return dry_run(app, args, &from, &place.name, &jobs).await;
    }
    // Said before a repository is made for nothing.
    for job in &jobs {
        kronos_core::list(&from, Some(job), &app.run).await?;
    }
    let to = match there {
        Some(to) => to,
        None => app.open_or_init_like(&place, &from).await?,
    };
    let mut copied = Copied { dry_run: false, from: from.describe(), to: place.name, jobs: Vec::new() };
    for job in &jobs {
        copied.jobs.push(kronos_core::copy(&from, &to, job, &[], &app.run).await?);
    }
    for failed in copied.jobs.iter().flat_map(|job| &job.failed) {
        app.warn(&format!("not copied: {failed}"));
    }
    app.out.result("copy", &copied, || copied.jobs.iter().map(text).collect())?;
    let damaged = copied.jobs.iter().any(|job| !job.failed.is_empty());
    Ok(if damaged { Exit::Damaged } else { Exit::Done })
}

fn text(report: &CopyReport) -> String {
    let stored = report.copied.iter().map(|b| b.bytes_stored).sum();
    let copied = units::count(report.copied.len() as u64, "backup");
    format!("{}: copied {copied}, {} stored; {} had been there\n", report.job, units::bytes(stored), report.present)
}

/// What lies there is told; which of it the target has already, only the copy finds out.
async fn dry_run(
    app: &App,
    args: &CopyArgs,
    from: &kronos_core::Repository,
    to: &str,
    jobs: &[String],
) -> Result<Exit> {
    let backups = kronos_core::list(from, args.job.as_deref(), &app.run).await?.backups;
    let planned = Planned { dry_run: true, from: from.describe(), to, jobs, backups: &backups };
    app.out.result("copy", &planned, || {
        let backups = units::count(backups.len() as u64, "backup");
        format!("would copy up to {backups} of {} to {to}", units::count(jobs.len() as u64, "job"))
    })?;
    Ok(Exit::Done)
}
