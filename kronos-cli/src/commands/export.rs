//! `kronos export`: a backup as plain files that the engine's own tools read.

use clap::Args;
use kronos_core::{RestoreOptions, Result};

use super::restore::{Restored, show};
use crate::app::App;
use crate::args::From;
use crate::errors::Exit;
use crate::source::Source;

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// An id, the beginning of one, latest, latest~2, or a time; JOB/… with several jobs
    pub(crate) backup: String,
    /// The directory that the files go to; made if it does not exist
    pub(crate) directory: String,
    #[command(flatten)]
    pub(crate) from: From,
    /// Tell only what would be written
    #[arg(long)]
    pub(crate) dry_run: bool,
}

pub(crate) async fn run(app: &App, args: &ExportArgs) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    let backup = kronos_core::find_backup(&repository, &args.backup, &app.run).await?;
    let target = Source::directory(&args.directory, &backup.engine).connect(&app.registry)?;
    let options = RestoreOptions::new();
    let mut exported = Restored { dry_run: args.dry_run, target: target.describe(), plan: None, report: None };
    if args.dry_run {
        let plan = kronos_core::plan_restore(&repository, &backup, &*target, &options, &app.run).await?;
        let ended = plan.check(&exported.target, &options);
        exported.plan = Some(plan);
        let text = || exported.plan.as_ref().map(super::restore::plan_text).unwrap_or_default();
        app.out.result("export", &exported, text)?;
        return ended.map(|()| Exit::Done);
    }
    exported.report = Some(kronos_core::restore(&repository, &backup, &*target, &options, &app.run).await?);
    show(app, "export", &exported)?;
    Ok(Exit::Done)
}
