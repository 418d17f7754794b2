//! What the configuration says of a job's hooks.

use std::time::Duration;

/// How a hook is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookCommand {
    /// One line, read by `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments; no shell reads them.
    Program(Vec<String>),
}

/// One hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What is started.
    pub command: HookCommand,
    /// How long it may take, by default 60 s. Then it is asked to end, and killed 5 s later.
    pub timeout: Duration,
}

impl Hook {
    /// The longest time of a hook when nothing else is said.
    pub const TIMEOUT: Duration = Duration::from_mins(1);

    /// A hook with the default timeout.
    pub fn new(command: HookCommand) -> Self {
        Self { command, timeout: Self::TIMEOUT }
    }
}

/// The hooks of a job; by default none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HookSettings {
    /// Before the job: when it fails, the job does not run, and counts as failed.
    pub before: Option<Hook>,
    /// After a run that did not fail.
    pub after: Option<Hook>,
    /// After a run that failed or was stopped.
    pub on_failure: Option<Hook>,
    /// Names of variables that hooks get besides `PATH`, `HOME`, `LANG` and those of Kronos.
    pub env: Vec<String>,
}
