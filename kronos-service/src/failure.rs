//! Errors as text, without secrets: one line, the causes beneath it, and both as a record.

use std::path::Path;

use kronos_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::mask::mask;

/// Context that becomes a hint and is not shown in the error's line.
const HINTS: [&str; 4] = ["hint", "did you mean", "cargo feature", "known"];

/// What the operating system says of the file at `path`.
pub(crate) fn of_file(error: std::io::Error, message: &str, path: &Path) -> Error {
    Error::new(ErrorKind::from(error.kind()), message).with("path", path.display()).with_source(error)
}

/// The error in one line, without its causes.
pub fn line(error: &Error) -> String {
    let context: Vec<String> = error
        .contexts()
        .filter(|(key, _)| !HINTS.contains(key))
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    let line = if context.is_empty() {
        error.message().to_owned()
    } else {
        format!("{} ({})", error.message(), context.join(", "))
    };
    mask(&line).replace(['\n', '\r'], " ")
}

/// The lines of errors beneath it, outermost first, without those that say nothing new.
pub fn causes(error: &Error) -> Vec<String> {
    let mut shown = line(error);
    let mut causes = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause.downcast_ref::<Error>().map_or_else(|| mask(&cause.to_string()), line);
        let text = text.trim().replace('\n', "; ");
        if !shown.contains(text.rsplit(": ").next().unwrap_or(&text)) {
            shown.push_str(&text);
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

/// The error and its causes in one line.
pub fn in_full(error: &Error) -> String {
    let mut lines = vec![line(error)];
    lines.extend(causes(error));
    lines.join(": ")
}

/// An error as reports hold it: without secrets, and without its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The name of its kind, such as `connection-failed`.
    pub kind: String,
    /// One line.
    pub message: String,
    /// What was beneath it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do about it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// The error, with its causes and its own hint.
    pub fn of(error: &Error) -> Self {
        let hint = error.context("hint").map(mask);
        Self { kind: error.kind().name().to_owned(), message: line(error), causes: causes(error), hint }
    }
}
