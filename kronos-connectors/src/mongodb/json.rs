//! Canonical extended JSON, version 2, in the order of the fields.

use kronos_core::Result;
use mongodb::bson::Bson;

use super::error::internal;

pub(super) fn canonical(value: &Bson) -> Result<String> {
    let mut text = String::new();
    write(value, &mut text)?;
    Ok(text)
}

fn write(value: &Bson, text: &mut String) -> Result<()> {
    match value {
        Bson::Document(document) => {
            text.push('{');
            for (n, (key, value)) in document.iter().enumerate() {
                text.push_str(if n > 0 { "," } else { "" });
                text.push_str(&plain(&key)?);
                text.push(':');
                write(value, text)?;
            }
            text.push('}');
        }
        Bson::Array(values) => {
            text.push('[');
            for (n, value) in values.iter().enumerate() {
                text.push_str(if n > 0 { "," } else { "" });
                write(value, text)?;
            }
            text.push(']');
        }
        Bson::Int32(n) => number("$numberInt", &n.to_string(), text),
        Bson::Int64(n) => number("$numberLong", &n.to_string(), text),
        Bson::Double(n) if n.is_nan() => number("$numberDouble", "NaN", text),
        Bson::Double(n) if n.is_infinite() => {
            number("$numberDouble", if *n > 0.0 { "Infinity" } else { "-Infinity" }, text);
        }
        Bson::Double(n) => number("$numberDouble", &format!("{n:?}"), text),
        // The scope has numbers too.
        Bson::JavaScriptCodeWithScope(code) => {
            text.push_str("{\"$code\":");
            text.push_str(&plain(&code.code)?);
            text.push_str(",\"$scope\":");
            write(&Bson::Document(code.scope.clone()), text)?;
            text.push('}');
        }
        other => text.push_str(&plain(other)?),
    }
    Ok(())
}

fn number(kind: &str, number: &str, text: &mut String) {
    text.extend(["{\"", kind, "\":\"", number, "\"}"]);
}

fn plain(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| internal("JSON").with_source(e))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::oid::ObjectId;
    use mongodb::bson::{DateTime, Document, Timestamp, doc};

    use super::*;

    #[test]
    fn it_is_read_back_as_what_it_was() {
        let document = doc! {
            "z": 1, "a": 2_i64, "d": 1.5, "big": 1e300, "nan": f64::INFINITY, "t": Timestamp { time: 1, increment: 2 },
            "x": ["\"ü\n", true, Bson::Null, Bson::MinKey], "o": ObjectId::from_bytes([7; 12]), "at": DateTime::from_millis(5),
        };
        let text = canonical(&Bson::Document(document.clone())).unwrap();
        assert!(
            text.starts_with(
                "{\"z\":{\"$numberInt\":\"1\"},\"a\":{\"$numberLong\":\"2\"},\"d\":{\"$numberDouble\":\"1.5\"}"
            ),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document);
    }
}
