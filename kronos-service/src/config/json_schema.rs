//! The JSON Schema of the configuration, for editors.

use serde_json::{Map, Value, json};

use super::TOP;
use super::schema::{Key, Kind, SECRET_ENDINGS, Table};

/// A text that a variable is put into may stand for anything.
const VARIABLE: &str = r"\$\{";

/// The JSON Schema (draft 2020-12) of a configuration, in TOML or YAML.
pub fn json_schema() -> Value {
    let mut schema = table(&TOP);
    if let Value::Object(top) = &mut schema {
        top.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        top.insert("title".to_owned(), "Kronos".into());
    }
    schema
}

fn table(table: &Table) -> Value {
    let mut properties = Map::new();
    for key in table.keys.iter().filter(|key| !matches!(key.kind, Kind::Later)) {
        for (name, ending) in key.names().zip(SECRET_ENDINGS) {
            properties.insert(name, property(key, ending));
        }
    }
    let further = if table.open { setting() } else { json!(false) };
    json!({
        "type": ["object", "null"],
        "description": table.doc,
        "properties": properties,
        "additionalProperties": further,
    })
}

fn property(key: &Key, ending: &str) -> Value {
    let mut schema = if ending == "_command" { command() } else { kind(&key.kind) };
    if let Value::Object(fields) = &mut schema {
        let from = match ending {
            "_env" => " The name of the variable that has it.",
            "_file" => " The file that has it as its first line.",
            "_command" => " The program that prints it.",
            "_keyring" => " Its entry in the key store of the system, as service/user.",
            _ => "",
        };
        let otherwise = match key.otherwise {
            "" => String::new(),
            words => format!(" Default: {words}."),
        };
        fields.insert("description".to_owned(), format!("{}{from}{otherwise}", key.doc).into());
        if let Some(value) = key.default.and_then(super::toml::value) {
            fields.insert("default".to_owned(), super::show::json(&value));
        }
    }
    schema
}

fn kind(kind: &Kind) -> Value {
    let text = json!({ "type": "string" });
    match kind {
        Kind::Text | Kind::Secret => text,
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Integer { least, most } => {
            any(&[json!({ "type": "integer", "minimum": least, "maximum": most }), pattern(VARIABLE)])
        }
        Kind::Duration => pattern(&format!(r"^\s*([0-9]+(ms|s|m|min|h|d|w)\s*)+$|{VARIABLE}")),
        Kind::Size => pattern(&format!(r"^\s*[0-9]+\s*([kKmMgGtT]([iI]?[bB])?|[bB])?\s*$|{VARIABLE}")),
        Kind::Rate => pattern(&format!(r"^\s*[0-9]+\s*([kKmMgGtT]([iI]?[bB])?|[bB])?/s\s*$|{VARIABLE}")),
        Kind::Setting => setting(),
        Kind::Choice(names) => choice(names),
        Kind::Texts => any(&[text.clone(), json!({ "type": "array", "items": text })]),
        Kind::Choices(names) => any(&[choice(names), json!({ "type": "array", "items": choice(names) })]),
        Kind::Command => command(),
        Kind::Table(inner) => table(inner),
        Kind::ChoiceOr(names, inner) => any(&[choice(names), table(inner)]),
        Kind::CommandOr(inner) => any(&[command(), table(inner)]),
        Kind::Tables(inner) => json!({ "type": "array", "items": table(inner) }),
        Kind::Named(inner) => json!({ "type": ["object", "null"], "additionalProperties": table(inner) }),
        Kind::Settings { .. } => json!({ "type": ["object", "null"], "additionalProperties": setting() }),
        Kind::Later => json!(false),
    }
}

fn any(schemas: &[Value]) -> Value {
    json!({ "anyOf": schemas })
}

fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn choice(names: &[&str]) -> Value {
    any(&[json!({ "enum": names }), pattern(VARIABLE)])
}

fn command() -> Value {
    any(&[json!({ "type": "string" }), json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })])
}

fn setting() -> Value {
    json!({ "type": ["string", "integer", "boolean"] })
}
