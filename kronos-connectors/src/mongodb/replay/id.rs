//! Which `_id`s are one and the same to the server, as far as order needs it: numbers of different
//! types are equal, in documents and arrays too. Two that get the same key need not be equal, two
//! that are equal always get the same key.

use super::raw::{ARRAY, DECIMAL, DOCUMENT, DOUBLE, INT32, INT64, Value, fields};
use kronos_core::Result;

/// The key under which writes to a document are kept in order.
pub(super) fn key(id: Value<'_>) -> Result<Vec<u8>> {
    let mut key = Vec::with_capacity(id.bytes.len() + 1);
    push(id, &mut key)?;
    Ok(key)
}

fn push(value: Value<'_>, key: &mut Vec<u8>) -> Result<()> {
    match value.kind {
        DOUBLE | INT32 | INT64 | DECIMAL => {
            key.push(DOUBLE);
            key.extend_from_slice(&approximate(value).to_le_bytes());
        }
        DOCUMENT | ARRAY => {
            key.push(value.kind);
            for field in fields(value.bytes)? {
                key.extend_from_slice(field.name);
                key.push(0);
                push(field.value, key)?;
            }
            key.push(0);
        }
        // A symbol and a text are compared as texts.
        0x0e => push(Value { kind: 0x02, bytes: value.bytes }, key)?,
        kind => {
            key.push(kind);
            key.extend_from_slice(value.bytes);
        }
    }
    Ok(())
}

/// A number without its type. Large ones that differ may come out the same.
#[allow(clippy::cast_precision_loss, reason = "told above")]
fn approximate(value: Value<'_>) -> f64 {
    let number = match (value.kind, value.number()) {
        (DOUBLE, _) => value.bytes.try_into().map_or(f64::NAN, f64::from_le_bytes),
        (DECIMAL, _) => {
            let bytes: [u8; 16] = value.bytes.try_into().unwrap_or_default();
            let decimal = mongodb::bson::Decimal128::from_bytes(bytes).to_string();
            decimal.parse().unwrap_or(f64::NAN)
        }
        (_, number) => number.map_or(f64::NAN, |number| number as f64),
    };
    // As a single, so that a decimal and a double that are equal do not differ by their rounding;
    // both zeros and all that are no numbers are one.
    #[allow(clippy::cast_possible_truncation, reason = "meant")]
    let rough = f64::from(number as f32);
    if rough.is_nan() { f64::NAN } else { rough + 0.0 }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Bson, doc};

    use super::*;

    fn of(id: impl Into<Bson>) -> Vec<u8> {
        let document = doc! { "_id": id.into() }.to_vec().unwrap();
        key(fields(&document).unwrap()[0].value).unwrap()
    }

    #[test]
    fn equal_numbers_are_one_and_the_rest_is_apart() {
        assert_eq!(of(1), of(1_i64));
        assert_eq!(of(1), of(1.0));
        assert_eq!(of(0), of(-0.0));
        assert_eq!(of(1), of(Bson::Decimal128("1.00".parse().unwrap())));
        assert_eq!(of(0.1), of(Bson::Decimal128("0.1000000000000000055511151231257827".parse().unwrap())));
        assert_eq!(of(doc! { "a": [1, { "b": 2.0 }] }), of(doc! { "a": [1_i64, { "b": 2 }] }));
        assert_eq!(of("a"), of(Bson::Symbol("a".to_owned())));
        assert!(of(1) != of("1") && of("a") != of("b") && of(1) != of(2) && of(true) != of(false));
        assert!(of(doc! { "a": 1, "b": 1 }) != of(doc! { "b": 1, "a": 1 }));
    }
}
