//! What TOML, YAML and variables have in common: values that know where they were written.

/// Where a value was written: the number of its layer, and a line in it, from 1. Of a layer without
/// lines, such as the environment, it is the number of the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct At {
    pub(super) layer: usize,
    pub(super) line: usize,
}

impl At {
    /// A line of the only layer there is so far.
    pub(super) fn line(line: usize) -> Self {
        Self { layer: 0, line }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text {
        text: String,
        spelling: Spelling,
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

/// How a text came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spelling {
    /// It stands in a file as it is.
    Plain,
    /// Variables were put in: this is what stands in the file. Such a text may stand for a number.
    Expanded(String),
    /// It came from the environment or a flag, and is taken as it is.
    Literal,
}

/// One key of a table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) at: At,
    pub(super) node: Node,
}

impl Node {
    /// A table without keys.
    pub(super) fn empty() -> Self {
        Self { at: At::line(1), value: Value::Table(Vec::new()) }
    }

    /// Says of this value and all in it that they are of a layer.
    pub(super) fn belongs_to(&mut self, layer: usize) {
        self.at.layer = layer;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.belongs_to(layer)),
            Value::Table(entries) => {
                for entry in entries {
                    entry.at.layer = layer;
                    entry.node.belongs_to(layer);
                }
            }
            _ => {}
        }
    }
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), spelling: Spelling::Plain }
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
