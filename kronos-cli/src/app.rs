//! What every command is handed, and the way from the command line to the exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use kronos_core::{Error, ErrorKind, Limits, Registry, Result, RunContext};
use kronos_service::Config;

use crate::args::{Cli, Command, Global};
use crate::commands;
use crate::config;
use crate::errors::Exit;
use crate::interrupt;
use crate::keys::Keys;
use crate::known::Known;
use crate::output::Output;
use crate::progress::Progress;

/// What every command is handed.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) out: Arc<Output>,
    pub(crate) registry: Registry,
    pub(crate) config: Config,
    pub(crate) known: Known,
    pub(crate) run: RunContext,
    /// Held while a repository is made: several jobs may meet on one empty storage.
    pub(crate) making: tokio::sync::Mutex<()>,
    global: Global,
    warned: Arc<AtomicBool>,
}

impl App {
    fn new(global: Global, out: Arc<Output>) -> Result<Self> {
        let mut registry = Registry::new();
        kronos_connectors::register(&mut registry);
        kronos_storage::register_with(&mut registry, &(Arc::new(|name: &str| config::variable(name)) as _));
        let warned = Arc::new(AtomicBool::new(false));
        let observer = Arc::new(Progress::new(Arc::clone(&out), Arc::clone(&warned)));
        let config = config::load(global.config.as_deref())?;
        let limits = config::base_limits(&config);
        Ok(Self {
            registry,
            config,
            known: Known::of_user(global.accept_new_repository),
            run: RunContext::new().with_observer(observer).with_limits(limits),
            making: tokio::sync::Mutex::new(()),
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
        let observer = Arc::new(Progress::new(Arc::clone(&self.out), Arc::clone(&self.warned)));
        self.run.clone().with_limits(limits).with_observer(observer)
    }

    /// A warning that makes the exit code 3.
    pub(crate) fn warn(&self, text: &str) {
        self.warned.store(true, Ordering::Relaxed);
        self.out.warn(text);
    }
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    // Prints help and errors by itself, and exits with 0 or 2.
    let cli = Cli::parse();
    let out = Arc::new(Output::new(cli.global.json, cli.global.quiet, cli.global.verbose));
    let name = commands::name(&cli.command);
    let ended = match &cli.command {
        // These need no configuration, and no keys that may be missing.
        Command::Completions(args) => Ok(commands::completions::run(args, &out)),
        Command::Man(args) => commands::man::run(args, &out),
        _ => start(cli, Arc::clone(&out)),
    };
    let exit = ended.unwrap_or_else(|error| {
        out.error(&error, name);
        Exit::of(&error)
    });
    ExitCode::from(exit as u8)
}

fn start(cli: Cli, out: Arc<Output>) -> Result<Exit> {
    let app = Arc::new(App::new(cli.global, out)?);
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|e| Error::new(ErrorKind::Io, "the runtime could not be started").with_source(e))?;
    let ended = runtime.block_on(async {
        interrupt::watch(&app);
        commands::run(&app, cli.command).await
    });
    match ended {
        // However the stop came through, it was the user's.
        Err(_) if app.run.cancel.is_cancelled() => Err(Error::new(ErrorKind::Cancelled, "interrupted")),
        Ok(Exit::Failed) if app.run.cancel.is_cancelled() => Ok(Exit::Interrupted),
        Ok(Exit::Done) if app.warned.load(Ordering::Relaxed) => Ok(Exit::Warnings),
        ended => ended,
    }
}
