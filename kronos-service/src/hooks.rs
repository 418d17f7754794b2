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
//! let mut report = RunReport::begin(Id([7; 16]), Operation::Backup, "shop", Trigger::Manual, now);
//! // An error here stops the run.
//! hooks.before(&report).await?;
//! // What goes wrong here becomes a warning of the report.
//! hooks.ended(&mut report).await;
//! # Ok::<(), kronos_core::Error>(())
//! # }).unwrap();
//! ```

mod program;
mod settings;

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Result};

pub use self::settings::{Hook, HookCommand, HookSettings};
use crate::audit::name_of;
use crate::config::Environment;
use crate::failure::in_full;
use crate::report::{Ended, RunReport};

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

    /// Runs the hook `before`. An error means that the job must not run.
    pub async fn before(&self, report: &RunReport) -> Result<()> {
        match &self.settings.before {
            Some(hook) => self.run(hook, "before", "running", report).await,
            None => Ok(()),
        }
    }

    /// Runs `on_failure` when the run has failed or was stopped, else `after`. What goes wrong in it is
    /// added to the report as a warning, and changes nothing about how the run ended.
    pub async fn ended(&self, report: &mut RunReport) {
        let has_failed = matches!(report.ended, Ended::Failed | Ended::Cancelled);
        let (name, hook) =
            if has_failed { ("on_failure", &self.settings.on_failure) } else { ("after", &self.settings.after) };
        let Some(hook) = hook else { return };
        if let Err(error) = self.run(hook, name, &name_of(report.ended), report).await {
            report.warnings.push(in_full(&error));
        }
    }

    async fn run(&self, hook: &Hook, name: &'static str, outcome: &str, report: &RunReport) -> Result<()> {
        let input = serde_json::to_vec(report)
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
        program::run(hook, name, variables, input, secrets).await
    }
}

/// A shorter value, such as `1`, is no secret, and to hide it would hide much else.
const SHORTEST_SECRET: usize = 6;
