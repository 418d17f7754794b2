//! Everything that is printed goes through here: results to stdout, the rest to stderr.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use indicatif::MultiProgress;
use kronos_core::Error;
use serde::Serialize;

use crate::errors;
use kronos_service::mask;

/// Where a command shows what it has to show.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
    color: bool,
    terminal: bool,
    /// Notes and warnings go into the log.
    log: bool,
    /// Progress bars; messages are printed above them.
    bars: MultiProgress,
    /// Warnings shown, each once.
    warned: Mutex<BTreeSet<String>>,
}

/// What `--json` shows: the fields of a result, and the name of their schema.
#[derive(Serialize)]
struct Document<T> {
    schema: String,
    #[serde(flatten)]
    result: T,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { json, quiet, verbose, color, terminal, log: false, bars: MultiProgress::new(), warned: Mutex::default() }
    }

    /// The same, with notes and warnings in the log.
    pub(crate) fn into_log(self, log: bool) -> Self {
        Self { log, ..self }
    }

    /// Whether notes and warnings go into the log.
    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    /// Whether progress bars may be drawn.
    pub(crate) fn draws(&self) -> bool {
        self.terminal && !self.quiet
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Shows a result: as JSON of the schema `kronos.<name>/1`, or as text made by `text`.
    pub(crate) fn result<T: Serialize>(
        &self,
        name: &str,
        result: &T,
        text: impl FnOnce() -> String,
    ) -> kronos_core::Result<()> {
        if !self.json {
            self.text(&text());
            return Ok(());
        }
        let document = Document { schema: format!("kronos.{name}/1"), result };
        let json = serde_json::to_string_pretty(&document).map_err(|e| {
            Error::new(kronos_core::ErrorKind::Internal, "the result cannot be written as JSON").with_source(e)
        })?;
        self.text(&json);
        Ok(())
    }

    /// Prints to stdout. A reader that has gone away is no failure.
    pub(crate) fn text(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.bars.suspend(|| {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes());
            if !text.ends_with('\n') {
                let _ = out.write_all(b"\n");
            }
            let _ = out.flush();
        });
    }

    /// What happens, unless the user wants it quiet.
    pub(crate) fn note(&self, text: &str) {
        if self.log {
            tracing::info!(event = "notice", "{text}");
        } else if !self.quiet {
            self.stderr(text);
        }
    }

    /// What happens in detail.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            self.stderr(text);
        }
    }

    /// Something to look at; the same text is shown once.
    pub(crate) fn warn(&self, text: &str) {
        let new = self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned());
        if self.log {
            tracing::warn!(event = "warning", "{text}");
        } else if new {
            self.stderr(&format!("{} {text}", self.paint("warning:", "33")));
        }
    }

    /// An error: one line, its causes, a hint.
    pub(crate) fn error(&self, error: &Error, command: &str) {
        let mut lines = vec![format!("{} {}", self.paint("error:", "31"), errors::line(error))];
        let causes = errors::causes(error);
        lines.extend(causes.iter().map(|cause| format!("{} {cause}", self.paint("caused by:", "31"))));
        lines.extend(errors::hint(error, command).map(|hint| format!("{} {hint}", self.paint("hint:", "36"))));
        self.stderr(&lines.join("\n"));
    }

    fn paint(&self, text: &str, color: &str) -> String {
        if self.color { format!("\x1b[1;{color}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn stderr(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(std::io::stderr().lock(), "{}", mask(text));
        });
    }
}

/// Rows in columns, below a heading. Columns whose name starts with `>` are flushed right.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let right: Vec<bool> = heading.iter().map(|name| name.starts_with('>')).collect();
    let heading: Vec<String> = heading.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut text = String::new();
    for row in all {
        let cells =
            row.iter().zip(&widths).zip(&right).map(|((cell, &width), &right)| {
                if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
