//! Applies an update of the oplog, `{$v: 2, diff: …}`, to a document.
//!
//! In a diff, `d` names fields that went away, `u` holds those with a new value, `i` those that are
//! new, `b` new ends of binaries, `s` and the field's name a diff of a document or array inside. A diff
//! of an array has `a: true`, `l` for its new length, and `u` or `s` with the place.
//!
//! An entry may be older than the document it is applied to. What it says of a place that is no
//! longer what it was is then written over by a later entry, so that anything may be put there; this
//! puts what the server puts: `null`. A field of `i` goes to the end even where it exists, or the
//! order of fields would not come out right in the end.

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Result};

use super::super::error::corrupt;
use super::raw::{self, Builder, Field, OwnedValue, Value};
use super::tail::Tail;

/// Documents are not nested deeper than the server lets them.
const DEEPEST: usize = 200;

/// What a diff says of one field, or of one place in an array.
#[derive(Debug)]
enum Change<'a> {
    Delete,
    Update(Value<'a>),
    Insert,
    Inside(&'a [u8]),
    Tail(Tail<'a>),
}

/// A diff of a document.
#[derive(Debug, Default)]
struct Parts<'a> {
    changes: BTreeMap<&'a [u8], Change<'a>>,
    /// What goes to the end where it is not there, in this order.
    new: Vec<Field<'a>>,
}

/// A diff of an array.
#[derive(Debug, Default)]
struct ArrayParts<'a> {
    length: Option<usize>,
    changes: BTreeMap<usize, Change<'a>>,
}

impl<'a> Parts<'a> {
    fn read(diff: &'a [u8]) -> Result<Self> {
        let mut parts = Self::default();
        for section in raw::fields(diff)? {
            let inner = section.value.document().ok_or_else(|| unknown(section.name))?;
            match section.name {
                b"d" => raw::fields(inner)?.iter().try_for_each(|field| parts.note(field.name, Change::Delete))?,
                b"u" | b"i" => {
                    for field in raw::fields(inner)? {
                        let is_new = section.name == b"i";
                        parts.note(field.name, if is_new { Change::Insert } else { Change::Update(field.value) })?;
                        parts.new.push(field);
                    }
                }
                b"b" => {
                    for field in raw::fields(inner)? {
                        parts.note(field.name, Change::Tail(Tail::read(field.value)?))?;
                    }
                }
                [b's', name @ ..] => parts.note(name, Change::Inside(inner))?,
                other => return Err(unknown(other)),
            }
        }
        Ok(parts)
    }

    fn note(&mut self, name: &'a [u8], change: Change<'a>) -> Result<()> {
        match self.changes.insert(name, change) {
            None => Ok(()),
            Some(_) => Err(corrupt("an update names a field twice")),
        }
    }
}

impl<'a> ArrayParts<'a> {
    fn read(diff: &'a [u8]) -> Result<Self> {
        let mut parts = Self::default();
        for field in raw::fields(diff)? {
            match field.name {
                b"a" => {}
                b"l" => parts.length = Some(field.value.index().ok_or_else(|| unknown(field.name))?),
                [kind @ (b'u' | b's'), place @ ..] => {
                    let place = std::str::from_utf8(place).ok().and_then(|place| place.parse::<usize>().ok());
                    let place = place.ok_or_else(|| unknown(field.name))?;
                    let inside = || field.value.document().ok_or_else(|| unknown(field.name));
                    let change = if *kind == b's' { Change::Inside(inside()?) } else { Change::Update(field.value) };
                    parts.changes.insert(place, change);
                }
                other => return Err(unknown(other)),
            }
        }
        Ok(parts)
    }
}

fn is_of_array(diff: &[u8]) -> Result<bool> {
    Ok(raw::find(diff, "a")?.is_some_and(Value::is_true))
}

/// Whether a diff can be applied, whatever it will be applied to.
pub(super) fn check(diff: &[u8]) -> Result<()> {
    check_parts(Parts::read(diff)?.changes.values(), 1)
}

fn check_parts<'a>(mut changes: impl Iterator<Item = &'a Change<'a>>, depth: usize) -> Result<()> {
    if depth > DEEPEST {
        return Err(corrupt("an update of the oplog is nested too deep"));
    }
    changes.try_for_each(|change| match change {
        Change::Inside(diff) if is_of_array(diff)? => check_parts(ArrayParts::read(diff)?.changes.values(), depth + 1),
        Change::Inside(diff) => check_parts(Parts::read(diff)?.changes.values(), depth + 1),
        _ => Ok(()),
    })
}

/// The document after the update.
pub(super) fn apply(document: &[u8], diff: &[u8]) -> Result<Vec<u8>> {
    let Parts { changes, new } = Parts::read(diff)?;
    let (mut built, mut written) = (Builder::new(), Vec::new());
    for field in raw::fields(document)? {
        match changes.get(field.name) {
            None => built.push(field.name, field.value),
            Some(Change::Delete | Change::Insert) => {}
            Some(Change::Update(value)) => {
                built.push(field.name, *value);
                written.push(field.name);
            }
            Some(Change::Inside(diff)) => push_inside(&mut built, field.name, Some(field.value), diff)?,
            Some(Change::Tail(tail)) => {
                let after = tail.apply(field.value)?;
                built.push(field.name, after.as_ref().map_or(Value::NULL, OwnedValue::get));
            }
        }
    }
    new.iter().filter(|field| !written.contains(&field.name)).for_each(|field| built.push(field.name, field.value));
    built.finish()
}

