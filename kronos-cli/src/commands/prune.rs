//! `kronos prune`: forgets by rules, and frees what nothing needs any more.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use kronos_core::{ErrorKind, PruneOptions, PruneReport, Repository, Result, Retention, RunContext};
use kronos_service::{Frame, Operation, StorageEnded, StorageFigures, Trigger};
use serde::Serialize;

use crate::app::App;
use crate::args::From;
use crate::errors::{Exit, usage};
use crate::units;

const NO_RULE: &str = "give at least one, such as --keep-daily 7, or `keep` in the job's configuration";

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
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    keep_last: Option<u32>,
    /// The newest of each of N hours
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    keep_hourly: Option<u32>,
    /// The newest of each of N days
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    keep_daily: Option<u32>,
    /// The newest of each of N weeks
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    keep_weekly: Option<u32>,
    /// The newest of each of N months
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    keep_monthly: Option<u32>,
    /// The newest of each of N years
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    keep_yearly: Option<u32>,
    /// All that are this young, such as 48h
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    keep_within: Option<Duration>,
}

/// Who wants none of a kind leaves the rule out.
fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

impl KeepArgs {
    fn rules(&self) -> Option<Retention> {
        let rules = Retention {
            last: self.keep_last.unwrap_or(0),
            hourly: self.keep_hourly.unwrap_or(0),
            daily: self.keep_daily.unwrap_or(0),
            weekly: self.keep_weekly.unwrap_or(0),
            monthly: self.keep_monthly.unwrap_or(0),
            yearly: self.keep_yearly.unwrap_or(0),
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
        return Err(usage("no retention rule was given", NO_RULE));
    }
    let repository = app.open_from(&args.from).await?;
    let mut limits = app.run.limits.clone();
    limits.grace = args.grace;
    let mut pruned = Pruned { dry_run: args.dry_run, jobs: Vec::new() };
    let mut failed = None;
    let jobs = chosen(app, args, &repository, rules.as_ref()).await?;
    let are_several = jobs.len() > 1;
    for (job, retention) in jobs {
        let mut options = PruneOptions::new(retention).with_compact(args.compact).with_dry_run(args.dry_run);
        options.trust_clock = args.trust_clock;
        let run = app.run_with(limits.clone());
        let report = match followed(app, &repository, &job, &options, &run).await {
            Ok(report) => report,
            // One job does not keep the others from being pruned.
            Err(e) if e.kind() != ErrorKind::Cancelled && are_several => {
                app.warn(&format!("{job}: not pruned: {e}"));
                failed = failed.or(Some(e));
                continue;
            }
            Err(e) => {
                failed = Some(e);
                break;
            }
        };
        for warning in &report.warnings {
            app.warn(&format!("{job}: {warning}"));
        }
        pruned.jobs.push(report);
    }
    if let Some(e) = failed.take_if(|_| pruned.jobs.is_empty()) {
        return Err(e);
    }
    app.out.result("prune", &pruned, || pruned.jobs.iter().map(|job| text(job, args.dry_run)).collect())?;
    if let Some(e) = failed {
        return Err(e);
    }
    Ok(if pruned.jobs.is_empty() { Exit::Nothing } else { Exit::Done })
}

/// The jobs that are meant, each once, with what is kept of them; whatever is wrong with one is said before
/// anything is changed.
async fn chosen(
    app: &App,
    args: &PruneArgs,
    repository: &Repository,
    rules: Option<&Retention>,
) -> Result<Vec<(String, Option<Retention>)>> {
    let there = repository.jobs(&app.run).await?;
    let mut chosen: Vec<(String, Option<Retention>)> = Vec::new();
    for job in if args.job.is_empty() { &there } else { &args.job } {
        if !there.contains(job) {
            return Err(kronos_core::no_such_job(job, &there));
        }
        let configured = app.config.jobs.get(job).and_then(kronos_service::Job::retention);
        let retention = rules.cloned().or(configured);
        if retention.is_none() && !args.compact {
            if !args.job.is_empty() {
                return Err(usage("the job has no retention rule", NO_RULE).with("job", job));
            }
            app.out.note(&format!("{job}: left alone, the configuration has no rule for it"));
        } else if chosen.iter().all(|(other, _)| other != job) {
            chosen.push((job.clone(), retention));
        }
    }
    Ok(chosen)
}

/// Prunes, and tells of it as of every run; a dry run is nobody's business.
async fn followed(
    app: &App,
    repository: &Repository,
    job: &str,
    options: &PruneOptions,
    run: &RunContext,
) -> Result<PruneReport> {
    if options.dry_run {
        return kronos_core::prune(repository, job, options, run).await;
    }
    let company = app.watchers().bystanders(&app.config, job);
    let mut following = Frame::new(Operation::Prune, job, Trigger::Manual, run).begin(company, run).await;
    let done = kronos_core::prune(repository, job, options, &following.context).await;
    if let Ok(report) = &done {
        let storage = repository.describe();
        let name = app.storage_name(&storage).unwrap_or(storage);
        following.report.warnings.extend(report.warnings.iter().cloned());
        following.report.storages.push(StorageFigures {
            storage: name,
            ended: StorageEnded::Nothing,
            caught_up: 0,
            behind: false,
            forgotten: report.forgotten.len() as u64,
            freed: report.freed,
            error: None,
        });
    }
    following.end(&done).await;
    done
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
