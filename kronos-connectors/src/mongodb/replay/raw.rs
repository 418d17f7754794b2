//! Documents as bytes: their fields one after another, and new ones made of such. Nothing is
//! decoded, so that what is not touched stays as it is, whatever it is: names twice, bytes that are
//! no UTF-8, types that a driver does not know.
//!
//! The layout is that of <https://bsonspec.org/spec.html>.

use kronos_core::Result;

use super::super::error::corrupt;

pub(super) const DOUBLE: u8 = 0x01;
pub(super) const STRING: u8 = 0x02;
pub(super) const DOCUMENT: u8 = 0x03;
pub(super) const ARRAY: u8 = 0x04;
pub(super) const BINARY: u8 = 0x05;
pub(super) const BOOLEAN: u8 = 0x08;
pub(super) const NULL: u8 = 0x0a;
pub(super) const INT32: u8 = 0x10;
pub(super) const TIMESTAMP: u8 = 0x11;
pub(super) const INT64: u8 = 0x12;
pub(super) const DECIMAL: u8 = 0x13;

/// A value: its type, and its bytes without name and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) kind: u8,
    pub(super) bytes: &'a [u8],
}

/// A value that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OwnedValue {
    pub(super) kind: u8,
    pub(super) bytes: Vec<u8>,
}

impl OwnedValue {
    pub(super) fn get(&self) -> Value<'_> {
        Value { kind: self.kind, bytes: &self.bytes }
    }
}

impl<'a> Value<'a> {
    pub(super) const NULL: Value<'static> = Value { kind: NULL, bytes: &[] };

    pub(super) fn owned(self) -> OwnedValue {
        OwnedValue { kind: self.kind, bytes: self.bytes.to_vec() }
    }

    /// The bytes of a document, if it is one.
    pub(super) fn document(self) -> Option<&'a [u8]> {
        (self.kind == DOCUMENT).then_some(self.bytes)
    }

    pub(super) fn array(self) -> Option<&'a [u8]> {
        (self.kind == ARRAY).then_some(self.bytes)
    }

    /// Subtype and bytes of a binary.
    pub(super) fn binary(self) -> Option<(u8, &'a [u8])> {
        let (subtype, bytes) = self.bytes.get(4..)?.split_first()?;
        (self.kind == BINARY).then_some((*subtype, bytes))
    }

    pub(super) fn text(self) -> Option<&'a str> {
        let text = self.bytes.get(4..)?.strip_suffix(&[0])?;
        if self.kind == STRING { std::str::from_utf8(text).ok() } else { None }
    }

    /// A whole number of any type.
    pub(super) fn number(self) -> Option<i64> {
        match self.kind {
            INT32 => self.bytes.try_into().ok().map(i32::from_le_bytes).map(i64::from),
            INT64 => self.bytes.try_into().ok().map(i64::from_le_bytes),
            DOUBLE => {
                let number = f64::from_le_bytes(self.bytes.try_into().ok()?);
                #[allow(clippy::cast_possible_truncation, reason = "it is whole and small")]
                (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
            }
            _ => None,
        }
    }

    /// A place in an array, or a length of one.
    pub(super) fn index(self) -> Option<usize> {
        self.number().and_then(|number| usize::try_from(number).ok())
    }

    pub(super) fn is_true(self) -> bool {
        (self.kind == BOOLEAN && self.bytes == [1]) || self.number().is_some_and(|number| number != 0)
    }

    /// Seconds and increment as one number, in the order of time.
    pub(super) fn timestamp(self) -> Option<u64> {
        (self.kind == TIMESTAMP).then(|| self.bytes.try_into().ok().map(u64::from_le_bytes)).flatten()
    }
}

/// A field of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: Value<'a>,
}

/// The fields of a document or array, in order.
pub(super) fn fields(document: &[u8]) -> Result<Vec<Field<'_>>> {
    let broken = || corrupt("a document is not whole");
    let length = document.first_chunk().map(|length| i32::from_le_bytes(*length));
    if length.and_then(|length| usize::try_from(length).ok()) != Some(document.len()) {
        return Err(broken());
    }
    let mut rest = document.get(4..).and_then(|rest| rest.strip_suffix(&[0])).ok_or_else(broken)?;
    let mut fields = Vec::new();
    while let Some((&kind, after)) = rest.split_first() {
        let end = after.iter().position(|byte| *byte == 0).ok_or_else(broken)?;
        let (name, value) = (&after[..end], &after[end + 1..]);
        let size = size(kind, value).filter(|size| *size <= value.len()).ok_or_else(broken)?;
        fields.push(Field { name, value: Value { kind, bytes: &value[..size] } });
        rest = &value[size..];
    }
    Ok(fields)
}

