//! Values out of PostgreSQL's text form.

use kronos_core::inspect::Value;
use kronos_core::{Error, ErrorKind, Result};
use sqlx::Row;
use sqlx::postgres::PgRow;

/// What a type becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Float,
    Bytes,
    Json,
    Text,
}

/// By the driver's name of a type.
pub(super) fn kind(name: &str) -> Kind {
    match name {
        "BOOL" => Kind::Bool,
        "INT2" | "INT4" | "INT8" | "OID" => Kind::Int,
        "FLOAT4" | "FLOAT8" => Kind::Float,
        "BYTEA" => Kind::Bytes,
        "JSON" | "JSONB" => Kind::Json,
        _ => Kind::Text,
    }
}

/// A type as PostgreSQL writes it: the driver has its own ones in capitals.
pub(super) fn type_name(name: &str) -> String {
    let plain = name.strip_suffix("[]").unwrap_or(name);
    if plain.bytes().any(|byte| byte.is_ascii_lowercase()) { name.to_owned() } else { name.to_ascii_lowercase() }
}

/// A value of a row in text form.
pub(super) fn of(row: &PgRow, at: usize, kinds: &[Kind]) -> Result<Value> {
    let wrong = |what: &str| Error::new(ErrorKind::QueryFailed, what.to_owned()).with("column", at + 1);
    let raw = row.try_get_raw(at).map_err(|_| wrong("a row is shorter than its columns"))?;
    if sqlx::ValueRef::is_null(&raw) {
        return Ok(Value::Null);
    }
    let text = raw.as_str().map_err(|_| wrong("the server sent text that is not UTF-8"))?;
    // What does not look like its type stays as it came.
    Ok(match kinds.get(at).copied().unwrap_or(Kind::Text) {
        Kind::Bool if text == "t" => Value::Bool(true),
        Kind::Bool if text == "f" => Value::Bool(false),
        Kind::Int => text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Int),
        Kind::Float => text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Float),
        Kind::Bytes => unhex(text).map_or_else(|| Value::Text(text.to_owned()), Value::Bytes),
        Kind::Json => Value::Json(text.to_owned()),
        Kind::Bool | Kind::Text => Value::Text(text.to_owned()),
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("\\x")?).ok()
}
