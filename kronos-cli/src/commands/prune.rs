//! `kronos prune`: forgets by rules, and frees what nothing needs any more.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use kronos_core::{ErrorKind, PruneOptions, PruneReport, Result, Retention};
use serde::Serialize;

use crate::app::App;
use crate::args::From;
use crate::config;
use crate::errors::{Exit, usage};
use crate::units;

#[derive(Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    from: From,
    /// Only this job; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    job: Vec<String>,
    #[command(flatten)]
    keep: KeepArgs,
    /// Merge small packs and write badly used ones anew; without a rule nothing is forgotten
    #[arg(long)]
    compact: bool,
    /// How long freed packs are kept for slow writers
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = units::parse_duration)]
    grace: Duration,
    /// Believe the clock although it is far ahead of the newest backup
    #[arg(long)]
    trust_clock: bool,
    /// Tell only what would be done
    #[arg(long)]
    dry_run: bool,
}

/// What is kept. Rules add up; without any, those of the configuration count.
#[derive(Args)]
#[expect(clippy::struct_field_names, reason = "they are named as their flags")]
#[command(next_help_heading = "Rules (a backup stays if any rule keeps it)")]
struct KeepArgs {
    /// The newest N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_last: u32,
    /// The newest of each of N hours
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_hourly: u32,
    /// The newest of each of N days
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_daily: u32,
    /// The newest of each of N weeks
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_weekly: u32,
    /// The newest of each of N months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_monthly: u32,
    /// The newest of each of N years
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_yearly: u32,
    /// All that are this young, such as 48h
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    keep_within: Option<Duration>,
}

impl KeepArgs {
    fn rules(&self) -> Option<Retention> {
        let rules = Retention {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            within: self.keep_within,
            time_zone: None,
        };
        (rules != Retention::default()).then_some(rules)
    }
}

#[derive(Serialize)]
struct Pruned {
    dry_run: bool,
    jobs: Vec<PruneReport>,
}

pub(crate) async fn run(app: &App, args: &PruneArgs) -> Result<Exit> {
    let rules = args.keep.rules();
    // Refused before anything is opened: no rule would keep one backup only.
    if rules.is_none() && !args.compact && app.config.jobs.values().all(|job| job.keep.is_none()) {
        let hint = "give at least one, such as --keep-daily 7, or `keep` in the job's configuration";
        return Err(usage("no retention rule was given", hint));
    }
    let repository = app.open_from(&args.from).await?;
    let there = repository.jobs(&app.run).await?;
    let mut limits = app.run.limits.clone();
    limits.grace = args.grace;
    let mut pruned = Pruned { dry_run: args.dry_run, jobs: Vec::new() };
    let mut failed = None;
    for job in if args.job.is_empty() { &there } else { &args.job } {
        let configured = app.config.jobs.get(job).and_then(|job| job.keep.as_ref()).map(config::retention);
        let retention = rules.clone().or(configured);
        if retention.is_none() && !args.compact {
            if !args.job.is_empty() {
                let hint = "give at least one, such as --keep-daily 7, or `keep` in the job's configuration";
                return Err(usage("the job has no retention rule", hint).with("job", job));
            }
            app.out.note(&format!("{job}: left alone, the configuration has no rule for it"));
            continue;
        }
        let mut options = PruneOptions::new(retention).with_compact(args.compact).with_dry_run(args.dry_run);
        options.trust_clock = args.trust_clock;
        let run = app.run_with(limits.clone());
        let report = match kronos_core::prune(&repository, job, &options, &run).await {
            Ok(report) => report,
            // One job does not keep the others from being pruned.
            Err(e) if e.kind() != ErrorKind::Cancelled && there.len() > 1 => {
                app.warn(&format!("{job}: not pruned: {e}"));
                failed = failed.or(Some(e));
                continue;
            }
            Err(e) => return Err(e),
        };
        for warning in &report.warnings {
            app.warn(&format!("{job}: {warning}"));
        }
        pruned.jobs.push(report);
    }
    app.out.result("prune", &pruned, || pruned.jobs.iter().map(|job| text(job, args.dry_run)).collect())?;
    if let Some(e) = failed {
        return Err(e);
    }
    Ok(if pruned.jobs.is_empty() { Exit::Nothing } else { Exit::Done })
}

fn text(report: &PruneReport, dry_run: bool) -> String {
    let mut text = format!("{}\n", report.job);
    for verdict in &report.verdicts {
        let id = verdict.backup.short();
        let _ = match (verdict.kept_by.as_slice(), dry_run) {
            ([], true) => writeln!(text, "  {id}  would be forgotten"),
            ([], false) => writeln!(text, "  {id}  forgotten"),
            (rules, _) => writeln!(text, "  {id}  kept ({})", rules.join(", ")),
        };
    }
    if let Some(done) = &report.compaction {
        let packs = units::count(done.packs, "pack");
        let (of, used) = (units::bytes(done.packs_bytes), units::bytes(done.used_bytes));
        let would = if dry_run { "would write anew" } else { "wrote anew" };
        let _ = writeln!(text, "  {would} {packs} of {of}, of which {used} is used before compression");
    }
    let (objects, freed) = (units::count(report.deleted, "object"), units::bytes(report.freed));
    let would = if dry_run { "would delete" } else { "deleted" };
    let _ = writeln!(text, "  {would} {objects}, {freed}");
    if report.doomed > 0 {
        let packs = units::count(report.doomed, "unused pack");
        let _ = writeln!(text, "  {packs} will be deleted by a prune after the grace time");
    }
    text
}
