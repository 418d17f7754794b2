//! What TOML and YAML have in common: values that know their line.

use kronos_core::{Error, ErrorKind};

/// A value and the line, from 1, where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// `expanded` tells that a variable was put in: such a text may stand for a number.
    Text {
        text: String,
        expanded: bool,
    },
    Integer(i64),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// A key without a value, as YAML has it.
    Nothing,
    Flag(bool),
    /// What no key of the configuration is: a float, a date.
    Other(&'static str),
}

/// One key of a table.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) node: Node,
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), expanded: false }
    }

    /// What it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "a text",
            Self::Integer(_) => "a number",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Nothing => "nothing",
            Self::Flag(_) => "true or false",
            Self::Other(kind) => kind,
        }
    }
}

/// A key within a section.
pub(super) fn path(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// An error at a key.
pub(super) fn wrong(message: impl Into<String>, key: &str, line: usize) -> Error {
    Error::new(ErrorKind::Config, message).with("key", key).with("line", line)
}
