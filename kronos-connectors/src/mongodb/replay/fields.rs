//! Applies the `updateDescription` of a change event to a document.
//!
//! A path is names joined by dots, digits stand for places in arrays. Where that could be misread
//! `disambiguatedPaths` has the same path part by part, with numbers for places. A path through
//! something that is no longer a document or array is left alone: a later event writes it over.

use std::collections::HashSet;

use kronos_core::{Error, ErrorKind, Result};

use super::super::error::corrupt;
use super::diff::check_size;
use super::raw::{self, Builder, OwnedValue, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Name(Vec<u8>),
    Place(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Set(OwnedValue),
    Remove,
    Truncate(usize),
}

/// What an event changed in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update(Vec<(Vec<Part>, Change)>);

impl Update {
    /// Reads an `updateDescription`.
    pub(super) fn read(description: &[u8]) -> Result<Self> {
        let wrong = || corrupt("a change event does not tell what was updated");
        let exact = raw::find(description, "disambiguatedPaths")?.and_then(Value::document);
        let mut changes = Vec::new();
        for part in raw::fields(description)? {
            match part.name {
                b"removedFields" => {
                    for field in raw::fields(part.value.array().ok_or_else(wrong)?)? {
                        let path = field.value.text().ok_or_else(wrong)?.as_bytes();
                        changes.push((parts(path, exact)?, Change::Remove));
                    }
                }
                b"truncatedArrays" => {
                    for field in raw::fields(part.value.array().ok_or_else(wrong)?)? {
                        let one = field.value.document().ok_or_else(wrong)?;
                        let path = raw::find(one, "field")?.and_then(Value::text).ok_or_else(wrong)?;
                        let size = raw::find(one, "newSize")?.and_then(Value::index).ok_or_else(wrong)?;
                        changes.push((parts(path.as_bytes(), exact)?, Change::Truncate(size)));
                    }
                }
                b"updatedFields" => {
                    for field in raw::fields(part.value.document().ok_or_else(wrong)?)? {
                        changes.push((parts(field.name, exact)?, Change::Set(field.value.owned())));
                    }
                }
                b"disambiguatedPaths" => {}
                other => {
                    return Err(corrupt("a change event tells of an update in a way that Kronos does not know")
                        .with("part", String::from_utf8_lossy(other)));
                }
            }
        }
        // A field named `a.b` and a field `b` in `a` have one name there.
        if let Some(twice) = twice(description)? {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a change event names two fields alike, and does not tell which is which",
            )
            .with("field", String::from_utf8_lossy(&twice))
            .with("hint", "the oplog tells them apart: back up with changes = oplog"));
        }
        // First what goes away, as the server does.
        changes.sort_by_key(|(_, change)| matches!(change, Change::Set(_)));
        Ok(Self(changes))
    }

    /// Whether it takes fields away.
    pub(super) fn removes(&self) -> bool {
        self.removed_paths().next().is_some()
    }

    /// The paths that it takes away.
    pub(super) fn removed_paths(&self) -> impl Iterator<Item = &dyn std::fmt::Debug> {
        let removed = self.0.iter().filter(|(_, change)| *change == Change::Remove);
        removed.map(|(path, _)| path as &dyn std::fmt::Debug)
    }

    /// The paths that it sets.
    pub(super) fn set_paths(&self) -> impl Iterator<Item = &dyn std::fmt::Debug> {
        let set = self.0.iter().filter(|(_, change)| matches!(change, Change::Set(_)));
        set.map(|(path, _)| path as &dyn std::fmt::Debug)
    }

    /// About as many bytes as it takes.
    pub(super) fn size(&self) -> usize {
        let of = |change: &Change| if let Change::Set(value) = change { value.bytes.len() } else { 0 };
        self.0.iter().map(|(path, change)| path.len() * 32 + of(change) + 32).sum()
    }

    /// The document after the update.
    pub(super) fn apply(&self, document: &[u8]) -> Result<Vec<u8>> {
        let mut document = document.to_vec();
        for (path, change) in &self.0 {
            if let Some(changed) = apply(&document, false, path, change)? {
                document = changed;
            }
        }
        Ok(document)
    }
}

