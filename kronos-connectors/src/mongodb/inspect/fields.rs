//! Which fields documents have, as columns.

use std::collections::HashMap;

use kronos_core::inspect::Column;
use mongodb::bson::{Bson, Document};

/// A field of a sample.
#[derive(Debug, Default)]
struct Field {
    documents: u32,
    types: HashMap<&'static str, u32>,
}

/// The fields of the topmost level in the order in which they were first met.
pub(super) fn of(sample: &[Document]) -> Vec<Column> {
    let mut order: Vec<&str> = Vec::new();
    let mut fields: HashMap<&str, Field> = HashMap::new();
    for document in sample {
        for (name, value) in document {
            let field = fields.entry(name).or_insert_with(|| {
                order.push(name);
                Field::default()
            });
            field.documents += 1;
            *field.types.entry(type_name(value)).or_default() += 1;
        }
    }
    let all = sample.len();
    let column = |(position, name): (u32, &str)| {
        let field = fields.remove(name).unwrap_or_default();
        let nulls = field.types.get("null").copied().unwrap_or_default();
        let mut types: Vec<(&str, u32)> = field.types.into_iter().collect();
        types.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        let types: Vec<&str> = types.into_iter().map(|(name, _)| name).collect();
        Column {
            name: name.to_owned(),
            position,
            data_type: types.join(" | "),
            nullable: nulls > 0 || (field.documents as usize) < all,
            key: (name == "_id").then_some(1),
            frequency: Some(f64::from(field.documents) / all as f64),
            ..Column::default()
        }
    };
    (1..).zip(order).map(column).collect()
}

/// As `$type` names them.
fn type_name(value: &Bson) -> &'static str {
    match value {
        Bson::Double(_) => "double",
        Bson::String(_) => "string",
        Bson::Document(_) => "object",
        Bson::Array(_) => "array",
        Bson::Binary(_) => "binData",
        Bson::ObjectId(_) => "objectId",
        Bson::Boolean(_) => "bool",
        Bson::DateTime(_) => "date",
        Bson::Null => "null",
        Bson::RegularExpression(_) => "regex",
        Bson::JavaScriptCode(_) => "javascript",
        Bson::JavaScriptCodeWithScope(_) => "javascriptWithScope",
        Bson::Int32(_) => "int",
        Bson::Int64(_) => "long",
        Bson::Timestamp(_) => "timestamp",
        Bson::Decimal128(_) => "decimal",
        Bson::MinKey => "minKey",
        Bson::MaxKey => "maxKey",
        Bson::Undefined => "undefined",
        Bson::Symbol(_) => "symbol",
        Bson::DbPointer(_) => "dbPointer",
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn types_and_frequency() {
        let found = of(&[
            doc! { "_id": 1, "a": "x" },
            doc! { "_id": 2, "a": 5, "b": Bson::Null },
            doc! { "_id": "3", "a": "y" },
        ]);
        let shown: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.data_type.as_str(), c.nullable, c.key)).collect();
        assert_eq!(
            shown,
            [("_id", "int | string", false, Some(1)), ("a", "string | int", false, None), ("b", "null", true, None)]
        );
        assert!((found[2].frequency.unwrap() - 1.0 / 3.0).abs() < 1e-9);
        assert!(of(&[]).is_empty());
    }
}
