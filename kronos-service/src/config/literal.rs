//! Values as they are written in TOML and YAML.

use super::Format;
use super::tree::{Entry, Node, Value};

/// A value on one line.
pub(super) fn value(value: &Value, format: Format) -> String {
    match value {
        Value::Text { text: plain, .. } => text(plain, format),
        Value::Integer(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(|item| self::value(&item.value, format)).collect::<Vec<_>>().join(", "))
        }
        Value::Table(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Table(entries) => {
            let pair = |entry: &Entry| pair(entry, format);
            format!("{{ {} }}", entries.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Value::Nothing | Value::Other(_) => text("", format),
    }
}

fn pair(entry: &Entry, format: Format) -> String {
    let Node { value, .. } = &entry.node;
    format!("{}{}{}", name(&entry.name, format), assign(format), self::value(value, format))
}

/// What stands between a key and its value.
pub(super) fn assign(format: Format) -> &'static str {
    match format {
        Format::Toml => " = ",
        Format::Yaml => ": ",
    }
}

/// A key.
pub(super) fn name(name: &str, format: Format) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    // Old readers of YAML take these for yes and no.
    let is_flag = format == Format::Yaml && ["on", "off", "yes", "no", "true", "false", "y", "n"].contains(&name);
    if is_bare && !is_flag { name.to_owned() } else { quoted(name) }
}

/// A text. In YAML one that can only be a text has no quotes.
fn text(text: &str, format: Format) -> String {
    let is_letter = |c: char| c.is_ascii_alphabetic();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-/.".contains(c);
    let reads_as_else = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_word = text.starts_with(|c| is_letter(c) || c == '/')
        && text.chars().all(is_plain)
        && !reads_as_else.contains(&text.to_ascii_lowercase().as_str());
    if format == Format::Yaml && is_word { text.to_owned() } else { quoted(text) }
}

/// In quotes, as both languages and JSON have them.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    // TOML wants this one escaped as well.
    json.replace('\u{7f}', "\\u007f")
}