/// A path that is named more than once.
fn twice(description: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut seen = HashSet::new();
    for part in raw::fields(description)? {
        let names: Vec<&[u8]> = match (part.name, part.value.array(), part.value.document()) {
            (b"removedFields", Some(array), _) => {
                raw::fields(array)?.iter().filter_map(|field| field.value.text()).map(str::as_bytes).collect()
            }
            (b"updatedFields", _, Some(fields)) => raw::fields(fields)?.iter().map(|field| field.name).collect(),
            _ => continue,
        };
        if let Some(twice) = names.into_iter().find(|name| !seen.insert(*name)) {
            return Ok(Some(twice.to_vec()));
        }
    }
    Ok(None)
}

/// The parts of a path.
fn parts(path: &[u8], exact: Option<&[u8]>) -> Result<Vec<Part>> {
    let exact = exact.map(raw::fields).transpose()?.unwrap_or_default();
    if let Some(field) = exact.iter().find(|field| field.name == path) {
        let wrong = || corrupt("a path of a change event cannot be read");
        let parts = raw::fields(field.value.array().ok_or_else(wrong)?)?;
        return parts
            .iter()
            .map(|part| match (part.value.text(), part.value.index()) {
                (Some(name), _) => Ok(Part::Name(name.as_bytes().to_vec())),
                (None, Some(place)) => Ok(Part::Place(place)),
                (None, None) => Err(wrong()),
            })
            .collect();
    }
    // The first part is a field of the document, whatever it looks like.
    let part = |(depth, name): (usize, &[u8])| match place(name) {
        Some(place) if depth > 0 => Part::Place(place),
        _ => Part::Name(name.to_vec()),
    };
    Ok(path.split(|byte| *byte == b'.').enumerate().map(part).collect())
}

/// Digits without zeros before them.
fn place(name: &[u8]) -> Option<usize> {
    let is_number = name.iter().all(u8::is_ascii_digit) && (name.len() == 1 || !name.starts_with(b"0"));
    if is_number { std::str::from_utf8(name).ok()?.parse().ok() } else { None }
}

/// The document or array after one change; `None` where nothing changes.
fn apply(container: &[u8], is_array: bool, path: &[Part], change: &Change) -> Result<Option<Vec<u8>>> {
    let Some((part, rest)) = path.split_first() else { return Ok(None) };
    let fields = raw::fields(container)?;
    let position = match (part, is_array) {
        (Part::Place(place), true) => (*place < fields.len()).then_some(*place),
        (Part::Name(name), false) => fields.iter().position(|field| field.name == name),
        _ => return Ok(None),
    };
    let deeper = match (position, rest, change) {
        // The array itself.
        (Some(at), [], Change::Truncate(size)) => {
            let Some(array) = fields[at].value.array() else { return Ok(None) };
            Some(truncated(array, *size)?)
        }
        (Some(at), [_, ..], _) => {
            let value = fields[at].value;
            let inner = match (value.document(), value.array()) {
                (Some(document), _) => apply(document, false, rest, change)?,
                (_, Some(array)) => apply(array, true, rest, change)?,
                (None, None) => None,
            };
            let Some(inner) = inner else { return Ok(None) };
            Some(inner)
        }
        (Some(_), [], _) | (None, [], Change::Set(_)) => None,
        (None, ..) => return Ok(None),
    };
    let mut built = Builder::new();
    for (at, field) in fields.iter().enumerate() {
        // A name that is there twice is the same field twice, for the server too.
        let is_it =
            if is_array { Some(at) == position } else { matches!(part, Part::Name(name) if field.name == name) };
        match (is_it, &deeper, change) {
            (false, ..) => built.push(field.name, field.value),
            (true, Some(bytes), _) => built.push(field.name, Value { kind: field.value.kind, bytes }),
            (true, None, Change::Set(value)) => built.push(field.name, value.get()),
            // A place in an array stays, and is empty.
            (true, None, _) if is_array => built.push(field.name, Value::NULL),
            (true, None, _) => {}
        }
    }
    if let (None, Change::Set(value)) = (position, change) {
        match part {
            Part::Name(name) => built.push(name, value.get()),
            Part::Place(place) => {
                for between in fields.len()..*place {
                    built.push(between.to_string().as_bytes(), Value::NULL);
                    check_size(&built)?;
                }
                built.push(place.to_string().as_bytes(), value.get());
            }
        }
    }
    built.finish().map(Some)
}

