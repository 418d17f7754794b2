//! `kronos restore`: writes a backup back.

use std::fmt::Write;

use clap::Args;
use kronos_core::{RestoreOptions, RestorePlan, RestoreReport, Result};
use kronos_service::{Frame, Operation, Trigger};
use serde::Serialize;

use crate::app::App;
use crate::args::From;
use crate::errors::Exit;
use crate::source::Source;
use crate::units;

#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct RestoreArgs {
    /// An id, the beginning of one, latest, latest~2, or a time; JOB/… with several jobs
    backup: String,
    #[command(flatten)]
    from: From,
    /// Where it goes: a database's URL, the path of a SQLite file, or a directory
    #[arg(long, value_name = "TARGET")]
    to: String,
    /// Only the databases, tables or streams with such names; `*` and `?` stand for any characters;
    /// may be given several times
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Replace what is there, once the restored data is complete and checked
    #[arg(long)]
    replace: bool,
    /// Do not restore who owns what: all belongs to the user who restores
    #[arg(long)]
    no_owner: bool,
    /// Do not restore who may do what
    #[arg(long)]
    no_privileges: bool,
    /// Write so many streams at a time, and make so many indexes at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: Option<u16>,
    /// Tell only what would be done, and whether it can succeed
    #[arg(long)]
    dry_run: bool,
}

/// What a restore did or would do.
#[derive(Serialize)]
pub(super) struct Restored {
    pub(super) dry_run: bool,
    pub(super) target: String,
    pub(super) plan: Option<RestorePlan>,
    pub(super) report: Option<RestoreReport>,
}

pub(crate) async fn run(app: &App, args: &RestoreArgs) -> Result<Exit> {
    let repository = app.open_from(&args.from).await?;
    let backup = kronos_core::find_backup(&repository, &args.backup, &app.run).await?;
    let target = Source::parse_target(&args.to, &backup.engine)?.connect(&app.registry)?;
    let mut options = RestoreOptions::new();
    options.only.clone_from(&args.only);
    options.replace = args.replace;
    options.owners = !args.no_owner;
    options.privileges = !args.no_privileges;
    let mut restored = Restored { dry_run: args.dry_run, target: target.describe(), plan: None, report: None };
    if args.dry_run {
        let plan = kronos_core::plan_restore(&repository, &backup, &*target, &options, &app.run).await?;
        let ended = plan.check(&restored.target, &options);
        restored.plan = Some(plan);
        app.out.result("restore", &restored, || restored.plan.as_ref().map(plan_text).unwrap_or_default())?;
        return ended.map(|()| Exit::Done);
    }
    let mut run = app.run.clone();
    run.limits.parallel = args.parallel.map_or(run.limits.parallel, usize::from);
    let frame = Frame::new(Operation::Restore, &backup.job, Trigger::Manual, &run);
    let company = app.watchers().bystanders(&app.config, &backup.job);
    let mut following = frame.begin(company, &run).await;
    following.report.source = Some(format!("backup {} of {}", backup.id.short(), repository.describe()));
    following.report.notes.push(format!("into {}", restored.target));
    let done = kronos_core::restore(&repository, &backup, &*target, &options, &following.context).await;
    if let Ok(report) = &done {
        following.report.warnings.extend(report.outcome.warnings.iter().cloned());
    }
    following.end(&done).await;
    restored.report = Some(done?);
    show(app, "restore", &restored)?;
    Ok(Exit::Done)
}

/// Shows a restore that was done.
pub(super) fn show(app: &App, name: &str, restored: &Restored) -> Result<()> {
    let Some(report) = &restored.report else { return Ok(()) };
    for warning in &report.outcome.warnings {
        app.warn(warning);
    }
    app.out.result(name, restored, || {
        let done = if name == "export" { "exported" } else { "restored" };
        let mut text = format!("{done} {} of {}: ", report.backup.id.short(), report.backup.job);
        let _ = writeln!(text, "{} into {}", units::bytes(report.bytes), restored.target);
        for line in &report.outcome.created {
            let _ = writeln!(text, "  made {line}");
        }
        for line in &report.outcome.checks {
            let _ = writeln!(text, "  checked {line}");
        }
        text
    })
}

pub(super) fn plan_text(plan: &RestorePlan) -> String {
    let mut text = format!("would restore {} of {}\n", plan.backup.id.short(), plan.backup.job);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line("from", &units::time(plan.backup.started));
    let objects = units::count(plan.objects, "object");
    line("objects", &format!("{objects}, {}, all there", units::bytes(plan.objects_bytes)));
    line("needs", &units::bytes(plan.target.needed));
    if let Some(free) = plan.target.free {
        line("free", &units::bytes(free));
    }
    for existing in &plan.target.existing {
        line("exists", existing);
    }
    for obstacle in &plan.target.obstacles {
        line("in the way", obstacle);
    }
    if plan.target.existing.is_empty() && plan.target.obstacles.is_empty() {
        line("target", "free, and may be written to");
    }
    text.push('\n');
    text.push_str(&super::show::streams(&plan.streams));
    text
}
