//! Holds a tree against the description of the keys: whether each is known, and has such a value.

use kronos_core::{Error, nearest};

use super::problems::Context;
use super::schema::{Kind, SECRET_ENDINGS, Table};
use super::tree::{At, Entry, Node, Spelling, Value, path};
use super::units;

/// Checks a table and all in it. What is wrong is told to the context.
pub(super) fn table(context: &Context<'_>, key: &str, node: &Node, table: &Table) {
    let Some(entries) = entries(context, key, node) else { return };
    for entry in entries {
        let whole = path(key, &entry.name);
        match table.find(&entry.name) {
            Some((found, ending)) => value(context, &whole, entry, of_ending(&found.kind, ending)),
            None if table.open => setting(context, &whole, &entry.node),
            None => {
                let error = context.wrong("unknown key", &whole, entry.at);
                let names: Vec<String> = table.names().collect();
                context.tell(like(error, &entry.name, names.iter().map(String::as_str)));
            }
        }
    }
    for secret in table.keys.iter().filter(|key| matches!(key.kind, Kind::Secret)) {
        let is_of = |entry: &&Entry| table.find(&entry.name).is_some_and(|(found, _)| found.name == secret.name);
        if let Some(second) = entries.iter().filter(is_of).nth(1) {
            let message = format!("a {} may come from one place only", words(secret.name));
            context.tell(context.wrong(message, &path(key, &second.name), second.at));
        }
    }
}

/// What stands at the key of a secret with such an ending.
fn of_ending<'a>(kind: &'a Kind, ending: &str) -> &'a Kind {
    match ending {
        "" => kind,
        _ if ending == SECRET_ENDINGS[3] => &Kind::Command,
        _ => &Kind::Text,
    }
}

fn value(context: &Context<'_>, key: &str, entry: &Entry, kind: &Kind) {
    let node = &entry.node;
    let wanted = |what: &str| {
        context.tell(context.wrong(format!("{what} belongs here, not {}", node.value.kind()), key, entry.at));
    };
    match (kind, &node.value) {
        (Kind::Later, _) => context.tell(context.wrong("this key is not in this version yet", key, entry.at)),
        (Kind::Text | Kind::Secret, Value::Text { .. }) | (Kind::Flag, Value::Flag(_)) => {}
        (Kind::Flag, Value::Text { text, spelling }) if *spelling != Spelling::Plain && flag(text).is_some() => {}
        (Kind::Integer { least, most }, value) => integer(context, key, entry, value, *least, *most),
        (Kind::Duration, Value::Text { text, .. })
            if key.ends_with("timeout") && units::duration(text).is_some_and(|time| time.is_zero()) =>
        {
            context.tell(context.wrong("no time at all makes everything fail", key, entry.at).with("value", text));
        }
        (Kind::Duration, _) => measure(context, key, entry, units::duration, "a time such as \"7d\" or \"1h30m\""),
        (Kind::Size, _) => measure(context, key, entry, units::size, "a size such as \"256MiB\""),
        (Kind::Rate, _) => measure(context, key, entry, units::rate, "a speed such as \"50MB/s\""),
        (Kind::Setting, _) => setting(context, key, node),
        (Kind::Choice(names) | Kind::ChoiceOr(names, _), Value::Text { text, .. }) => {
            choice(context, key, entry.at, text, names);
        }
        (Kind::Texts | Kind::Choices(_), Value::Text { .. } | Value::List(_)) => list(context, key, entry, kind),
        (Kind::Command | Kind::CommandOr(_), Value::Text { .. } | Value::List(_)) => command(context, key, entry),
        (Kind::Table(inner) | Kind::ChoiceOr(_, inner) | Kind::CommandOr(inner), _) => table(context, key, node, inner),
        (Kind::Tables(inner), Value::List(items)) => items.iter().for_each(|item| table(context, key, item, inner)),
        (Kind::Named(inner), _) => {
            for entry in entries(context, key, node).unwrap_or_default() {
                table(context, &path(key, &entry.name), &entry.node, inner);
            }
        }
        (Kind::Settings { .. }, _) => {
            for entry in entries(context, key, node).unwrap_or_default() {
                setting(context, &path(key, &entry.name), &entry.node);
            }
        }
        (Kind::Flag, _) => wanted("true or false"),
        (Kind::Texts | Kind::Choices(_) | Kind::Command, _) => wanted("a list of texts"),
        (Kind::Tables(_), _) => wanted("a list of tables"),
        (Kind::Text | Kind::Secret | Kind::Choice(_), _) => wanted("a text"),
    }
}

