//! `kronos daemon`: runs the jobs of the configuration by their schedules, until it is stopped.

use std::sync::Arc;

use async_trait::async_trait;
use clap::Args;
use kronos_core::{Error, ErrorKind, Result};
use kronos_service::audit::{Action, Deed, Outcome};
use kronos_service::daemon::{Care, CareHandle, Caretaker, Daemon, DaemonHandle, DaemonSettings, caretaker};
use kronos_service::metrics::{Endpoint, MetricsServer, Readiness};
use kronos_service::store::{JobStore, SqliteStore};
use kronos_service::{Config, JobRunner, Problems, in_full};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::company::names;
use crate::errors::Exit;
use crate::state;

#[derive(Args)]
pub(crate) struct DaemonArgs {}

pub(crate) async fn run(app: &Arc<App>, _: &DaemonArgs) -> Result<Exit> {
    // From here on signals are for us: one that comes while all is made ready is not lost.
    let hangup = signal(SignalKind::hangup())
        .map_err(|e| Error::new(ErrorKind::Io, "the signal to read the configuration cannot be had").with_source(e))?;
    let jobs = app.scheduled()?;
    if jobs.is_empty() {
        return Err(Error::new(ErrorKind::Config, "no job has a schedule: there is nothing to wait for")
            .with("hint", "give a job of the configuration one, such as schedule = \"@daily\""));
    }
    let care = made_ready(app, care_of).await?;
    let store = Arc::new(app.job_store().await?);
    let server = match app.config.metrics.listen {
        Some(address) => Some(MetricsServer::bind(address).await?),
        None => None,
    };
    let (observer, events) = caretaker();
    let runner = Arc::new(JobRunner::new(Arc::clone(app) as _));
    let parts = state::parts("kronos daemon", Arc::clone(&store), Arc::clone(&runner) as _, observer);
    let (daemon, handle) = Daemon::new(settings(&app.config), jobs, parts.clone());
    let (caretaker, care) = Caretaker::new(parts, care, events);

    app.deed(deed(Action::Start, Outcome::Succeeded)).await;
    let (no_more_news, no_more_requests) = (CancellationToken::new(), CancellationToken::new());
    let caring = tokio::spawn(caretaker.run(no_more_news.clone()));
    let serving = server.map(|server| {
        tracing::info!(event = "metrics.listening", address = %server.address(), "metrics can be read");
        let endpoint =
            Endpoint::new(app.metrics.clone(), Arc::new(Ready { store: Arc::clone(&store), care: care.clone() }));
        tokio::spawn(server.serve(endpoint, no_more_requests.clone()))
    });
    let mut working = tokio::spawn(daemon.run());
    let mut reloading = Reloading { app: Arc::clone(app), runner, handle: handle.clone(), care, hangup };
    let ended = tokio::select! {
        ended = &mut working => ended,
        () = app.run.cancel.cancelled() => {
            handle.stop();
            working.await
        }
        () = reloading.forever() => unreachable!("it waits for further signals"),
    };
    no_more_news.cancel();
    let cared = caring.await;
    no_more_requests.cancel();
    if let Some(serving) = serving {
        // It has nothing to tell.
        let _ = serving.await;
    }
    let ended = ended.and_then(|ended| cared.map(|()| ended));
    let ended = ended.map_err(|e| Error::new(ErrorKind::Internal, "the daemon panicked").with_source(e)).flatten();
    let outcome = if ended.is_ok() { Outcome::Succeeded } else { Outcome::Failed };
    reloading.app.deed(deed(Action::Stop, outcome)).await;
    ended.map(|()| Exit::Done)
}

fn deed(action: Action, outcome: Outcome) -> Deed {
    Deed::new(action, "kronos daemon", outcome).with("version", env!("CARGO_PKG_VERSION"))
}

fn settings(config: &Config) -> DaemonSettings {
    DaemonSettings {
        parallel: config.daemon.parallel,
        per_source: config.daemon.per_source,
        stop_within: config.daemon.stop_within,
    }
}

