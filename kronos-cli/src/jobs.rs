//! The jobs of the configuration, made ready to run: engines, keys and environment are known here.

use std::sync::Arc;
use std::time::Duration;

use kronos_core::{BackupOptions, Connector, Error, ErrorKind, Limits, Result, Retention, RunContext};
use kronos_service::daemon::ScheduledJob;
use kronos_service::schedule::Schedule;
use kronos_service::store::Task;
use kronos_service::{BackupTask, CatchUpTask, Company, Job, JobMethod, JobSource, Jobs, StorageChoice, mask};

use crate::app::App;
use crate::config::{self, variable};
use crate::source::Source;

/// A backup as it will be made, of a job of the configuration or of what flags say.
#[derive(Debug)]
pub(crate) struct Backup {
    /// The job's name; that of the source's database when absent.
    pub(crate) name: Option<String>,
    pub(crate) source: Source,
    /// Locations; each gets the backup.
    pub(crate) storages: Vec<StorageChoice>,
    pub(crate) options: BackupOptions,
    /// What is kept once the backup is made.
    pub(crate) retention: Option<Retention>,
    pub(crate) limits: Limits,
    pub(crate) method: JobMethod,
    /// How long it may take.
    pub(crate) timeout: Option<Duration>,
}

impl Backup {
    /// What a job of the configuration does; `to` wins over its own storages.
    pub(crate) fn of_job(app: &App, name: &str, job: &Job, to: &[String]) -> Result<Self> {
        let mut options = BackupOptions::new();
        options.exclude.clone_from(&job.exclude);
        options.tags.clone_from(&job.tags);
        options.compression = job.compression.unwrap_or(options.compression);
        if let Some(strategy) = job.strategy {
            options.strategy = strategy.strategy();
        }
        options.slow = job.slow_storage.unwrap_or_default();
        Ok(Self {
            name: Some(name.to_owned()),
            source: config::source(&app.config, job)?,
            storages: storages(app, job, to)?,
            options,
            retention: job.retention(),
            limits: config::limits(app.run.limits.clone(), job),
            method: job.method.unwrap_or(JobMethod::Native),
            timeout: job.limits.timeout,
        })
    }

    /// Connects to the source.
    pub(crate) fn task(&self, app: &App, dry_run: bool) -> Result<BackupTask> {
        Ok(BackupTask {
            connector: self.connect(app)?,
            job: self.name.clone(),
            storages: self.storages.clone(),
            method: self.method,
            options: self.options.clone(),
            retention: self.retention.clone(),
            dry_run,
        })
    }

    /// The connector; told by which method it reads, if it has more than one.
    fn connect(&self, app: &App) -> Result<Arc<dyn Connector>> {
        let mut source = self.source.clone();
        if self.method == JobMethod::Tool {
            if !source.has_tools() {
                return Err(Error::new(ErrorKind::Unsupported, "this engine has no backups with a tool of its own")
                    .with("engine", &source.engine)
                    .with("hint", "leave --method out, or write --method native"));
            }
            source.settings.options.insert("method".to_owned(), "tool".to_owned());
        }
        source.connect(&app.registry)
    }
}

fn storages(app: &App, job: &Job, to: &[String]) -> Result<Vec<StorageChoice>> {
    match (to.is_empty(), config::storages(&app.config, job)?) {
        (false, _) => resolved(app, to.to_vec()),
        (true, own) if own.is_empty() => resolved(app, fallback(app)?),
        (true, own) => Ok(own),
    }
}

/// The storage of the environment, or the configuration's only one.
pub(crate) fn fallback(app: &App) -> Result<Vec<String>> {
    match variable("KRONOS_STORAGE").filter(|url| !url.is_empty()) {
        Some(url) => Ok(vec![url]),
        None if app.config.storages.len() == 1 => {
            app.config.storages.values().map(|storage| storage.location(&variable)).collect()
        }
        None => Ok(Vec::new()),
    }
}

/// Storages, each once, of names and locations.
pub(crate) fn resolved(app: &App, given: Vec<String>) -> Result<Vec<StorageChoice>> {
    if given.is_empty() {
        app.storage_url(None, "--to")?;
    }
    let mut storages: Vec<StorageChoice> = Vec::new();
    for given in given {
        let location = app.storage_url(Some(&given), "--to")?;
        if storages.iter().any(|there| there.location == location) {
            continue;
        }
        let name = if app.config.storages.contains_key(&given) { Some(given) } else { app.storage_name(&location) };
        storages.push(StorageChoice { name, location });
    }
    Ok(storages)
}

impl App {
    /// A job of the configuration.
    fn job(&self, name: &str) -> Result<&Job> {
        let missing = || Error::new(ErrorKind::NotFound, "the configuration has no such job").with("job", name);
        self.config.jobs.get(name).ok_or_else(missing)
    }

    /// What the jobs of one server have in common.
    fn server(&self, name: &str) -> String {
        match self.config.databases.get(name) {
            Some(database) if database.engine.as_str() != "sqlite" => {
                let (host, port) = (database.host.as_deref().unwrap_or_default(), database.port.unwrap_or_default());
                format!("{} {host}:{port}", database.engine)
            }
            _ => name.to_owned(),
        }
    }

    /// The jobs that have a schedule.
    pub(crate) fn scheduled(&self) -> Result<Vec<ScheduledJob>> {
        let mut scheduled = Vec::new();
        for (name, job) in &self.config.jobs {
            let Some(settings) = &job.schedule else { continue };
            let schedule = Schedule::new(settings).map_err(|e| e.with("job", name))?;
            // Databases of one server share it.
            let source = match &job.source {
                JobSource::Database(name) => self.server(name),
                JobSource::Url(url) => mask(url.expose()),
            };
            scheduled.push(ScheduledJob { task: Task::backup(name), source, schedule });
        }
        Ok(scheduled)
    }
}

impl Jobs for App {
    fn backup(&self, job: &str) -> Result<BackupTask> {
        Backup::of_job(self, job, self.job(job)?, &[])?.task(self, false)
    }

    fn catch_up(&self, job: &str) -> Result<CatchUpTask> {
        let of = self.job(job)?;
        let storages = storages(self, of, &[])?;
        Ok(CatchUpTask { job: job.to_owned(), storages, retention: of.retention() })
    }

    fn context(&self, job: &str) -> RunContext {
        let limits = self.run.limits.clone();
        let limits = match self.config.jobs.get(job) {
            Some(job) => config::limits(limits, job),
            None => limits,
        };
        self.run_with(limits)
    }

    fn company(&self, job: &str) -> Company {
        self.watchers().company(&self.config, job)
    }
}
