//! What is wrong with a configuration: everything, not only the first thing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use kronos_core::{Error, ErrorKind};

use super::origin::Layer;
use super::tree::At;

/// All that is wrong with a configuration, in the order of its keys. Never empty.
#[derive(Debug)]
pub struct Problems(Vec<Error>);

impl Problems {
    pub(super) fn of(errors: Vec<Error>) -> Self {
        Self(errors)
    }

    /// Each of them, with file, line and key where it has such.
    pub fn errors(&self) -> &[Error] {
        &self.0
    }

    /// The same, to keep.
    pub fn into_errors(self) -> Vec<Error> {
        self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Error> for Problems {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl From<Problems> for Error {
    /// The first of them, which tells how many more there are.
    fn from(problems: Problems) -> Self {
        let more = problems.0.len().saturating_sub(1);
        let first = problems.0.into_iter().next();
        let first = first.unwrap_or_else(|| Error::new(ErrorKind::Internal, "a configuration with no problem"));
        if more == 0 { first } else { first.with("further problems", more) }
    }
}

/// What readers of a configuration are handed: where values were written, and where to tell what is
/// wrong.
#[derive(Debug)]
pub(super) struct Context<'a> {
    layers: &'a [Layer],
    problems: RefCell<Vec<Error>>,
    /// Keys whose texts are not what they were meant to be: whatever else is wrong with them comes
    /// of that.
    unfinished: RefCell<BTreeSet<String>>,
    warnings: RefCell<Vec<String>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(layers: &'a [Layer]) -> Self {
        Self { layers, problems: RefCell::default(), unfinished: RefCell::default(), warnings: RefCell::default() }
    }

    /// An error at a key; not told yet.
    pub(super) fn wrong(&self, message: impl Into<String>, key: &str, at: At) -> Error {
        let error = Error::new(ErrorKind::Config, message);
        let error = match self.layers.get(at.layer) {
            Some(layer) => layer.place(error, at.line),
            None => error,
        };
        error.with("key", key)
    }

    /// Tells what is wrong.
    pub(super) fn tell(&self, problem: Error) {
        if problem.context("key").is_none_or(|key| !self.unfinished.borrow().contains(key)) {
            self.problems.borrow_mut().push(problem);
        }
    }

    /// Tells what is wrong with a text that a variable could not be put into.
    pub(super) fn tell_unfinished(&self, key: &str, problem: Error) {
        self.problems.borrow_mut().push(problem);
        self.unfinished.borrow_mut().insert(key.to_owned());
    }

    /// Tells what the user should look at.
    pub(super) fn warn(&self, warning: String) {
        self.warnings.borrow_mut().push(warning);
    }

    /// What was told: the warnings, unless something is wrong.
    pub(super) fn finish(self) -> Result<Vec<String>, Problems> {
        let problems = self.problems.into_inner();
        if problems.is_empty() { Ok(self.warnings.into_inner()) } else { Err(Problems(problems)) }
    }
}
