//! One table of the configuration: its keys are checked first, then read by type.

use std::time::Duration;

use kronos_core::{Error, Result, nearest};

use super::tree::{Entry, Node, Value, path, wrong};
use super::units;

/// The keys a table may have.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) known: &'static [&'static str],
    /// Keys that are planned. Ignoring them would let a user believe that they work.
    pub(super) later: &'static [&'static str],
}

/// A table, with the key that leads to it.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: String,
    line: usize,
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    pub(super) fn new(path: &str, node: &'a Node, keys: &Keys) -> Result<Self> {
        let section = Self { path: path.to_owned(), line: node.line, entries: table(path, node)? };
        for entry in section.entries {
            let name = entry.name.as_str();
            if keys.later.contains(&name) {
                return Err(section.at(entry, "this key is not in this version yet"));
            }
            if !keys.known.contains(&name) {
                let error = section.at(entry, "unknown key");
                return Err(match nearest(name, keys.known.iter().copied()) {
                    Some(near) => error.with("did you mean", near),
                    None => error.with("known", keys.known.join(" ")),
                });
            }
        }
        Ok(section)
    }

    /// The tables of a table whose keys are names that the user chose.
    pub(super) fn sections(&self, name: &str, keys: &Keys) -> Result<Vec<(String, Section<'a>)>> {
        let Some(entry) = self.find(name) else { return Ok(Vec::new()) };
        let whole = path(&self.path, name);
        let mut sections = Vec::new();
        for inner in table(&whole, &entry.node)? {
            let mut section = Section::new(&path(&whole, &inner.name), &inner.node, keys)?;
            section.line = inner.line;
            sections.push((inner.name.clone(), section));
        }
        Ok(sections)
    }

    /// The same, when the keys of the inner tables are for someone else to know.
    pub(super) fn sections_of_any_keys(&self, name: &str) -> Result<Vec<(String, Section<'a>)>> {
        let Some(entry) = self.find(name) else { return Ok(Vec::new()) };
        let whole = path(&self.path, name);
        let section = |inner: &'a Entry| {
            let path = path(&whole, &inner.name);
            let entries = table(&path, &inner.node)?;
            Ok((inner.name.clone(), Section { path, line: inner.line, entries }))
        };
        table(&whole, &entry.node)?.iter().map(section).collect()
    }

    /// All its keys.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter()
    }

    pub(super) fn section(&self, name: &str, keys: &Keys) -> Result<Option<Section<'a>>> {
        self.find(name).map(|entry| Section::new(&path(&self.path, name), &entry.node, keys)).transpose()
    }

    pub(super) fn find(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An error at one of its keys.
    pub(super) fn at(&self, entry: &Entry, message: impl Into<String>) -> Error {
        wrong(message, &path(&self.path, &entry.name), entry.line)
    }

    /// An error at the section as a whole.
    pub(super) fn wrong(&self, message: impl Into<String>) -> Error {
        wrong(message, &self.path, self.line)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        self.find(name)
            .map(|entry| match &entry.node.value {
                Value::Text { text, .. } => Ok(text.clone()),
                other => Err(self.at(entry, format!("a text belongs here, not {}", other.kind()))),
            })
            .transpose()
    }

    pub(super) fn required(&self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| self.wrong("a key is missing").with("missing", name))
    }

    /// A whole number in a range.
    pub(super) fn number<T: TryFrom<i64>>(&self, name: &str, least: i64) -> Result<Option<T>> {
        let Some(entry) = self.find(name) else { return Ok(None) };
        let number = match &entry.node.value {
            Value::Integer(number) => Some(*number),
            Value::Text { text, expanded: true } => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            return Err(self.at(entry, format!("a whole number belongs here, not {}", entry.node.value.kind())));
        };
        match T::try_from(number) {
            Ok(fits) if number >= least => Ok(Some(fits)),
            _ => Err(self.at(entry, "this number is out of range").with("value", number).with("least", least)),
        }
    }

    /// A list of texts; a single text is a list of one.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(entry) = self.find(name) else { return Ok(None) };
        let items = match &entry.node.value {
            Value::Text { text, .. } => return Ok(Some(vec![text.clone()])),
            Value::List(items) => items,
            other => return Err(self.at(entry, format!("a list of texts belongs here, not {}", other.kind()))),
        };
        let text = |item: &Node| match &item.value {
            Value::Text { text, .. } => Ok(text.clone()),
            other => {
                let message = format!("this list is one of texts, not {}", other.kind());
                Err(wrong(message, &path(&self.path, name), item.line))
            }
        };
        items.iter().map(text).collect::<Result<_>>().map(Some)
    }

    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>> {
        self.measure(name, units::duration, "a time such as \"7d\" or \"1h30m\"")
    }

    pub(super) fn size(&self, name: &str) -> Result<Option<u64>> {
        self.measure(name, units::size, "a size such as \"256MiB\"")
    }

    /// Bytes a second.
    pub(super) fn rate(&self, name: &str) -> Result<Option<u64>> {
        self.measure(name, units::rate, "a speed such as \"50MB/s\"")
    }

    fn measure<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>, what: &str) -> Result<Option<T>> {
        let Some(entry) = self.find(name) else { return Ok(None) };
        let Value::Text { text, .. } = &entry.node.value else {
            return Err(self.at(entry, format!("{what} belongs here, not {}", entry.node.value.kind())));
        };
        read(text).map(Some).ok_or_else(|| self.at(entry, format!("{what} belongs here")).with("value", text))
    }
}

fn table<'a>(path: &str, node: &'a Node) -> Result<&'a [Entry]> {
    match &node.value {
        Value::Table(entries) => Ok(entries),
        Value::Nothing => Ok(&[]),
        other => Err(wrong(format!("a table belongs here, not {}", other.kind()), path, node.line)),
    }
}
