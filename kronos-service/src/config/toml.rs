//! Reads TOML. Its errors are reduced to message and line: the rest quotes the file, with
//! whatever passwords are in it.

use kronos_core::{Error, ErrorKind, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tree::{Entry, Node, Value};

pub(super) fn read(text: &str) -> Result<Node> {
    let table = DeTable::parse(text).map_err(|e| {
        let start = e.span().map_or(text.len(), |span| span.start);
        Error::new(ErrorKind::Config, format!("not valid TOML: {}", one_line(e.message())))
            .with("line", line(text, start))
    })?;
    Ok(Node { line: 1, value: entries(text, table.get_ref()) })
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

fn line(text: &str, place: usize) -> usize {
    1 + text.as_bytes().iter().take(place).filter(|b| **b == b'\n').count()
}

fn entries(text: &str, table: &DeTable<'_>) -> Value {
    let entry = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &Spanned<std::borrow::Cow<'_, str>> = name;
        Entry { name: name.get_ref().to_string(), line: line(text, name.span().start), node: node(text, value) }
    };
    let mut entries: Vec<Entry> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.line);
    Value::Table(entries)
}

fn node(text: &str, spanned: &Spanned<DeValue<'_>>) -> Node {
    let value = match spanned.get_ref() {
        DeValue::String(s) => Value::text(s.as_ref()),
        DeValue::Integer(i) => {
            i64::from_str_radix(i.as_str(), i.radix()).map_or(Value::Other("a number too large"), Value::Integer)
        }
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(text, item)).collect()),
        DeValue::Table(table) => entries(text, table),
    };
    Node { line: line(text, spanned.span().start), value }
}
