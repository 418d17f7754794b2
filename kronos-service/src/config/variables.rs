//! Values from the environment, such as `KRONOS__JOBS__SHOP__SCHEDULE`, and those that are given for
//! one run: which key they mean, and how their text is read.

use kronos_core::{Error, ErrorKind, Result};

use super::check::like;
use super::merge::Shape;
use super::problems::Context;
use super::schema::{Kind, Table};
use super::toml;
use super::tree::{At, Entry, Node, Spelling, Value};

/// What the names of such variables begin with, and what stands between their parts.
pub(super) const PREFIX: &str = "KRONOS__";
const BETWEEN: &str = "__";

/// The tree of one variable, whose name is without the prefix. Names that exist are found whatever
/// their case and their special characters. `None` when it was told what is wrong.
pub(super) fn variable(
    context: &Context<'_>,
    tree: &Node,
    top: &'static Table,
    name: &str,
    value: &str,
    at: At,
) -> Option<Node> {
    let mut keys = Vec::new();
    let (mut shape, mut there) = (Shape::Keys(top), Some(tree));
    for part in name.split(BETWEEN) {
        let key = match key(shape, there, part) {
            Ok(key) => key,
            Err(error) => {
                context.tell(error.with("variable", format!("{PREFIX}{name}")));
                return None;
            }
        };
        there = there.and_then(|node| child(node, &key));
        let kind = kind(shape, &key);
        shape = shape.of(&key);
        keys.push((key, kind));
    }
    Some(nested(keys, value, at))
}

/// The tree of a key as TOML has it, such as `jobs.shop.limits.parallel`.
pub(super) fn setting(context: &Context<'_>, top: &'static Table, key: &str, value: &str, at: At) -> Option<Node> {
    let Some(names) = toml::key(key) else {
        context.tell(context.wrong("not a key", key, at).with("hint", "such as jobs.shop.limits.parallel"));
        return None;
    };
    let mut shape = Shape::Keys(top);
    let mut keys = Vec::new();
    for name in names {
        let kind = kind(shape, &name);
        shape = shape.of(&name);
        keys.push((name, kind));
    }
    Some(nested(keys, value, at))
}

/// The key that a part of a variable's name means.
fn key(shape: Shape, there: Option<&Node>, part: &str) -> Result<String> {
    let wanted = folded(part);
    match shape {
        Shape::Keys(table) => {
            let names: Vec<String> = table.names().collect();
            match names.iter().find(|name| folded(name) == wanted) {
                Some(name) => Ok(name.clone()),
                None if table.open => Ok(part.to_lowercase()),
                None => {
                    let error = Error::new(ErrorKind::Config, "unknown key").with("key", part.to_lowercase());
                    Err(like(error, &part.to_lowercase(), names.iter().map(String::as_str)))
                }
            }
        }
        Shape::Names(_) | Shape::Free => {
            let entries = match there.map(|node| &node.value) {
                Some(Value::Table(entries)) => entries.as_slice(),
                _ => &[],
            };
            let mut found = entries.iter().filter(|entry| folded(&entry.name) == wanted);
            match (found.next(), found.next()) {
                (Some(one), None) => Ok(one.name.clone()),
                (None, _) => Ok(part.to_lowercase()),
                (Some(one), Some(other)) => Err(Error::new(ErrorKind::Config, "this may mean two names")
                    .with("first", &one.name)
                    .with("second", &other.name)),
            }
        }
    }
}

/// A name as a variable can have it: of small letters, digits, and a `_` for all between them.
fn folded(name: &str) -> String {
    let lower = name.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Table(entries) => entries.iter().find(|entry| entry.name == name).map(|entry| &entry.node),
        _ => None,
    }
}

/// What is expected at a key.
fn kind(shape: Shape, name: &str) -> Option<&'static Kind> {
    match shape {
        Shape::Keys(table) => table.find(name).map(|(key, ending)| match ending {
            "_command" => &Kind::Command,
            _ => &key.kind,
        }),
        Shape::Names(_) | Shape::Free => None,
    }
}

/// Tables in tables, with the value in the innermost.
fn nested(keys: Vec<(String, Option<&'static Kind>)>, value: &str, at: At) -> Node {
    let kind = keys.last().and_then(|(_, kind)| *kind);
    let mut node = Node { at, value: read(kind, value) };
    literal(&mut node, at);
    for (name, _) in keys.into_iter().rev() {
        node = Node { at, value: Value::Table(vec![Entry { name, at, node }]) };
    }
    node
}

/// A text is taken as it is, unless a list or a table may stand there and it is one.
fn read(kind: Option<&'static Kind>, text: &str) -> Value {
    let may_be = match kind {
        Some(Kind::Texts | Kind::Choices(_) | Kind::Command | Kind::Tables(_)) => "[",
        None | Some(Kind::ChoiceOr(..) | Kind::Table(_) | Kind::Named(_) | Kind::Settings { .. }) => "{",
        Some(Kind::CommandOr(_)) => "[{",
        Some(_) => "",
    };
    let is_written = text.trim_start().starts_with(|c| may_be.contains(c));
    let value = if is_written { toml::value(text) } else { None };
    value.unwrap_or_else(|| Value::text(text))
}

/// Nothing is put into values of the environment: they are what somebody has put in already.
fn literal(node: &mut Node, at: At) {
    node.at = at;
    match &mut node.value {
        Value::Text { spelling, .. } => *spelling = Spelling::Literal,
        Value::List(items) => items.iter_mut().for_each(|item| literal(item, at)),
        Value::Table(entries) => {
            for entry in entries {
                entry.at = at;
                literal(&mut entry.node, at);
            }
        }
        _ => {}
    }
}
