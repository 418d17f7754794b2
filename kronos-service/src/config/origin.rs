//! Where values of a configuration come from.

use std::path::{Path, PathBuf};

use kronos_core::Error;
use serde::Serialize;

/// The layers of a configuration, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// What holds when nothing is written.
    Default,
    /// The file of the system.
    System,
    /// The file of the user.
    User,
    /// The file of the project, or the one that was named.
    Project,
    /// Variables such as `KRONOS__JOBS__SHOP__SCHEDULE`.
    Environment,
    /// What was said for this one run.
    Flags,
}

impl LayerKind {
    /// Its name, as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::System => "system",
            Self::User => "user",
            Self::Project => "project",
            Self::Environment => "environment",
            Self::Flags => "flags",
        }
    }
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The layer that has it.
    pub layer: LayerKind,
    /// Its file, if the layer is one.
    pub file: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// The variable, or the key as it was given for this one run.
    pub variable: Option<String>,
}

impl Origin {
    /// The origin of what nobody has written.
    pub(super) fn default_value() -> Self {
        Self { layer: LayerKind::Default, file: None, line: None, variable: None }
    }

    /// In a few words: `kronos.toml:12`, `KRONOS__LOG__LEVEL`, `default`.
    pub fn describe(&self) -> String {
        match (&self.file, self.line, &self.variable) {
            (Some(file), Some(line), _) => format!("{}:{line}", file.display()),
            (None, Some(line), _) => format!("line {line}"),
            (_, None, Some(variable)) => variable.clone(),
            (Some(file), None, None) => file.display().to_string(),
            (None, None, None) => self.layer.name().to_owned(),
        }
    }
}

/// One layer, without its values.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) kind: LayerKind,
    pub(super) place: Place,
}

/// What a layer is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A text without a name.
    Text,
    File(PathBuf),
    /// Variables of the environment by name.
    Variables(Vec<String>),
    /// Keys that were set for this one run.
    Settings(Vec<String>),
}

impl Layer {
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File(file) => Some(file),
            _ => None,
        }
    }

    /// An error with the place where the value stands.
    pub(super) fn place(&self, error: Error, line: usize) -> Error {
        match &self.place {
            Place::Text => error.with("line", line),
            Place::File(file) => error.with("file", file.display()).with("line", line),
            Place::Variables(names) => error.with("variable", name(names, line)),
            Place::Settings(keys) => error.with("given", name(keys, line)),
        }
    }

    pub(super) fn origin(&self, line: usize) -> Origin {
        let (file, line, variable) = match &self.place {
            Place::Text => (None, Some(line), None),
            Place::File(file) => (Some(file.clone()), Some(line), None),
            Place::Variables(names) | Place::Settings(names) => (None, None, Some(name(names, line).to_owned())),
        };
        Origin { layer: self.kind, file, line, variable }
    }
}

/// Entries are numbered from 1, as lines are.
fn name(names: &[String], number: usize) -> &str {
    names.get(number.saturating_sub(1)).map_or("", String::as_str)
}