/// What would be left out of a run by hand keeps the daemon from starting: nobody would see it.
fn check(app: &App) -> Result<()> {
    let watchers = app.watchers();
    match watchers.troubles.first() {
        Some(trouble) => {
            let error = Error::new(trouble.kind(), in_full(trouble));
            Err(trouble.context("hint").into_iter().fold(error, |error, hint| error.with("hint", hint)))
        }
        None => Ok(()),
    }
}

/// Does on a thread of its own what may wait for secrets; a stop does not wait for it.
async fn made_ready<T: Send + 'static, E: Send + 'static + From<Error>>(
    app: &Arc<App>,
    make: impl FnOnce(&App) -> std::result::Result<T, E> + Send + 'static,
) -> std::result::Result<T, E> {
    let on = Arc::clone(app);
    let ready = app.run.cancel.run_until_cancelled(tokio::task::spawn_blocking(move || make(&on)));
    match ready.await {
        Some(ready) => {
            ready.unwrap_or_else(|e| Err(Error::new(ErrorKind::Internal, "it panicked").with_source(e).into()))
        }
        None => Err(Error::new(ErrorKind::Cancelled, "interrupted").into()),
    }
}

fn care_of(app: &App) -> Result<Care> {
    check(app)?;
    let watchers = app.watchers();
    let several = app.config.jobs.iter().filter(|(_, job)| job.storages.len() > 1);
    Ok(Care {
        jobs: app.scheduled()?,
        backups: several.map(|(name, _)| name.clone()).collect(),
        notifier: watchers.notifier.clone(),
        channels: app.config.jobs.iter().map(|(name, job)| (name.clone(), job.notify.clone())).collect(),
        audit: watchers.audit.clone(),
        metrics: app.metrics.clone(),
        log_health: app.log.get().cloned(),
    })
}

/// The daemon can do its work as long as it can note what it does.
#[derive(Debug)]
struct Ready {
    store: Arc<SqliteStore>,
    care: CareHandle,
}

#[async_trait]
impl Readiness for Ready {
    async fn ready(&self) -> Result<()> {
        self.store.queued().await?;
        self.care.ready()
    }
}

/// Reads the configuration anew at each SIGHUP. A broken one changes nothing.
struct Reloading {
    app: Arc<App>,
    runner: Arc<JobRunner>,
    handle: DaemonHandle,
    care: CareHandle,
    hangup: Signal,
}

impl Reloading {
    async fn forever(&mut self) {
        while self.hangup.recv().await.is_some() {
            let outcome = match self.reload().await {
                Ok(()) => Outcome::Succeeded,
                Err(problems) => {
                    for error in problems.into_errors() {
                        let error = in_full(&error);
                        tracing::error!(event = "config.refused", error, "the configuration is as it was");
                    }
                    Outcome::Failed
                }
            };
            self.app.metrics.reloaded(self.app.run.clock.now(), outcome == Outcome::Succeeded);
            self.app.deed(deed(Action::Reload, outcome)).await;
        }
        std::future::pending::<()>().await;
    }

    async fn reload(&mut self) -> Result<(), Problems> {
        let renewed = |app: &App| -> Result<_, Problems> {
            let app = app.renewed()?;
            let (jobs, care) = (app.scheduled()?, care_of(&app)?);
            Ok((Arc::new(app), jobs, care))
        };
        let (app, jobs, care) = made_ready(&self.app, renewed).await?;
        for key in self.needs_a_start(&app.config) {
            tracing::warn!(event = "config.later", key, "the new value holds from the next start on");
        }
        for warning in &app.config.warnings {
            tracing::warn!(event = "config.warning", "{warning}");
        }
        let count = jobs.len();
        app.metrics.configure(&names(&app.config));
        self.runner.replace(Arc::clone(&app) as _);
        self.handle.reload(settings(&app.config), jobs);
        self.care.replace(care);
        self.app = app;
        tracing::info!(event = "config.reloaded", jobs = count, "the configuration was read anew");
        Ok(())
    }

    /// What was opened at the start and stays as it is.
    fn needs_a_start(&self, new: &Config) -> Vec<&'static str> {
        let old = &self.app.config;
        let all = [
            ("daemon.state", old.daemon.state != new.daemon.state),
            ("metrics.listen", old.metrics.listen != new.metrics.listen),
            ("log", old.log != new.log),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
