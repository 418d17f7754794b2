//! Commands that run before a job, after it, and when it has failed.
//!
//! ```
//! use std::time::Duration;
//!
//! use kronos_core::{Id, Timestamp};
//! use kronos_service::hooks::{Hook, HookCommand, HookSettings, Hooks};
//! use kronos_service::{Operation, RunReport, Trigger};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let settings = HookSettings {
//!     before: Some(Hook::new(HookCommand::Shell("test \"$KRONOS_JOB\" = shop".to_owned()))),
//!     ..HookSettings::default()
//! };
//! let hooks = Hooks::new(settings, &|name| std::env::var(name).ok());
//! let now = Timestamp::from_micros(0);
//! let report = RunReport::begin(Id([7; 16]), Operation::Backup, "shop", Trigger::Manual, now);
//! // An error here stops the run.
//! hooks.before(&report, &Default::default()).await?;
//! // One here is a warning: what was done is done.
//! hooks.ended(&report).await?;
//! # Ok::<(), kronos_core::Error>(())
//! # }).unwrap();
//! ```

mod program;
mod settings;

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Result};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use self::settings::{Hook, HookCommand, HookSettings};
use crate::audit::name_of;
use crate::config::Environment;
use crate::report::RunReport;

/// What every hook gets of the environment; the rest only by name.
const ALWAYS: [&str; 3] = ["PATH", "HOME", "LANG"];

/// The hooks of one job, with what they get of the environment.
#[derive(Clone)]
pub struct Hooks {
    settings: HookSettings,
    variables: BTreeMap<String, String>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values may be secrets.
        let names: Vec<_> = self.variables.keys().collect();
        f.debug_struct("Hooks").field("settings", &self.settings).field("variables", &names).finish()
    }
}

impl Hooks {
    /// Hooks that see `PATH`, `HOME`, `LANG` and the variables named in the settings, as far as they
    /// are set, and nothing else of the environment.
    pub fn new(settings: HookSettings, environment: Environment<'_>) -> Self {
        let names = ALWAYS.into_iter().chain(settings.env.iter().map(String::as_str));
        let variables = names.filter_map(|name| environment(name).map(|value| (name.to_owned(), value))).collect();
        Self { settings, variables }
    }

    /// Runs the hook `before`, which ends when it is stopped. An error means that the job must not run.
    pub async fn before(&self, report: &RunReport, stop: &CancellationToken) -> Result<()> {
        match &self.settings.before {
            Some(hook) => self.run((hook, "before"), "running", report, stop).await,
            None => Ok(()),
        }
    }

    /// Runs `on_failure` when the run has failed or was stopped, else `after`. An error is one of the hook,
    /// and none of the run.
    pub async fn ended(&self, report: &RunReport) -> Result<()> {
        let (name, hook) = if report.ended.is_well() {
            ("after", &self.settings.after)
        } else {
            ("on_failure", &self.settings.on_failure)
        };
        let Some(hook) = hook else { return Ok(()) };
        // What was stopped as well has to be put right.
        let to_its_end = CancellationToken::new();
        self.run((hook, name), &name_of(report.ended), report, &to_its_end).await
    }

    async fn run(
        &self,
        (hook, name): (&Hook, &'static str),
        outcome: &str,
        report: &RunReport,
        stop: &CancellationToken,
    ) -> Result<()> {
        let input = serde_json::to_vec(&Told { schema: "kronos.run/1", report })
            .map_err(|e| Error::new(ErrorKind::Internal, "a report cannot be written as JSON").with_source(e))?;
        let run = report.run.to_string();
        let mut variables = self.variables.clone();
        for (variable, value) in [
            ("KRONOS_JOB", report.job.as_str()),
            ("KRONOS_RUN", &run),
            ("KRONOS_OPERATION", &name_of(report.operation)),
            ("KRONOS_OUTCOME", outcome),
            ("KRONOS_HOOK", name),
        ] {
            variables.insert(variable.to_owned(), value.to_owned());
        }
        let secrets = self.settings.env.iter().filter_map(|name| self.variables.get(name));
        let secrets = secrets.filter(|value| value.len() >= SHORTEST_SECRET).cloned().collect();
        program::run((hook, name), variables, input, secrets, stop).await
    }
}

/// What a hook reads.
#[derive(Serialize)]
struct Told<'a> {
    schema: &'static str,
    #[serde(flatten)]
    report: &'a RunReport,
}

/// A shorter value, such as `1`, is no secret, and to hide it would hide much else.
const SHORTEST_SECRET: usize = 6;
