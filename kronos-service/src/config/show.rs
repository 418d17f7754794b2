//! The configuration as it is in effect: each value, what set it, and no secret.

use std::fmt::{self, Write};

use serde::Serialize;

use super::TOP;
use super::literal;
use super::origin::{Layer, Origin};
use super::schema::{Key, Kind, Table};
use super::tree::{At, Entry, Node, Spelling, Value, path};
use super::{Format, toml};
use crate::mask::{is_secret, mask};

/// What stands for a secret.
const HIDDEN: &str = "***";

/// The values of a configuration and where they come from.
#[derive(Clone)]
pub struct Effective {
    pub(super) tree: Node,
    pub(super) layers: Vec<Layer>,
}

/// One value in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its key, such as `jobs.shop.schedule`.
    pub key: String,
    /// The value; secrets are `***`.
    pub value: serde_json::Value,
    /// What set it.
    pub origin: Origin,
    #[serde(skip)]
    section: String,
    #[serde(skip)]
    line: String,
}

impl Effective {
    /// All values, in the order of the description, with what holds by default.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        self.table(&mut settings, "", "", &self.tree, &TOP);
        settings
    }

    /// The same as TOML. What nobody has written stands as a comment; with `origins` each value is
    /// followed by what set it.
    pub fn to_toml(&self, origins: bool) -> String {
        let (mut text, mut section) = (String::new(), String::new());
        for setting in self.settings() {
            if setting.section != section {
                section.clone_from(&setting.section);
                let _ = writeln!(text, "{}[{section}]", if text.is_empty() { "" } else { "\n" });
            }
            let is_default = setting.origin == Origin::default_value();
            let mark = if is_default { "#" } else { "" };
            let origin =
                if origins || is_default { format!("  # {}", setting.origin.describe()) } else { String::new() };
            let _ = writeln!(text, "{mark}{}{origin}", setting.line);
        }
        text
    }

    fn table(&self, out: &mut Vec<Setting>, key: &str, section: &str, node: &Node, described: &'static Table) {
        let entries = match &node.value {
            Value::Table(entries) => entries.as_slice(),
            _ => &[],
        };
        let is_of =
            |entry: &Entry, key: &Key| described.find(&entry.name).is_some_and(|(found, _)| found.name == key.name);
        // First what is a line of this section: sections of their own come after it.
        for of_tables in [false, true] {
            for known in described.keys {
                let mut is_there = false;
                for entry in entries.iter().filter(|entry| is_of(entry, known)) {
                    is_there = true;
                    if is_section(&known.kind, &entry.node.value) == of_tables {
                        self.entry(out, (key, section), entry, known);
                    }
                }
                if !is_there && is_section(&known.kind, &Value::Nothing) == of_tables {
                    self.absent(out, (key, section), known);
                }
            }
            if of_tables || !described.open {
                continue;
            }
            for entry in entries.iter().filter(|entry| described.find(&entry.name).is_none()) {
                out.push(self.setting((key, section), &entry.name, &entry.node, &Kind::Setting));
            }
        }
    }

    fn entry(&self, out: &mut Vec<Setting>, (key, section): (&str, &str), entry: &Entry, known: &Key) {
        let below = |name: &str| (path(key, name), path(section, &literal::name(name, Format::Toml)));
        match (&known.kind, &entry.node.value) {
            (Kind::Named(inner), Value::Table(named)) => {
                let (key, section) = below(&entry.name);
                for one in named {
                    let section = path(&section, &literal::name(&one.name, Format::Toml));
                    self.table(out, &path(&key, &one.name), &section, &one.node, inner);
                }
            }
            (
                Kind::Table(inner) | Kind::ChoiceOr(_, inner) | Kind::CommandOr(inner),
                Value::Table(_) | Value::Nothing,
            ) => {
                let (key, section) = below(&entry.name);
                self.table(out, &key, &section, &entry.node, inner);
            }
            (Kind::Secret, _) if entry.name != known.name => {
                out.push(self.setting((key, section), &entry.name, &entry.node, &Kind::Text));
            }
            (kind, _) => out.push(self.setting((key, section), &entry.name, &entry.node, kind)),
        }
    }

    /// What holds although it is not written.
    fn absent(&self, out: &mut Vec<Setting>, (key, section): (&str, &str), known: &Key) {
        if let Kind::Table(inner) = known.kind {
            if known.always {
                let section = path(section, known.name);
                self.table(out, &path(key, known.name), &section, &Node::empty(), inner);
            }
        } else if let Some(value) = known.default.and_then(toml::value) {
            let node = Node { at: At { layer: usize::MAX, line: 0 }, value };
            out.push(self.setting((key, section), known.name, &node, &known.kind));
        }
    }

    fn setting(&self, (key, section): (&str, &str), name: &str, node: &Node, kind: &Kind) -> Setting {
        let shown = shown(&node.value, matches!(kind, Kind::Secret | Kind::Settings { secret: true }));
        let shown = as_meant(shown, kind);
        let value = literal::value(&shown, Format::Toml);
        let origin = self.layers.get(node.at.layer).map(|layer| layer.origin(node.at.line));
        Setting {
            key: path(key, name),
            value: json(&shown),
            origin: origin.unwrap_or_else(Origin::default_value),
            section: section.to_owned(),
            line: format!("{}{}{value}", literal::name(name, Format::Toml), literal::assign(Format::Toml)),
        }
    }
}

impl fmt::Debug for Effective {
    /// Without the values, among which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effective").field("layers", &self.layers).finish_non_exhaustive()
    }
}

/// Whether a value is a section of its own.
fn is_section(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Named(_) | Kind::Table(_) => true,
        Kind::ChoiceOr(..) | Kind::CommandOr(_) => matches!(value, Value::Table(_)),
        _ => false,
    }
}

/// A value without secrets.
fn shown(value: &Value, secret: bool) -> Value {
    match value {
        Value::Table(entries) => {
            let entry = |entry: &Entry| {
                let node = Node { at: entry.node.at, value: shown(&entry.node.value, secret) };
                Entry { name: entry.name.clone(), at: entry.at, node }
            };
            Value::Table(entries.iter().map(entry).collect())
        }
        _ if secret => Value::text(HIDDEN),
        // A variable whose name says that it is a secret is not shown, wherever it was put in.
        Value::Text { spelling: Spelling::Expanded(written), .. } if names_secret(written) => {
            Value::text(mask(written))
        }
        Value::Text { text, .. } => Value::text(mask(text)),
        Value::List(items) => {
            Value::List(items.iter().map(|item| Node { at: item.at, value: shown(&item.value, secret) }).collect())
        }
        other => other.clone(),
    }
}

/// A number or a flag that a variable gave as a text.
fn as_meant(value: Value, kind: &Kind) -> Value {
    let Value::Text { text, .. } = &value else { return value };
    let meant = match kind {
        Kind::Integer { .. } => text.trim().parse().ok().map(Value::Integer),
        Kind::Flag => text.trim().parse().ok().map(Value::Flag),
        _ => None,
    };
    meant.unwrap_or(value)
}

fn names_secret(written: &str) -> bool {
    written.split("${").skip(1).any(|rest| is_secret(rest.split(['}', ':']).next().unwrap_or(rest)))
}

pub(super) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text { text, .. } => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Flag(flag) => (*flag).into(),
        Value::List(items) => items.iter().map(|item| json(&item.value)).collect(),
        Value::Table(entries) => {
            let pairs = entries.iter().map(|entry| (entry.name.clone(), json(&entry.node.value)));
            serde_json::Value::Object(pairs.collect())
        }
        Value::Nothing | Value::Other(_) => serde_json::Value::Null,
    }
}
