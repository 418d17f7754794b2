//! `kronos backup`: one database, or the jobs of the configuration.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use futures::StreamExt;
use kronos_core::{
    BackupOptions, Differential, Error, ErrorKind, Full, Incremental, Limits, Result, Retention, SlowStorage,
};
use kronos_service::{JobMethod, JobResult, StorageChoice};
use serde::Serialize;

use crate::app::App;
use crate::config::{self, variable};
use crate::errors::{Exit, usage};
use crate::source::Source;
use crate::units;

mod job;
mod text;

#[derive(Args)]
pub(crate) struct BackupArgs {
    /// The database: a path that ends in .db, .sqlite or .sqlite3, or a URL such as sqlite:path
    /// [default: the jobs of the configuration]
    source: Option<String>,
    /// Where to: a directory or a URL; may be given several times [default: the job's storages,
    /// else `KRONOS_STORAGE`, else the configuration's storage]
    #[arg(long, value_name = "STORAGE")]
    to: Vec<String>,
    /// The name of the job [default: the name of the database]
    #[arg(long, value_name = "NAME", requires = "source")]
    job: Option<String>,
    /// Only this job of the configuration; may be given several times
    #[arg(short, long, value_name = "JOB", conflicts_with = "source")]
    name: Vec<String>,
    /// So many jobs at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// How the database is read: by kronos itself, or with the engine's own tool [default: the job's
    /// method, else native]
    #[arg(long)]
    method: Option<Method>,
    /// What is read: all, what changed since the newest backup, or since the newest full one
    /// [default: incremental]
    #[arg(long)]
    strategy: Option<StrategyName>,
    /// Leave out what has such a name; `*` and `?` stand for any characters; may be given several times
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Read so many streams at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: Option<u16>,
    /// What is done about a storage that is slower than the others: the run waits for it, or goes on
    /// without it after a minute of waiting, and a copy brings it the backup [default: wait]
    #[arg(long, value_name = "HOW")]
    slow_storage: Option<Slow>,
    /// Attach this to the backup; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = units::parse_tag)]
    tag: Vec<(String, String)>,
    /// Tell only what would be done; make nothing, not even the repository
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    Native,
    Tool,
}