/// The entries of a table; tells when it is none.
fn entries<'a>(context: &Context<'_>, key: &str, node: &'a Node) -> Option<&'a [Entry]> {
    match &node.value {
        Value::Table(entries) => Some(entries),
        Value::Nothing => Some(&[]),
        other => {
            context.tell(context.wrong(format!("a table belongs here, not {}", other.kind()), key, node.at));
            None
        }
    }
}

fn integer(context: &Context<'_>, key: &str, entry: &Entry, value: &Value, least: i64, most: i64) {
    match whole_number(value) {
        Some(number) if (least..=most).contains(&number) => {}
        Some(number) => {
            let error = context.wrong("this number is out of range", key, entry.at).with("value", number);
            context.tell(error.with("least", least).with("most", most));
        }
        None => {
            let message = format!("a whole number belongs here, not {}", value.kind());
            context.tell(context.wrong(message, key, entry.at));
        }
    }
}

/// A number, or a text that came from a variable and is one.
pub(super) fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Text { text, spelling } if *spelling != Spelling::Plain => text.trim().parse().ok(),
        _ => None,
    }
}

/// What a variable may say for yes and no.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn measure<T>(context: &Context<'_>, key: &str, entry: &Entry, read: impl Fn(&str) -> Option<T>, what: &str) {
    match &entry.node.value {
        Value::Text { text, .. } if read(text).is_some() => {}
        Value::Text { text, .. } => {
            context.tell(context.wrong(format!("{what} belongs here"), key, entry.at).with("value", text));
        }
        other => {
            let message = format!("{what} belongs here, not {}", other.kind());
            context.tell(context.wrong(message, key, entry.at));
        }
    }
}

fn setting(context: &Context<'_>, key: &str, node: &Node) {
    if !matches!(node.value, Value::Text { .. } | Value::Integer(_) | Value::Flag(_)) {
        let message = format!("a text, number or yes or no belongs here, not {}", node.value.kind());
        context.tell(context.wrong(message, key, node.at));
    }
}

fn list(context: &Context<'_>, key: &str, entry: &Entry, kind: &Kind) {
    let items = match &entry.node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&entry.node),
    };
    for item in items {
        match (&item.value, kind) {
            (Value::Text { text, .. }, Kind::Choices(names)) => choice(context, key, item.at, text, names),
            (Value::Text { .. }, _) => {}
            (other, _) => {
                let message = format!("this list is one of texts, not {}", other.kind());
                context.tell(context.wrong(message, key, item.at));
            }
        }
    }
}

/// A program and its arguments. A line is taken apart at its spaces where no shell is meant to read
/// it, which is for the reader to know.
fn command(context: &Context<'_>, key: &str, entry: &Entry) {
    list(context, key, entry, &Kind::Texts);
    let is_empty = match &entry.node.value {
        Value::Text { text, .. } => text.trim().is_empty(),
        Value::List(items) => items.is_empty(),
        _ => false,
    };
    if is_empty {
        context.tell(context.wrong("a program belongs here", key, entry.at));
    }
}

fn choice(context: &Context<'_>, key: &str, at: At, text: &str, names: &[&str]) {
    if !names.contains(&text) {
        let name = key.rsplit('.').next().unwrap_or(key);
        let error = context.wrong(format!("unknown {}", words(name)), key, at).with("value", text);
        context.tell(like(error, text, names.iter().copied()));
    }
}

/// Adds the nearest name, or all of them.
pub(super) fn like<'a>(error: Error, word: &str, names: impl IntoIterator<Item = &'a str>) -> Error {
    let names: Vec<&str> = names.into_iter().collect();
    match nearest(word, names.iter().copied()) {
        Some(near) => error.with("did you mean", near),
        None => error.with("known", names.join(" ")),
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}
