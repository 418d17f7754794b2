//! Reads TOML. Its errors are reduced to message and line: the rest quotes the file, with
//! whatever passwords are in it.

use kronos_core::{Error, ErrorKind, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tree::{At, Entry, Node, Value};

pub(super) fn read(text: &str) -> Result<Node> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|e| {
        let start = e.span().map_or(text.len(), |span| span.start);
        Error::new(ErrorKind::Config, format!("not valid TOML: {}", one_line(e.message())))
            .with("line", lines.of_place(start).line)
    })?;
    Ok(Node { at: At::line(1), value: lines.entries(table.get_ref()) })
}

/// Reads one value, as it would stand behind a `=`.
pub(super) fn value(text: &str) -> Option<Value> {
    let whole = format!("value = {text}");
    let table = DeTable::parse(&whole).ok()?;
    // A line end in the text could begin a second key.
    let (1, Some((_, value))) = (table.get_ref().len(), table.get_ref().iter().next()) else { return None };
    Some(Lines::of(&whole).node(value).value)
}

/// The names of a key with dots, such as `jobs."a b".schedule`.
pub(super) fn key(text: &str) -> Option<Vec<String>> {
    let whole = format!("{text} = 0");
    let table = DeTable::parse(&whole).ok()?;
    let (mut names, mut inner) = (Vec::new(), table.get_ref());
    loop {
        let (1, Some((name, value))) = (inner.len(), inner.iter().next()) else { return None };
        names.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(next) => inner = next,
            DeValue::Integer(_) => return Some(names),
            _ => return None,
        }
    }
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

/// Where the lines of a text begin: thousands of jobs must not each count them again.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(place, _)| place + 1);
        Self(std::iter::once(0).chain(ends).collect())
    }

    fn of_place(&self, place: usize) -> At {
        At::line(self.0.partition_point(|start| *start <= place))
    }

    fn entries(&self, table: &DeTable<'_>) -> Value {
        let entry = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &Spanned<std::borrow::Cow<'_, str>> = name;
            let at = self.of_place(name.span().start);
            Entry { name: name.get_ref().to_string(), at, node: self.node(value) }
        };
        let mut entries: Vec<Entry> = table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.at.line);
        Value::Table(entries)
    }

    fn node(&self, spanned: &Spanned<DeValue<'_>>) -> Node {
        let value = match spanned.get_ref() {
            DeValue::String(s) => Value::text(s.as_ref()),
            DeValue::Integer(i) => {
                i64::from_str_radix(i.as_str(), i.radix()).map_or(Value::Other("a number too large"), Value::Integer)
            }
            DeValue::Float(_) => Value::Other("a number with a fraction"),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.entries(table),
        };
        Node { at: self.of_place(spanned.span().start), value }
    }
}
