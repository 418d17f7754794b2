//! What lies deep in a command: stages that write, JavaScript, filters.

use kronos_core::inspect::{Effect, Severity};
use mongodb::bson::{Bson, Document};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::super::found::{Found, shown};

/// How deep a document may be; the server takes 100 levels.
const DEEPEST: usize = 100;

/// What other readers of JSON may read differently: the same key twice.
pub(super) fn doubt_of_text(text: &str) -> Option<&'static str> {
    let mut reader = serde_json::Deserializer::from_str(text);
    match Keys.deserialize(&mut reader) {
        Err(error) if error.to_string().starts_with(TWICE) => Some(TWICE),
        // Anything else is said by whoever reads the document.
        _ => None,
    }
}

const TWICE: &str = "a key is there twice";

/// Reads a value for nothing but its keys.
struct Keys;

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Keys)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key) {
                return Err(A::Error::custom(TWICE));
            }
            entries.next_value_seed(Keys)?;
        }
        Ok(())
    }
}

/// Searches all that is in a command for what does more than read.
pub(super) fn stages(command: &Document, found: &mut Found) {
    let mut left: Vec<(&Document, usize)> = vec![(command, 1)];
    while let Some((document, depth)) = left.pop() {
        if depth > DEEPEST {
            found.not_understood("it is nested too deeply");
            return;
        }
        for (key, value) in document {
            key_of(key, value, found);
            values(value, depth, &mut left, found);
        }
    }
}

fn values<'a>(value: &'a Bson, depth: usize, left: &mut Vec<(&'a Document, usize)>, found: &mut Found) {
    match value {
        Bson::Document(inner) => left.push((inner, depth + 1)),
        Bson::Array(items) if depth < DEEPEST => {
            for item in items {
                values(item, depth + 1, left, found);
            }
        }
        Bson::Array(_) => found.not_understood("it is nested too deeply"),
        Bson::JavaScriptCode(_) | Bson::JavaScriptCodeWithScope(_) => script("a value", found),
        _ => {}
    }
}

fn key_of(key: &str, value: &Bson, found: &mut Found) {
    match key {
        "$out" | "$merge" => {
            found.add(Severity::Critical, Effect::Writes, format!("{key} writes the result to a collection"));
        }
        "$where" | "$function" | "$accumulator" => script(key, found),
        "$backupCursor" | "$backupCursorExtend" => {
            found.add(Severity::Critical, Effect::Administers, format!("{key} makes the server keep its files"));
        }
        "$currentOp" | "$listSessions" | "$listLocalSessions" => {}
        // A stage of the server's own, for its own use.
        _ if key.starts_with("$_internal") => {
            found.not_understood(format!("{} is not for users", shown(key)));
        }
        "$lookup" | "$facet" | "$unionWith" | "$graphLookup"
            if !matches!(value, Bson::Document(_) | Bson::String(_)) =>
        {
            found.not_understood(format!("what {key} is given"));
        }
        _ => {}
    }
}

fn script(what: &str, found: &mut Found) {
    found.add(Severity::Medium, Effect::Unknown, format!("{what} is JavaScript that runs on the server"));
}

pub(super) fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(value) => Some(f64::from(*value)),
        Bson::Int64(value) => Some(*value as f64),
        Bson::Double(value) => Some(*value),
        _ => None,
    }
}

/// Whether a filter picks some documents: a condition on a field that not every document fulfils.
pub(super) fn restricts(filter: &Document) -> bool {
    restricts_within(filter, DEEPEST)
}

fn restricts_within(filter: &Document, depth: usize) -> bool {
    if depth == 0 {
        return false;
    }
    let each = |value: &Bson| -> Option<Vec<bool>> {
        let Bson::Array(items) = value else { return None };
        Some(
            items
                .iter()
                .map(|item| matches!(item, Bson::Document(item) if restricts_within(item, depth - 1)))
                .collect(),
        )
    };
    filter.iter().any(|(key, value)| match key.as_str() {
        "$and" => each(value).is_some_and(|all| all.contains(&true)),
        "$or" => each(value).is_some_and(|all| !all.contains(&false)) && !is_complete(value),
        // The opposite of what picks some, an expression that is not looked into, a comment.
        key if key.starts_with('$') => false,
        _ => condition(value),
    })
}

fn condition(value: &Bson) -> bool {
    let Bson::Document(operators) = value else {
        return !matches!(value, Bson::RegularExpression(regex) if is_open(regex.pattern.as_str()));
    };
    let mut keys = operators.keys().peekable();
    if keys.peek().is_none_or(|key| !key.starts_with('$')) {
        return true;
    }
    operators.iter().any(|(operator, value)| match operator.as_str() {
        "$eq" | "$lt" | "$lte" | "$mod" | "$all" | "$elemMatch" | "$size" | "$type" | "$bitsAllSet"
        | "$bitsAllClear" => true,
        "$in" => matches!(value, Bson::Array(_)),
        "$gt" | "$gte" => {
            !matches!(value, Bson::Null | Bson::MinKey)
                && number(value).is_none_or(|value| value > 1.0)
                && *value != Bson::String(String::new())
        }
        "$exists" => *value == Bson::Boolean(false),
        "$regex" => !matches!(value, Bson::String(pattern) if is_open(pattern)),
        _ => false,
    })
}

/// Whether a pattern has nothing in it that a text must have.
fn is_open(pattern: impl AsRef<str>) -> bool {
    !pattern.as_ref().chars().any(char::is_alphanumeric)
}

/// Whether alternatives are of one field with different operators, which may be all there is.
fn is_complete(alternatives: &Bson) -> bool {
    let Bson::Array(items) = alternatives else { return false };
    let mut seen: Vec<(&str, bool)> = Vec::new();
    for item in items.iter().filter_map(Bson::as_document) {
        for (field, value) in item {
            let is_operator = matches!(value, Bson::Document(inner) if inner.keys().any(|key| key.starts_with('$') && key != "$eq" && key != "$in"));
            if seen.iter().any(|(known, other)| *known == field && (is_operator || *other)) {
                return true;
            }
            seen.push((field, is_operator));
        }
    }
    false
}
