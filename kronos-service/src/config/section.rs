//! One table of the configuration, read by type. What is not of its type has been told by `check`
//! already and is read as if it were not there.

use std::time::Duration;

use kronos_core::Error;

use super::check;
use super::problems::Context;
use super::schema::{Kind, Table};
use super::tree::{At, Entry, Node, Spelling, Value, path};
use super::units;

/// A table, with the key that leads to it.
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    pub(super) context: &'a Context<'a>,
    path: String,
    at: At,
    entries: &'a [Entry],
    table: &'static Table,
}

impl<'a> Section<'a> {
    pub(super) fn new(context: &'a Context<'a>, path: &str, at: At, node: &'a Node, table: &'static Table) -> Self {
        let entries = match &node.value {
            Value::Table(entries) => entries.as_slice(),
            _ => &[],
        };
        Self { context, path: path.to_owned(), at, entries, table }
    }

    /// The tables of a table whose keys are names that the user chose.
    pub(super) fn named(&self, name: &str) -> Vec<(String, Section<'a>)> {
        let Some((Kind::Named(table), entry)) = self.kind_and_entry(name) else { return Vec::new() };
        let whole = path(&self.path, name);
        let Value::Table(inner) = &entry.node.value else { return Vec::new() };
        let section = |inner: &'a Entry| {
            let section = Section::new(self.context, &path(&whole, &inner.name), inner.at, &inner.node, table);
            (inner.name.clone(), section)
        };
        let is_table = |inner: &&Entry| matches!(inner.node.value, Value::Table(_) | Value::Nothing);
        inner.iter().filter(is_table).map(section).collect()
    }

    /// The tables of a list.
    pub(super) fn tables(&self, name: &str) -> Vec<Section<'a>> {
        let Some((Kind::Tables(table), entry)) = self.kind_and_entry(name) else { return Vec::new() };
        let Value::List(items) = &entry.node.value else { return Vec::new() };
        let whole = path(&self.path, name);
        items.iter().map(|item| Section::new(self.context, &whole, item.at, item, table)).collect()
    }

    /// A table, if it is there and is one.
    pub(super) fn section(&self, name: &str) -> Option<Section<'a>> {
        let (Kind::Table(table) | Kind::ChoiceOr(_, table) | Kind::CommandOr(table), entry) =
            self.kind_and_entry(name)?
        else {
            return None;
        };
        let is_table = matches!(entry.node.value, Value::Table(_) | Value::Nothing);
        is_table.then(|| Section::new(self.context, &path(&self.path, name), entry.at, &entry.node, table))
    }

    fn kind_and_entry(&self, name: &str) -> Option<(&'static Kind, &'a Entry)> {
        let (key, _) = self.table.find(name)?;
        Some((&key.kind, self.find(name)?))
    }

    /// All its keys.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter()
    }

    pub(super) fn find(&self, name: &str) -> Option<&'a Entry> {
        debug_assert!(self.table.open || self.table.find(name).is_some(), "{name} is not described");
        self.entries.iter().find(|entry| entry.name == name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An error at one of its keys.
    pub(super) fn at(&self, entry: &Entry, message: impl Into<String>) -> Error {
        self.context.wrong(message, &path(&self.path, &entry.name), entry.at)
    }

    /// An error at one of its keys if it is there, else at the section as a whole.
    pub(super) fn at_key(&self, name: &str, message: impl Into<String>) -> Error {
        match self.find(name) {
            Some(entry) => self.at(entry, message),
            None => self.wrong(message),
        }
    }

    /// An error at the section as a whole.
    pub(super) fn wrong(&self, message: impl Into<String>) -> Error {
        self.context.wrong(message, &self.path, self.at)
    }

    /// Tells what is wrong.
    pub(super) fn tell(&self, problem: Error) {
        self.context.tell(problem);
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        match &self.find(name)?.node.value {
            Value::Text { text, .. } => Some(text.clone()),
            _ => None,
        }
    }

    /// A text without which the section is nothing.
    pub(super) fn required(&self, name: &str) -> Option<String> {
        if self.find(name).is_none() {
            self.tell(self.wrong("a key is missing").with("missing", name));
        }
        self.text(name)
    }

    /// A whole number; its range is in the table.
    pub(super) fn number<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        T::try_from(check::whole_number(&self.find(name)?.node.value)?).ok()
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match &self.find(name)?.node.value {
            Value::Flag(flag) => Some(*flag),
            Value::Text { text, spelling } if *spelling != Spelling::Plain => check::flag(text),
            _ => None,
        }
    }

    /// A list of texts; a single text is a list of one.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        match &self.find(name)?.node.value {
            Value::Text { text, .. } => Some(vec![text.clone()]),
            Value::List(items) => Some(items.iter().filter_map(|item| as_text(&item.value)).collect()),
            _ => None,
        }
    }

    /// A text, number or yes or no, as a text.
    pub(super) fn setting(&self, name: &str) -> Option<String> {
        as_text(&self.find(name)?.node.value)
    }

    /// All settings of a table whose keys are names that the user chose.
    pub(super) fn settings(&self, name: &str) -> Vec<(String, String)> {
        match self.find(name).map(|entry| &entry.node.value) {
            Some(Value::Table(entries)) => {
                entries.iter().filter_map(|entry| Some((entry.name.clone(), as_text(&entry.node.value)?))).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        units::duration(&self.text(name)?)
    }

    pub(super) fn size(&self, name: &str) -> Option<u64> {
        units::size(&self.text(name)?)
    }

    /// Bytes a second.
    pub(super) fn rate(&self, name: &str) -> Option<u64> {
        units::rate(&self.text(name)?)
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Text { text, .. } => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Flag(flag) => Some(flag.to_string()),
        _ => None,
    }
}
