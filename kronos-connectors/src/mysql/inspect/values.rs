//! Values between the service and the driver.

use std::fmt::Write as _;

use kronos_core::inspect::Value;
use mysql_async::Column;
use mysql_async::consts::{ColumnFlags, ColumnType};

/// The collation of bytes that are no text.
const BINARY: u16 = 63;

/// A value for a parameter.
pub(super) fn bound(value: &Value) -> mysql_async::Value {
    match value {
        Value::Null => mysql_async::Value::NULL,
        Value::Bool(value) => mysql_async::Value::Int(i64::from(*value)),
        Value::Int(value) => mysql_async::Value::Int(*value),
        Value::UInt(value) => mysql_async::Value::UInt(*value),
        Value::Float(value) => mysql_async::Value::Double(*value),
        Value::Text(value) | Value::Json(value) => mysql_async::Value::Bytes(value.clone().into_bytes()),
        Value::Bytes(value) => mysql_async::Value::Bytes(value.clone()),
    }
}

fn is_integer(kind: ColumnType) -> bool {
    use ColumnType::{
        MYSQL_TYPE_INT24, MYSQL_TYPE_LONG, MYSQL_TYPE_LONGLONG, MYSQL_TYPE_SHORT, MYSQL_TYPE_TINY, MYSQL_TYPE_YEAR,
    };
    matches!(
        kind,
        MYSQL_TYPE_TINY | MYSQL_TYPE_SHORT | MYSQL_TYPE_LONG | MYSQL_TYPE_LONGLONG | MYSQL_TYPE_INT24 | MYSQL_TYPE_YEAR
    )
}

fn is_bytes(column: &Column) -> bool {
    use ColumnType::{
        MYSQL_TYPE_BLOB, MYSQL_TYPE_GEOMETRY, MYSQL_TYPE_LONG_BLOB, MYSQL_TYPE_MEDIUM_BLOB, MYSQL_TYPE_STRING,
        MYSQL_TYPE_TINY_BLOB, MYSQL_TYPE_VAR_STRING, MYSQL_TYPE_VARCHAR,
    };
    let strings = matches!(
        column.column_type(),
        MYSQL_TYPE_BLOB
            | MYSQL_TYPE_TINY_BLOB
            | MYSQL_TYPE_MEDIUM_BLOB
            | MYSQL_TYPE_LONG_BLOB
            | MYSQL_TYPE_STRING
            | MYSQL_TYPE_VAR_STRING
            | MYSQL_TYPE_VARCHAR
    );
    column.column_type() == MYSQL_TYPE_GEOMETRY || (strings && column.character_set() == BINARY)
}

/// A type as the server's documentation names it.
pub(super) fn type_name(column: &Column) -> String {
    let name = format!("{:?}", column.column_type());
    let name = name.trim_start_matches("MYSQL_TYPE_").to_ascii_lowercase();
    let name = match name.as_str() {
        "tiny" => "tinyint",
        "short" => "smallint",
        "long" => "int",
        "longlong" => "bigint",
        "int24" => "mediumint",
        "newdecimal" => "decimal",
        "var_string" if is_bytes(column) => "varbinary",
        "var_string" => "varchar",
        "string" if is_bytes(column) => "binary",
        "string" => "char",
        "blob" | "tiny_blob" | "medium_blob" | "long_blob" if is_bytes(column) => "blob",
        "blob" | "tiny_blob" | "medium_blob" | "long_blob" => "text",
        other => other,
    };
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG) && is_integer(column.column_type());
    if unsigned { format!("{name} unsigned") } else { name.to_owned() }
}

/// A value of a row, of either protocol.
pub(super) fn of(value: mysql_async::Value, column: &Column) -> Value {
    match value {
        mysql_async::Value::NULL => Value::Null,
        mysql_async::Value::Int(value) => Value::Int(value),
        mysql_async::Value::UInt(value) => i64::try_from(value).map_or(Value::UInt(value), Value::Int),
        // The shortest that is the same float.
        mysql_async::Value::Float(value) => {
            Value::Float(value.to_string().parse().unwrap_or_else(|_| f64::from(value)))
        }
        mysql_async::Value::Double(value) => Value::Float(value),
        mysql_async::Value::Date(year, month, day, hour, minute, second, micros) => {
            let mut text = format!("{year:04}-{month:02}-{day:02}");
            if column.column_type() != ColumnType::MYSQL_TYPE_DATE {
                let _ = write!(text, " {hour:02}:{minute:02}:{second:02}{}", fraction(micros, column));
            }
            Value::Text(text)
        }
        mysql_async::Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let (sign, hours) = (if negative { "-" } else { "" }, u64::from(days) * 24 + u64::from(hours));
            Value::Text(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction(micros, column)))
        }
        mysql_async::Value::Bytes(bytes) => of_bytes(bytes, column),
    }
}

/// As many digits as the column has.
fn fraction(micros: u32, column: &Column) -> String {
    match usize::from(column.decimals()) {
        0 => String::new(),
        digits => format!(".{micros:06}").chars().take(1 + digits.min(6)).collect(),
    }
}

fn of_bytes(bytes: Vec<u8>, column: &Column) -> Value {
    let kind = column.column_type();
    if kind == ColumnType::MYSQL_TYPE_BIT && bytes.len() <= 8 {
        let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        return i64::try_from(number).map_or(Value::UInt(number), Value::Int);
    }
    if is_bytes(column) {
        return Value::Bytes(bytes);
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(other) => return Value::Bytes(other.into_bytes()),
    };
    if is_integer(kind) {
        let small = text.parse().map(Value::Int);
        return small.or_else(|_| text.parse().map(Value::UInt)).unwrap_or(Value::Text(text));
    }
    if matches!(kind, ColumnType::MYSQL_TYPE_FLOAT | ColumnType::MYSQL_TYPE_DOUBLE) {
        return text.parse().map_or_else(|_| Value::Text(text.clone()), Value::Float);
    }
    if kind == ColumnType::MYSQL_TYPE_JSON { Value::Json(text) } else { Value::Text(text) }
}