/// A value after a diff of what is inside it; `null` where it is not what it was.
fn push_inside(built: &mut Builder, name: &[u8], value: Option<Value<'_>>, diff: &[u8]) -> Result<()> {
    let changed = match value {
        Some(value) if is_of_array(diff)? => value.array().map(|array| apply_to_array(array, diff)).transpose()?,
        Some(value) => value.document().map(|document| apply(document, diff)).transpose()?,
        None => None,
    };
    match (changed, value) {
        (Some(bytes), Some(value)) => built.push(name, Value { kind: value.kind, bytes: &bytes }),
        _ => built.push(name, Value::NULL),
    }
    Ok(())
}

fn apply_to_array(array: &[u8], diff: &[u8]) -> Result<Vec<u8>> {
    let ArrayParts { length, changes } = ArrayParts::read(diff)?;
    let before = raw::fields(array)?;
    let needed = changes.last_key_value().map_or(0, |(place, _)| place + 1);
    let length = length.map_or(before.len().max(needed), |length| length.max(needed));
    let mut built = Builder::new();
    for place in 0..length {
        let (name, value) = (place.to_string(), before.get(place).map(|field| field.value));
        match changes.get(&place) {
            Some(Change::Update(value)) => built.push(name.as_bytes(), *value),
            Some(Change::Inside(diff)) => push_inside(&mut built, name.as_bytes(), value, diff)?,
            _ => built.push(name.as_bytes(), value.unwrap_or(Value::NULL)),
        }
        check_size(&built)?;
    }
    built.finish()
}

/// A forged place in an array must not fill the memory.
pub(super) fn check_size(built: &Builder) -> Result<()> {
    if built.len() > 64 << 20 { Err(corrupt("a document grows too large")) } else { Ok(()) }
}

fn unknown(section: &[u8]) -> Error {
    Error::new(ErrorKind::Unsupported, "an update of the oplog has a part that Kronos does not know")
        .with("part", String::from_utf8_lossy(section))
        .with("hint", "run the backup again with `changes = \"change-stream\"`")
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc};

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "what a test makes in place")]
    fn after(document: Document, diff: Document) -> Result<Document> {
        let bytes = apply(&document.to_vec().unwrap(), &diff.to_vec().unwrap())?;
        Ok(Document::from_reader(&bytes[..]).unwrap())
    }

    #[test]
    fn each_part_does_what_it_says_and_order_stays() {
        let document = doc! { "_id": 1, "a": 1, "b": 2, "c": { "x": 1, "y": [1, 2, 3] }, "e": [{ "f": 1 }, 5] };
        let diff = doc! {
            "d": { "a": false }, "u": { "b": "two" }, "i": { "new": 1, "z": 2 },
            "sc": { "i": { "n": 1 }, "sy": { "a": true, "l": 2, "u0": 9 } },
            "se": { "a": true, "u1": 6, "s0": { "u": { "f": 7 } } },
        };
        let expected = doc! {
            "_id": 1, "b": "two", "c": { "x": 1, "y": [9, 2], "n": 1 }, "e": [{ "f": 7 }, 6], "new": 1, "z": 2,
        };
        assert_eq!(after(document, diff).unwrap(), expected);
    }

    #[test]
    fn names_may_hold_dots_and_digits_and_look_like_parts() {
        let document = doc! { "_id": 1, "a.b": 1, "0": { "1": 2 }, "s": { "s": 1 }, "$x": 1 };
        let diff =
            doc! { "d": { "$x": false }, "u": { "a.b": 2 }, "s0": { "u": { "1": 3 } }, "ss": { "u": { "s": 2 } } };
        assert_eq!(after(document, diff).unwrap(), doc! { "_id": 1, "a.b": 2, "0": { "1": 3 }, "s": { "s": 2 } });
    }

    #[test]
    fn a_document_that_is_newer_than_the_update_is_borne() {
        let newer = doc! { "_id": 1, "a": "was a document", "b": [1], "n": 5, "m": 6 };
        let diff = doc! { "u": { "gone": 1 }, "i": { "n": 4 }, "sa": { "u": { "x": 1 } }, "sb": { "a": true, "u3": 7 }, "sx": { "d": { "y": false } } };
        let expected = doc! { "_id": 1, "a": null, "b": [1, null, null, 7], "m": 6, "gone": 1, "n": 4 };
        assert_eq!(after(newer.clone(), diff).unwrap(), expected);
        assert_eq!(
            after(newer, doc! { "sb": { "a": true, "l": 3, "s2": { "u": { "x": 1 } } } })
                .unwrap()
                .get_array("b")
                .unwrap()
                .len(),
            3
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(after(doc! {}, doc! { "q": { "a": 1 } }).unwrap_err().to_string().contains("part: q"));
        assert!(after(doc! { "b": [1] }, doc! { "sb": { "a": true, "l": 2_000_000_000 } }).is_err());
        assert!(after(doc! {}, doc! { "u": { "a": 1 }, "d": { "a": false } }).is_err());
        // Before there is a document that it would be applied to.
        let checked = |diff: Document| check(&diff.to_vec().unwrap());
        for strange in [
            doc! { "q": 1 },
            doc! { "u": 1 },
            doc! { "sa": { "q": 1 } },
            doc! { "sa": { "a": true, "s0": { "q": 1 } } },
            doc! { "sa": { "a": true, "ux": 1 } },
            doc! { "sa": { "a": true, "d": {} } },
        ] {
            assert!(checked(strange.clone()).is_err(), "{strange}");
        }
        let deep = (0..300).fold(doc! { "u": { "a": 1 } }, |inner, _| doc! { "sa": inner });
        assert!(checked(deep).is_err());
        checked(doc! { "d": { "a": false }, "sb": { "a": true, "l": 1, "s0": { "b": {}, "u": { "c": 1 } } } }).unwrap();
    }
}
