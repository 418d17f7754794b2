//! Puts one layer over another: tables are merged key by key, all else is replaced.

use super::schema::{Kind, Table};
use super::tree::{Entry, Node, Value};

/// What the description says of a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Its keys.
    Keys(&'static Table),
    /// Its keys are names of such tables.
    Names(&'static Table),
    /// Its keys are names of plain values, or nothing is known of it.
    Free,
}

impl Shape {
    /// What stands at one of its keys.
    pub(super) fn of(self, name: &str) -> Self {
        match self {
            Self::Names(table) => Self::Keys(table),
            Self::Keys(table) => table.find(name).map_or(Self::Free, |(key, _)| Self::at(&key.kind)),
            Self::Free => Self::Free,
        }
    }

    fn at(kind: &Kind) -> Self {
        match kind {
            Kind::Table(table) | Kind::ChoiceOr(_, table) | Kind::CommandOr(table) => Self::Keys(table),
            Kind::Named(table) => Self::Names(table),
            _ => Self::Free,
        }
    }

    /// Whether two keys of it say the same thing: a password from a file replaces one from a variable.
    fn is_same(self, one: &str, other: &str) -> bool {
        let secret = |table: &Table, name: &str| match table.find(name) {
            Some((key, _)) if matches!(key.kind, Kind::Secret) => Some(key.name),
            _ => None,
        };
        match self {
            Self::Keys(table) => one == other || secret(table, one).is_some_and(|it| secret(table, other) == Some(it)),
            _ => one == other,
        }
    }
}

/// Puts `over` over `base`.
pub(super) fn merge(base: &mut Node, over: Node, shape: Shape) {
    let (Value::Table(entries), Value::Table(new)) = (&mut base.value, &over.value) else {
        // A key without a value says nothing.
        if !matches!((&base.value, &over.value), (Value::Table(_), Value::Nothing)) {
            *base = over;
        }
        return;
    };
    for entry in new.iter().cloned() {
        add(entries, entry, shape);
    }
}

fn add(entries: &mut Vec<Entry>, new: Entry, shape: Shape) {
    let inner = shape.of(&new.name);
    entries.retain(|old| old.name == new.name || !shape.is_same(&old.name, &new.name));
    match entries.iter_mut().find(|old| old.name == new.name) {
        Some(old) => {
            let both_are_tables = matches!((&old.node.value, &new.node.value), (Value::Table(_), Value::Table(_)));
            if !both_are_tables {
                old.at = new.at;
            }
            merge(&mut old.node, new.node, inner);
        }
        None => entries.push(new),
    }
}
