//! One value of a row or of a parameter.

use serde::{Deserialize, Serialize, Serializer};

/// A value. What has a type of its own in every engine is that; all else (decimals, dates, times,
/// UUIDs, arrays, …) is text, exactly as the engine writes it, and its column says its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64` (MySQL's BIGINT UNSIGNED).
    UInt(u64),
    /// A number with a point, and its not-a-number and infinities.
    Float(f64),
    /// Text, and every type that is written as text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// JSON as the engine writes it; documents of MongoDB in canonical extended JSON.
    Json(String),
}

impl Value {
    /// The text of a [`Text`](Self::Text).
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an [`Int`](Self::Int), or of a [`UInt`](Self::UInt) that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::UInt(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }
}

/// As in `kronos.query/1`: JSON's own types where they are exact. Bytes are `{"hex": "…"}`; floats
/// that JSON does not have are `{"float": "NaN"}`.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::UInt(value) => serializer.serialize_u64(*value),
            Self::Float(value) if value.is_finite() => serializer.serialize_f64(*value),
            Self::Float(value) => Tagged::Float(value.to_string()).serialize(serializer),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(value) => Tagged::Hex(hex::encode(value)).serialize(serializer),
            Self::Json(text) => match serde_json::value::RawValue::from_string(text.clone()) {
                Ok(json) => json.serialize(serializer),
                Err(_) => serializer.serialize_str(text),
            },
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tagged {
    Hex(String),
    Float(String),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_cannot_say_is_marked() {
        let row = [Value::Null, true.into(), (-1).into(), Value::UInt(u64::MAX), 0.5.into(), "a".into()];
        assert_eq!(serde_json::to_string(&row).unwrap(), r#"[null,true,-1,18446744073709551615,0.5,"a"]"#);
        let row = [
            f64::NAN.into(),
            Value::Bytes(vec![0, 255]),
            Value::Json(r#"{"b": 12345678901234567890, "a": 1}"#.to_owned()),
        ];
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            r#"[{"float":"NaN"},{"hex":"00ff"},{"b": 12345678901234567890, "a": 1}]"#
        );
    }
}
