//! The list of all keys, as a part of the documentation.

use std::fmt::Write;

use super::TOP;
use super::schema::{Key, Kind, Table};

/// All keys in tables of Markdown, a section each.
pub fn reference() -> String {
    let mut text = String::new();
    for key in TOP.keys {
        match key.kind {
            Kind::Named(table) => section(&mut text, &format!("{}.NAME", key.name), table),
            Kind::Table(table) => section(&mut text, key.name, table),
            _ => {}
        }
    }
    text
}

fn section(text: &mut String, name: &str, table: &'static Table) {
    let _ = write!(text, "### `[{name}]`\n\n{}\n\n", table.doc);
    text.push_str("| key | value | default | what |\n| --- | --- | --- | --- |\n");
    for key in table.keys.iter().filter(|key| !matches!(key.kind, Kind::Later)) {
        let default = match key.default {
            Some(value) => format!("`{value}`"),
            None => key.otherwise.to_owned(),
        };
        let secret = if matches!(key.kind, Kind::Secret) { "*" } else { "" };
        let cells = [&format!("`{}`{secret}", key.name), &value(&key.kind), &default, key.doc];
        let cells: Vec<String> = cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if table.open {
        text.push_str("| … | a text, a number, yes or no | | options of its kind |\n");
    }
    text.push('\n');
    for key in table.keys {
        if let Some(inner) = inner(key) {
            section(text, &format!("{name}.{}", key.name), inner);
        }
    }
}

fn inner(key: &Key) -> Option<&'static Table> {
    match key.kind {
        Kind::Table(table) | Kind::ChoiceOr(_, table) | Kind::Tables(table) => Some(table),
        _ => None,
    }
}

fn value(kind: &Kind) -> String {
    match kind {
        Kind::Text | Kind::Secret => "a text".to_owned(),
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Integer { least, most } => format!("{least} to {most}"),
        Kind::Duration => "a time".to_owned(),
        Kind::Size => "a size".to_owned(),
        Kind::Rate => "a speed".to_owned(),
        Kind::Setting => "a text, a number, yes or no".to_owned(),
        Kind::Choice(names) => names_of(names),
        Kind::Texts => "texts".to_owned(),
        Kind::Choices(names) => format!("some of {}", names_of(names)),
        Kind::Command => "a line, or a list".to_owned(),
        Kind::Table(_) => "a table".to_owned(),
        Kind::ChoiceOr(names, _) => format!("{}, or a table", names_of(names)),
        Kind::CommandOr(_) => "a line, a list, or a table".to_owned(),
        Kind::Tables(_) => "tables".to_owned(),
        Kind::Named(_) | Kind::Settings { .. } => "names with values".to_owned(),
        Kind::Later => String::new(),
    }
}

fn names_of(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
