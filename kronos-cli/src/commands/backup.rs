//! `kronos backup`: one database, or the jobs of the configuration.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures::StreamExt;
use kronos_core::{BackupOptions, Differential, Error, ErrorKind, Full, Incremental, Result, SlowStorage};
use kronos_service::{JobMethod, JobResult, Outcome};
use serde::Serialize;

use crate::app::App;
use crate::by_hand;
use crate::config;
use crate::errors::{Exit, usage};
use crate::jobs::{self, Backup};
use crate::source::Source;
use crate::units;

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
    /// When another run of the job goes on, wait so long for its end [default: do not wait]
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    wait: Option<Duration>,
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

/// What all jobs did.
#[derive(Serialize)]
struct Summary {
    dry_run: bool,
    jobs: Vec<JobResult>,
}

pub(crate) async fn run(app: &Arc<App>, args: &BackupArgs) -> Result<Exit> {
    let backups = backups(app, args)?;
    let only = backups.len() == 1;
    let wishes = Wishes { dry_run: args.dry_run, several: !only, wait: args.wait };
    let mut done = futures::stream::iter(backups.into_iter().enumerate())
        .map(|(n, (name, backup))| async move { (n, Box::pin(one(app, wishes, name, backup)).await) })
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
    wait: Option<Duration>,
}

async fn one(app: &Arc<App>, wishes: Wishes, name: String, backup: Result<Backup>) -> (JobResult, Option<Error>) {
    let (result, ended) = match backup {
        Ok(backup) if app.run.cancel.is_cancelled() => {
            let result = JobResult::new(name, backup.method);
            failed(result, Error::new(ErrorKind::Cancelled, "interrupted before it began"))
        }
        Ok(backup) if wishes.dry_run => planned(app, &backup).await,
        Ok(backup) => by_hand::run(app, &backup, wishes.wait).await,
        Err(error) => failed(JobResult::new(name, JobMethod::Native), error),
    };
    if result.storages.len() > 1 {
        let lost = result.storages.iter().filter(|storage| storage.outcome == Outcome::Failed);
        lost.filter_map(|storage| storage.cause.as_ref()).for_each(|error| app.out.error(error, "backup"));
    }
    let error = ended.err();
    if let Some(error) = error.as_ref().filter(|_| wishes.several) {
        app.out.note(&format!("{} failed", result.job));
        app.out.error(error, "backup");
    }
    (result, error)
}

fn failed(mut result: JobResult, error: Error) -> (JobResult, Result<()>) {
    result.fail(&error);
    (result, Err(error))
}

/// What would be done. Nobody is told of it.
async fn planned(app: &App, backup: &Backup) -> (JobResult, Result<()>) {
    let mut result = JobResult::new(backup.name.clone().unwrap_or_default(), backup.method);
    let run = app.run_with(backup.limits.clone());
    let ended = match backup.task(app, true) {
        Ok(task) => task.run(app, &run, &mut result).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => (result, Ok(())),
        Err(error) => failed(result, error),
    }
}

/// The jobs to run, each with its name; a job that cannot be made ready does not stop the others.
fn backups(app: &App, args: &BackupArgs) -> Result<Vec<(String, Result<Backup>)>> {
    if let Some(text) = &args.source {
        let storages = if args.to.is_empty() { jobs::fallback(app)? } else { args.to.clone() };
        let backup = Backup {
            name: args.job.clone(),
            source: Source::parse(text)?,
            storages: jobs::resolved(app, storages)?,
            options: BackupOptions::new(),
            retention: None,
            limits: app.run.limits.clone(),
            method: JobMethod::Native,
            timeout: None,
        };
        return Ok(vec![(args.job.clone().unwrap_or_default(), Ok(args.over(backup)))]);
    }
    let jobs = config::jobs(&app.config, &args.name)?;
    if jobs.is_empty() {
        let message = "no source was given, and no configuration with jobs was found";
        return Err(usage(message, "name a database: kronos backup app.db --to /srv/backups"));
    }
    let ready = |(name, job): (&str, &_)| {
        let backup = Backup::of_job(app, name, job, &args.to).map(|backup| args.over(backup));
        (name.to_owned(), backup)
    };
    Ok(jobs.into_iter().map(ready).collect())
}

impl BackupArgs {
    /// Jobs of the configuration, with nothing else said.
    pub(crate) fn of_jobs(names: Vec<String>, wait: Option<Duration>) -> Self {
        Self {
            source: None,
            to: Vec::new(),
            job: None,
            name: names,
            jobs: 1,
            method: None,
            strategy: None,
            exclude: Vec::new(),
            parallel: None,
            slow_storage: None,
            tag: Vec::new(),
            wait,
            dry_run: false,
        }
    }

    /// Flags win over the job's own settings, and add to its patterns and tags.
    fn over(&self, mut backup: Backup) -> Backup {
        backup.options = options(self, backup.options);
        backup.limits.parallel = self.parallel.map_or(backup.limits.parallel, usize::from);
        backup.method = self.method.map_or(backup.method, Method::job);
        backup
    }
}

fn options(args: &BackupArgs, mut options: BackupOptions) -> BackupOptions {
    options.exclude.extend(args.exclude.iter().cloned());
    options.tags.extend(args.tag.iter().cloned());
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
