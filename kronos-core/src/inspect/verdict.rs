//! What a statement would do, as judged before it runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad it would be if the statement was a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing would be lost: it reads, in ways that are known to change nothing.
    Safe,
    /// It changes rows that it names.
    Low,
    /// It does something that may have effects beyond its result: an unknown function, a setting, a lock.
    Medium,
    /// It changes whole tables, rights or definitions, or cannot be understood.
    High,
    /// It destroys, reads or writes files of the server, runs programs or stops the server.
    Critical,
}

/// What a statement touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Nothing.
    Reads,
    /// The session: settings, transactions, prepared statements, locks.
    Session,
    /// Rows.
    Writes,
    /// Definitions: tables, views, functions, indexes.
    Defines,
    /// The server: users, rights, settings, files, other sessions.
    Administers,
    /// It was not understood.
    Unknown,
}

/// One thing that was found in a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in one line: `DELETE without WHERE changes every row of orders`.
    pub text: String,
}

/// What a statement would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The worst of the reasons; `Safe` without any.
    pub severity: Severity,
    /// The most that it touches.
    pub effect: Effect,
    /// How many statements the text has. More than one never runs.
    pub statements: usize,
    /// It would destroy, or might, and is not to be run without a thought.
    pub is_dangerous: bool,
    /// It runs only when the caller says so.
    pub requires_confirmation: bool,
    /// Everything that was found, the worst first.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// A verdict of what was found.
    pub fn new(effect: Effect, statements: usize, mut reasons: Vec<Reason>) -> Self {
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.severity));
        reasons.dedup();
        let severity = reasons.first().map_or(Severity::Safe, |reason| reason.severity);
        Self {
            severity,
            effect,
            statements,
            is_dangerous: severity >= Severity::High,
            requires_confirmation: severity >= Severity::Medium,
            reasons,
        }
    }

    /// Whether it changes nothing, as far as could be understood.
    pub fn is_safe(&self) -> bool {
        self.severity == Severity::Safe && self.effect <= Effect::Session
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.reasons.first() else { return f.write_str("it only reads") };
        f.write_str(&first.text)?;
        for reason in &self.reasons[1..] {
            write!(f, "; {}", reason.text)?;
        }
        Ok(())
    }
}