fn truncated(array: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut built = Builder::new();
    raw::fields(array)?.iter().take(size).for_each(|field| built.push(field.name, field.value));
    built.finish()
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc};

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "what a test makes in place")]
    fn after(document: Document, description: Document) -> Document {
        let update = Update::read(&description.to_vec().unwrap()).unwrap();
        Document::from_reader(&update.apply(&document.to_vec().unwrap()).unwrap()[..]).unwrap()
    }

    #[test]
    fn fields_are_set_removed_and_arrays_cut() {
        let document = doc! { "_id": 1, "a": 1, "b": { "x": [1, 2, 3], "y": 2 }, "c": [{ "d": 1 }, { "d": 2 }] };
        let description = doc! {
            "updatedFields": { "b.x.0": 7, "c.1.d": 9, "new": { "deep": 1 } }, "removedFields": ["a", "b.y"],
            "truncatedArrays": [{ "field": "b.x", "newSize": 2 }], "disambiguatedPaths": {},
        };
        let expected = doc! { "_id": 1, "b": { "x": [7, 2] }, "c": [{ "d": 1 }, { "d": 9 }], "new": { "deep": 1 } };
        assert_eq!(after(document, description), expected);
    }

    #[test]
    fn names_with_dots_and_digits_are_told_apart() {
        let document = doc! { "_id": 1, "a.b": 1, "home": { "0": "x", "c.d": 1 }, "list": [{ "1": 1 }], "7": 1 };
        let description = doc! {
            "updatedFields": { "a.b": 2, "home.0": "y", "list.0.1": 5, "7": 8 }, "removedFields": ["home.c.d"], "truncatedArrays": [],
            "disambiguatedPaths": { "a.b": ["a.b"], "home.0": ["home", "0"], "list.0.1": ["list", 0, "1"], "home.c.d": ["home", "c.d"] },
        };
        assert_eq!(
            after(document, description),
            doc! { "_id": 1, "a.b": 2, "home": { "0": "y" }, "list": [{ "1": 5 }], "7": 8 }
        );
    }

    #[test]
    fn two_fields_of_one_name_are_refused() {
        let mut updated = mongodb::bson::RawDocumentBuf::new();
        updated.append(mongodb::bson::cstr!("a.b"), 1);
        updated.append(mongodb::bson::cstr!("a.b"), 2);
        let description = mongodb::bson::rawdoc! { "updatedFields": updated, "removedFields": [] };
        let error = Update::read(description.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::Unsupported, Some("a.b")));
    }

    #[test]
    fn a_document_that_is_newer_than_the_update_is_borne() {
        let newer = doc! { "_id": 1, "a": "text", "b": [1], "c": { "0": 1 } };
        let description = doc! {
            "updatedFields": { "a.x": 1, "b.3": 4, "c.0": 2, "gone.x": 1 }, "removedFields": ["gone", "a.y", "b.0"],
            "truncatedArrays": [{ "field": "a", "newSize": 1 }, { "field": "gone", "newSize": 0 }],
        };
        assert_eq!(
            after(newer, description),
            doc! { "_id": 1, "a": "text", "b": [null, null, null, 4], "c": { "0": 1 } }
        );
    }
}