impl Method {
    fn job(self) -> JobMethod {
        match self {
            Self::Native => JobMethod::Native,
            Self::Tool => JobMethod::Tool,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum StrategyName {
    Full,
    Incremental,
    Differential,
}

#[derive(Clone, Copy, ValueEnum)]
enum Slow {
    Wait,
    Drop,
}

/// One job as it will be run.
struct Task {
    name: Option<String>,
    source: Source,
    /// Locations; each gets the backup.
    storages: Vec<StorageChoice>,
    options: BackupOptions,
    /// What is kept once the backup is made.
    retention: Option<Retention>,
    limits: Limits,
    method: JobMethod,
}

/// What all jobs did.
#[derive(Serialize)]
struct Summary {
    dry_run: bool,
    jobs: Vec<JobResult>,
}

pub(crate) async fn run(app: &App, args: &BackupArgs) -> Result<Exit> {
    let tasks = tasks(app, args)?;
    let only = tasks.len() == 1;
    let wishes = Wishes { dry_run: args.dry_run, several: !only };
    let mut done = futures::stream::iter(tasks.into_iter().enumerate())
        .map(|(n, (name, task))| async move { (n, Box::pin(one(app, wishes, name, task)).await) })
        .buffer_unordered(usize::from(args.jobs))
        .collect::<Vec<_>>()
        .await;
    done.sort_by_key(|(n, _)| *n);
    let mut summary = Summary { dry_run: args.dry_run, jobs: Vec::new() };
    let mut failed = Vec::new();
    for (_, (result, error)) in done {
        summary.jobs.push(result);
        failed.extend(error);
    }
    // A single job fails as its error says; main shows it.
    if let (true, Some(error)) = (only, failed.pop()) {
        return Err(error);
    }
    app.out.result("backup", &summary, || text::summary(&summary))?;
    if app.run.cancel.is_cancelled() {
        return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
    }
    Ok(match () {
        () if summary.jobs.iter().any(JobResult::has_failed) => Exit::Failed,
        () if summary.jobs.iter().all(JobResult::did_nothing) => Exit::Nothing,
        () => Exit::Done,
    })
}

/// What each job needs of the flags.
#[derive(Clone, Copy)]
struct Wishes {
    dry_run: bool,
    /// Errors are shown as they come: there will be no other place for them.
    several: bool,
}

async fn one(app: &App, wishes: Wishes, name: String, task: Result<Task>) -> (JobResult, Option<Error>) {
    let mut result = JobResult::new(name, task.as_ref().map_or(JobMethod::Native, |task| task.method));
    let ended = match task {
        Ok(task) if app.run.cancel.is_cancelled() => {
            drop(task);
            Err(Error::new(ErrorKind::Cancelled, "interrupted before it began"))
        }
        Ok(task) => job::run(app, wishes, &task, &mut result).await,
        Err(e) => Err(e),
    };
    let error = ended.err();
    if let Some(error) = &error {
        result.fail(error);
        if wishes.several {
            app.out.note(&format!("{} failed", result.job));
            app.out.error(error, "backup");
        }
    }
    (result, error)
}

/// The jobs to run, each with its name; a job that cannot be made ready does not stop the others.
fn tasks(app: &App, args: &BackupArgs) -> Result<Vec<(String, Result<Task>)>> {
    let fallback = fallback(app);
    if let Some(text) = &args.source {
        let storages = if args.to.is_empty() { fallback } else { args.to.clone() };
        let task = Task {
            name: args.job.clone(),
            source: Source::parse(text)?,
            storages: resolved(app, storages)?,
            options: options(args, BackupOptions::new()),
            retention: None,
            limits: limits(args, app.run.limits.clone()),
            method: args.method.map_or(JobMethod::Native, Method::job),
        };
        return Ok(vec![(args.job.clone().unwrap_or_default(), Ok(task))]);
    }
    let jobs = config::jobs(&app.config, &args.name)?;
    if jobs.is_empty() {
        let message = "no source was given, and no configuration with jobs was found";
        return Err(usage(message, "name a database: kronos backup app.db --to /srv/backups"));
    }
    let task = |name: &str, job: &kronos_service::Job| {
        let storages = match (args.to.is_empty(), config::storages(&app.config, job)) {
            (false, _) => args.to.clone(),
            (true, own) if own.is_empty() => fallback.clone(),
            (true, own) => own,
        };
        let mut base = BackupOptions::new();
        base.exclude.clone_from(&job.exclude);
        if let Some(strategy) = job.strategy {
            base.strategy = strategy.strategy();
        }
        base.slow = job.slow_storage.unwrap_or_default();
        Ok(Task {
            name: Some(name.to_owned()),
            source: config::source(&app.config, job)?,
            storages: resolved(app, storages)?,
            options: options(args, base),
            retention: job.keep.as_ref().map(config::retention),
            limits: limits(args, config::limits(app.run.limits.clone(), job)),
            method: args.method.map(Method::job).or(job.method).unwrap_or(JobMethod::Native),
        })
    };
    Ok(jobs.into_iter().map(|(name, job)| (name.to_owned(), task(name, job))).collect())
}

/// The storage of the environment, or the configuration's only one.
fn fallback(app: &App) -> Vec<String> {
    match variable("KRONOS_STORAGE").filter(|url| !url.is_empty()) {
        Some(url) => vec![url],
        None if app.config.storages.len() == 1 => {
            app.config.storages.values().map(|storage| storage.url.clone()).collect()
        }
        None => Vec::new(),
    }
}

/// Storages, each once, of names and locations.
fn resolved(app: &App, given: Vec<String>) -> Result<Vec<StorageChoice>> {
    if given.is_empty() {
        app.storage_url(None, "--to")?;
    }
    let mut storages: Vec<StorageChoice> = Vec::new();
    for given in given {
        let location = app.storage_url(Some(&given), "--to")?;
        if storages.iter().any(|there| there.location == location) {
            continue;
        }
        let of_config = app.config.storages.iter().find(|(name, entry)| **name == given || entry.url == location);
        storages.push(StorageChoice { name: of_config.map(|(name, _)| name.clone()), location });
    }
    Ok(storages)
}

/// Flags win over the job's own settings, and add to its patterns.
fn options(args: &BackupArgs, mut options: BackupOptions) -> BackupOptions {
    options.exclude.extend(args.exclude.iter().cloned());
    options.tags = args.tag.iter().cloned().collect::<BTreeMap<_, _>>();
    options.slow = match args.slow_storage {
        None => options.slow,
        Some(Slow::Wait) => SlowStorage::Wait,
        // The job may have a time of its own.
        Some(Slow::Drop) if options.slow != SlowStorage::Wait => options.slow,
        Some(Slow::Drop) => SlowStorage::DROP,
    };
    match args.strategy {
        None => options,
        Some(StrategyName::Full) => options.with_strategy(Full),
        Some(StrategyName::Incremental) => options.with_strategy(Incremental::default()),
        Some(StrategyName::Differential) => options.with_strategy(Differential::default()),
    }
}

fn limits(args: &BackupArgs, mut limits: Limits) -> Limits {
    limits.parallel = args.parallel.map_or(limits.parallel, usize::from);
    limits
}
