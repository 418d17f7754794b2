//! What every command is handed, and the way from the command line to the exit code.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Parser;
use kronos_core::{Clock, Error, ErrorKind, Limits, Registry, Result, RunContext, SystemClock};
use kronos_service::logs::LogWatch;
use kronos_service::metrics::Metrics;
use kronos_service::{Config, Effective, Problems};

use crate::args::{Cli, Command, Global};
use crate::commands;
use crate::company::{Watchers, names};
use crate::config;
use crate::errors::Exit;
use crate::interrupt;
use crate::keys::Keys;
use crate::known::Known;
use crate::logs;
use crate::output::Output;
use crate::progress::Progress;

/// What every command is handed.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) out: Arc<Output>,
    pub(crate) registry: Registry,
    pub(crate) config: Config,
    pub(crate) effective: Effective,
    pub(crate) known: Known,
    pub(crate) run: RunContext,
    /// Held while a repository is made: several jobs may meet on one empty storage.
    pub(crate) making: tokio::sync::Mutex<()>,
    /// The figures of this process.
    pub(crate) metrics: Metrics,
    pub(crate) watchers: OnceLock<Watchers>,
    /// How the log does, where there is one.
    pub(crate) log: OnceLock<LogWatch>,
    global: Global,
    warned: Arc<AtomicBool>,
}

impl App {
    fn new(global: Global, out: &Arc<Output>) -> Result<Self> {
        let metrics = Metrics::new(SystemClock.now());
        let app = Self::with_metrics(global, Arc::clone(out), metrics);
        let app = app.map_err(|problems| all_but_last(problems, out))?;
        app.metrics.configure(&names(&app.config));
        Ok(app)
    }

    /// The same program by the configuration as it is now.
    pub(crate) fn renewed(&self) -> Result<Self, Problems> {
        let mut renewed = Self::with_metrics(self.global.clone(), Arc::clone(&self.out), self.metrics.clone())?;
        renewed.log.clone_from(&self.log);
        renewed.run = self.run.clone().with_limits(renewed.run.limits);
        Ok(renewed)
    }

    fn with_metrics(global: Global, out: Arc<Output>, metrics: Metrics) -> Result<Self, Problems> {
        let mut registry = Registry::new();
        kronos_connectors::register(&mut registry);
        kronos_storage::register_with(&mut registry, &(Arc::new(|name: &str| config::variable(name)) as _));
        let warned = Arc::new(AtomicBool::new(false));
        let loaded = config::load(global.config.as_deref())?;
        let config = loaded.config;
        let limits = config::base_limits(&config);
        Ok(Self {
            registry,
            config,
            effective: loaded.effective,
            known: Known::of_user(global.accept_new_repository),
            run: observed(RunContext::new().with_limits(limits), &out, &warned),
            making: tokio::sync::Mutex::new(()),
            metrics,
            watchers: OnceLock::new(),
            log: OnceLock::new(),
            global,
            out,
            warned,
        })
    }

    /// Those of flags and environment, else those of the configuration.
    pub(crate) fn keys(&self) -> Result<Keys> {
        Keys::read(&self.global, self.config.encryption.as_ref())
    }

    /// A context for one of several operations, with its own progress bar.
    pub(crate) fn run_with(&self, limits: Limits) -> RunContext {
        observed(self.run.clone().with_limits(limits), &self.out, &self.warned)
    }

    /// A warning that makes the exit code 3.
    pub(crate) fn warn(&self, text: &str) {
        self.warned.store(true, Ordering::Relaxed);
        self.out.warn(text);
    }
}

/// Shows what a run does; the log has it already where that is all that is shown.
fn observed(run: RunContext, out: &Arc<Output>, warned: &Arc<AtomicBool>) -> RunContext {
    if out.is_log() {
        return run;
    }
    run.with_observer(Arc::new(Progress::new(Arc::clone(out), Arc::clone(warned))))
}

/// Tells all that is wrong with the configuration but the last, with which the program ends.
fn all_but_last(problems: Problems, out: &Output) -> Error {
    let mut errors = problems.into_errors();
    let last = errors.pop().unwrap_or_else(|| Error::new(ErrorKind::Internal, "a configuration with no problem"));
    for error in &errors {
        out.error(error, "validate");
    }
    last
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    // Prints help and errors by itself, and exits with 0 or 2.
    let cli = Cli::parse();
    let out = Output::new(cli.global.json, cli.global.quiet, cli.global.verbose);
    let out = Arc::new(out.into_log(matches!(cli.command, Command::Daemon(_))));
    let name = commands::name(&cli.command);
    let ended = match &cli.command {
        // These need no configuration, and no keys that may be missing.
        Command::Completions(args) => Ok(commands::completions::run(args, &out)),
        Command::Man(args) => commands::man::run(args, &out),
        Command::Generate(args) => commands::generate::run(args, &out),
        _ => start(cli, &out),
    };
    let exit = ended.unwrap_or_else(|error| {
        out.error(&error, name);
        Exit::of(&error)
    });
    ExitCode::from(exit as u8)
}

fn start(cli: Cli, out: &Arc<Output>) -> Result<Exit> {
    let app = Arc::new(App::new(cli.global, out)?);
    // To be dropped last: waits until every line is written.
    let _logs = logs::open(&app, &cli.command)?;
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|e| Error::new(ErrorKind::Io, "the runtime could not be started").with_source(e))?;
    let ended = runtime.block_on(async {
        interrupt::watch(&app);
        let ended = Box::pin(commands::run(&app, cli.command)).await;
        app.dismiss().await;
        ended
    });
    // Nobody waits for what a thread still waits for, such as a secret after a stop.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        // However the stop came through, it was the user's.
        Err(_) if app.run.cancel.is_cancelled() => Err(Error::new(ErrorKind::Cancelled, "interrupted")),
        Ok(Exit::Failed) if app.run.cancel.is_cancelled() => Ok(Exit::Interrupted),
        Ok(Exit::Done) if app.warned.load(Ordering::Relaxed) => Ok(Exit::Warnings),
        ended => ended,
    }
}
