//! One thing to be told: what happened, to what, since when, and what to do.

use kronos_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::occasion::{Occasion, Severity};
use crate::failure::Failure;
use crate::mask::mask;
use crate::report::{Operation, RunReport};

/// Warnings of one run that are told, and bytes of one text.
const WARNINGS: usize = 20;
const TEXT: usize = 2000;

/// One thing to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notice {
    /// What it is about.
    pub occasion: Occasion,
    /// How grave it is.
    pub severity: Severity,
    /// One line that says it all, such as `shop: backup failed`.
    pub title: String,
    /// The job.
    pub job: String,
    /// The storage, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// When it began, for what lasts or has lasted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How many runs in a row it has met.
    pub times: u32,
    /// When the job last had a good run of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Timestamp>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What else there is to say, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The run, as `kronos.run/1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RunReport>,
    /// What lasts; nothing for what happens once.
    #[serde(skip)]
    pub(super) subject: Option<String>,
}

impl Notice {
    pub(super) fn new(occasion: Occasion, severity: Severity, job: &str, at: Timestamp, title: &str) -> Self {
        Self {
            occasion,
            severity,
            title: cut(&title.replace(['\n', '\r'], " "), 200),
            job: job.to_owned(),
            storage: None,
            at,
            since: None,
            times: 1,
            last_good: None,
            error: None,
            details: Vec::new(),
            hint: None,
            report: None,
            subject: None,
        }
    }

    /// With the run it is about, and its error.
    pub(super) fn of(mut self, report: &RunReport) -> Self {
        self.report = Some(clean(report));
        self
    }

    pub(super) fn with_error(mut self, error: Option<&Failure>) -> Self {
        self.error = error.map(clean_failure);
        self.hint = error.and_then(advice);
        self
    }

    /// What lasts, as a name under which channels remember that they were told.
    pub(super) fn about(mut self, subject: String) -> Self {
        self.subject = Some(subject);
        self
    }
}

/// An operation in the words of people.
pub(super) fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Backup => "backup",
        Operation::Restore => "restore",
        Operation::Verify => "verification",
        Operation::Prune => "pruning",
        Operation::CatchUp => "catching up",
    }
}

/// The report as it may leave the machine: without secrets, and not longer than anybody reads.
fn clean(report: &RunReport) -> RunReport {
    let mut report = report.clone();
    report.source = report.source.as_deref().map(mask);
    for lines in [&mut report.warnings, &mut report.notes] {
        let more = lines.len().saturating_sub(WARNINGS);
        lines.truncate(WARNINGS);
        for line in lines.iter_mut() {
            *line = text(line);
        }
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
    }
    report.error = report.error.as_ref().map(clean_failure);
    for storage in &mut report.storages {
        storage.storage = mask(&storage.storage);
        storage.error = storage.error.as_ref().map(clean_failure);
    }
    report
}

fn clean_failure(failure: &Failure) -> Failure {
    Failure {
        kind: failure.kind.clone(),
        message: text(&failure.message),
        causes: failure.causes.iter().take(10).map(|cause| text(cause)).collect(),
        hint: failure.hint.as_deref().map(text),
    }
}

/// Text as it may be sent.
pub(super) fn text(text: &str) -> String {
    cut(&mask(text), TEXT)
}

/// The beginning, in whole characters.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// The error's own hint, else what helps with its kind.
fn advice(failure: &Failure) -> Option<String> {
    if let Some(hint) = &failure.hint {
        return Some(text(hint));
    }
    let hint = match failure.kind.as_str() {
        "config" => "correct the configuration; `kronos validate` names all that is wrong with it",
        "connection-failed" | "timeout" => {
            "check that the other side is up and can be reached; `kronos validate` tries"
        }
        "authentication" => "check login, password or key; `kronos validate` tries them",
        "permission-denied" => "give the user the missing rights; `kronos validate` lists them",
        "pool-exhausted" => "allow more connections, or run fewer jobs at a time",
        "tool-missing" => "`kronos doctor` tells how to get the missing program",
        "storage-full" => "make room; what was stored so far is used by the next run",
        "corrupt" => "`kronos check --read-data` tells what is damaged and which backups are whole",
        "locked" | "conflict" => "see who else works on it; the next run tries again",
        "internal" => "this is a bug in kronos: please report it with this message",
        _ => return None,
    };
    Some(hint.to_owned())
}