/// How many of the bytes are the value.
fn size(kind: u8, value: &[u8]) -> Option<usize> {
    let length = || usize::try_from(i32::from_le_bytes(*value.first_chunk()?)).ok();
    match kind {
        0x06 | 0x0a | 0x7f | 0xff => Some(0),
        0x08 => Some(1),
        0x10 => Some(4),
        0x01 | 0x09 | 0x11 | 0x12 => Some(8),
        0x07 => Some(12),
        0x13 => Some(16),
        0x02 | 0x0d | 0x0e => length()?.checked_add(4),
        0x03 | 0x04 | 0x0f => length().filter(|length| *length >= 5),
        0x05 => length()?.checked_add(5),
        0x0c => length()?.checked_add(16),
        0x0b => {
            let first = value.iter().position(|byte| *byte == 0)? + 1;
            Some(first + value[first..].iter().position(|byte| *byte == 0)? + 1)
        }
        _ => None,
    }
}

/// The first field of that name.
pub(super) fn find<'a>(document: &'a [u8], name: &str) -> Result<Option<Value<'a>>> {
    Ok(fields(document)?.into_iter().find(|field| field.name == name.as_bytes()).map(|field| field.value))
}

/// A document in the making.
#[derive(Debug)]
pub(super) struct Builder(Vec<u8>);

impl Builder {
    pub(super) fn new() -> Self {
        Self(vec![0; 4])
    }

    pub(super) fn push(&mut self, name: &[u8], value: Value<'_>) {
        self.0.push(value.kind);
        self.0.extend_from_slice(name);
        self.0.push(0);
        self.0.extend_from_slice(value.bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails when it is longer than a document can be.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.0.push(0);
        let length = i32::try_from(self.0.len()).map_err(|_| corrupt("a document grows too large"))?;
        self.0[..4].copy_from_slice(&length.to_le_bytes());
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc, oid::ObjectId};

    use super::*;

    #[test]
    fn every_type_is_passed_over_by_its_size() {
        let mut all: Document = doc! {
            "double": 1.5, "text": "a\u{1f}b", "document": { "a": { "b": 1 } }, "array": [1, [2], "3"], "id": ObjectId::new(),
            "true": true, "null": null, "int": 1, "long": 2_i64, "": "no name", "a.b": "$dot",
            "time": mongodb::bson::DateTime::from_millis(7), "stamp": mongodb::bson::Timestamp { time: 1, increment: 2 },
            "regex": mongodb::bson::Regex { pattern: "a.*".try_into().unwrap(), options: "ix".try_into().unwrap() },
            "code": mongodb::bson::Bson::JavaScriptCode("f()".to_owned()),
            "min": mongodb::bson::Bson::MinKey, "max": mongodb::bson::Bson::MaxKey,
            "undefined": mongodb::bson::Bson::Undefined, "symbol": mongodb::bson::Bson::Symbol("s".to_owned()),
        };
        all.insert("decimal", mongodb::bson::Bson::Decimal128("1.10".parse().unwrap()));
        all.insert(
            "binary",
            mongodb::bson::Binary { subtype: mongodb::bson::spec::BinarySubtype::Generic, bytes: vec![0, 1, 0] },
        );
        let code = mongodb::bson::JavaScriptCodeWithScope { code: "f()".to_owned(), scope: doc! { "x": 1 } };
        all.insert("scoped", mongodb::bson::Bson::JavaScriptCodeWithScope(code));
        let bytes = all.to_vec().unwrap();
        let fields = fields(&bytes).unwrap();
        assert_eq!(fields.len(), all.len());
        let mut same = Builder::new();
        for field in &fields {
            same.push(field.name, field.value);
        }
        assert_eq!(same.finish().unwrap(), bytes);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let bytes = doc! { "a": "text", "b": { "c": 1 } }.to_vec().unwrap();
        assert!((0..bytes.len()).all(|end| fields(&bytes[..end]).is_err()));
        let mut longer = bytes.clone();
        longer[7..11].copy_from_slice(&i32::MAX.to_le_bytes());
        assert!(fields(&longer).is_err());
    }
}
