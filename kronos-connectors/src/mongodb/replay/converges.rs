//! Random histories of a document, as the oplog and as change events tell them: whatever moment it was
//! copied at, the whole history applied to the copy ends where the document ended.

use mongodb::bson::{Bson, Document, doc};

use super::fields::Update;
use super::known::Known;
use super::operation::{Name, Write};
use super::raw;

const NAMES: [&str; 7] = ["a", "b", "c", "a.b", "0", "1", ""];

/// Numbers by a seed: xorshift.
struct Pick(u64);

impl Pick {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }

    fn value(&mut self, depth: usize) -> Bson {
        match self.below(if depth < 3 { 6 } else { 3 }) {
            0 => Bson::Int32(i32::try_from(self.below(5)).unwrap()),
            1 => Bson::String(format!("s{}", self.below(5))),
            2 => Bson::Null,
            3 => Bson::Array((0..self.below(4)).map(|_| self.value(depth + 1)).collect()),
            _ => Bson::Document(self.document(depth + 1)),
        }
    }

    fn document(&mut self, depth: usize) -> Document {
        (0..self.below(4)).map(|_| (NAMES[self.below(NAMES.len())].to_owned(), self.value(depth))).collect()
    }

    /// Changes something somewhere: what is there keeps its place, what is new goes to the end.
    fn change(&mut self, document: &mut Document, depth: usize) {
        let name = NAMES[self.below(NAMES.len())];
        match (self.below(5), document.get_mut(name)) {
            (0, _) => drop(document.remove(name)),
            // Away, and in another place.
            (1, Some(_)) => {
                document.remove(name);
                document.insert(name, self.value(depth));
            }
            (2 | 3, Some(value)) => self.inside(value, depth),
            _ => drop(document.insert(name, self.value(depth))),
        }
    }

    fn inside(&mut self, value: &mut Bson, depth: usize) {
        match value {
            Bson::Document(inner) => self.change(inner, depth + 1),
            Bson::Array(array) => match (self.below(4), array.len()) {
                (0, 1..) => array.truncate(self.below(array.len())),
                (1 | 2, 1..) => {
                    let at = self.below(array.len());
                    self.inside(&mut array[at], depth + 1);
                }
                _ => array.push(self.value(depth + 1)),
            },
            other => *other = self.value(depth),
        }
    }
}

/// The diff by which the oplog tells of a change.
fn diff(before: &Document, after: &Document) -> Document {
    let places: Vec<&String> = before.keys().collect();
    let (mut deleted, mut updated, mut inserted, mut inside) = (doc! {}, doc! {}, doc! {}, doc! {});
    let mut from = 0;
    let mut is_behind = false;
    for (name, value) in after {
        let place = places.iter().skip(from).position(|known| *known == name).filter(|_| !is_behind);
        let Some(place) = place else {
            is_behind = true;
            inserted.insert(name, value.clone());
            continue;
        };
        from += place + 1;
        match within(before.get(name).unwrap(), value) {
            Some(changes) if changes.is_empty() => {}
            Some(changes) => drop(inside.insert(format!("s{name}"), changes)),
            None => drop(updated.insert(name, value.clone())),
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        deleted.insert(name, false);
    }
    let mut diff = doc! {};
    for (section, changes) in [("d", deleted), ("u", updated), ("i", inserted)] {
        if !changes.is_empty() {
            diff.insert(section, changes);
        }
    }
    diff.extend(inside);
    diff
}

/// What changed inside a value; `None` where it is another one.
fn within(before: &Bson, after: &Bson) -> Option<Document> {
    match (before, after) {
        (Bson::Document(before), Bson::Document(after)) => Some(diff(before, after)),
        (Bson::Array(before), Bson::Array(after)) => {
            let mut changes = doc! { "a": true };
            if after.len() < before.len() {
                changes.insert("l", i32::try_from(after.len()).unwrap());
            }
            for (n, value) in after.iter().enumerate() {
                match before.get(n).map_or(Some(None), |old| within(old, value).map(Some)) {
                    Some(Some(inner)) if inner.is_empty() => {}
                    Some(Some(inner)) => drop(changes.insert(format!("s{n}"), inner)),
                    Some(None) | None => drop(changes.insert(format!("u{n}"), value.clone())),
                }
            }
            Some(if changes.len() > 1 {
                changes
            } else {
                doc! {}
            })
        }
        _ if before == after => Some(doc! {}),
        _ => None,
    }
}

/// The same as a change event tells it; nothing where it names two fields alike, which is refused.
fn description(diff: &Document) -> Option<Document> {
    let mut told = doc! { "updatedFields": {}, "removedFields": [], "truncatedArrays": [], "disambiguatedPaths": {} };
    tell(diff, &[], &mut told).then_some(told)
}

fn tell(diff: &Document, path: &[Bson], told: &mut Document) -> bool {
    let is_array = diff.get("a") == Some(&Bson::Boolean(true));
    let mut is_clear = true;
    for (section, changes) in diff {
        let named = |part: Bson| {
            let mut path = path.to_vec();
            path.push(part);
            let text = path.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
            (text.collect::<Vec<_>>().join("."), path)
        };
        let part = |name: &str| {
            if is_array { Bson::Int32(name.parse().unwrap()) } else { Bson::String(name.to_owned()) }
        };
        let mut put = |section: &str, (text, path): (String, Vec<Bson>), value: Option<Bson>| {
            is_clear &= told.get_document_mut("disambiguatedPaths").unwrap().insert(&text, path).is_none();
            match value {
                Some(value) => drop(told.get_document_mut(section).unwrap().insert(text, value)),
                None => told.get_array_mut(section).unwrap().push(Bson::String(text)),
            }
        };
        match (section.as_str(), changes) {
            ("a", Bson::Boolean(_)) if is_array => {}
            ("l", size) if is_array => {
                let all = path.to_vec();
                let text = all.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
                let text = text.collect::<Vec<_>>().join(".");
                is_clear &= told.get_document_mut("disambiguatedPaths").unwrap().insert(&text, all).is_none();
                let one = doc! { "field": text, "newSize": size.clone() };
                told.get_array_mut("truncatedArrays").unwrap().push(Bson::Document(one));
            }
            ("d", Bson::Document(gone)) if !is_array => {
                gone.keys().for_each(|name| put("removedFields", named(part(name)), None));
            }
            ("u" | "i", Bson::Document(fields)) if !is_array => {
                for (name, value) in fields {
                    put("updatedFields", named(part(name)), Some(value.clone()));
                }
            }
            (section, Bson::Document(inner)) if section.starts_with('s') => {
                let within = named(part(&section[1..])).1;
                is_clear &= tell(inner, &within, told);
            }
            (section, value) if is_array && section.starts_with('u') => {
                put("updatedFields", named(part(&section[1..])), Some(value.clone()));
            }
            other => panic!("{other:?}"),
        }
    }
    is_clear
}

/// A document, or none, and what was done to it, in both forms.
fn history(pick: &mut Pick) -> (Vec<Option<Document>>, Vec<[Write; 2]>) {
    let bytes = |document: &Document| document.to_vec().unwrap();
    let new = |pick: &mut Pick| {
        let mut document = doc! { "_id": 1 };
        document.extend(pick.document(0));
        document
    };
    let (mut states, mut writes) = (vec![Some(new(pick))], Vec::new());
    for _ in 0..2 + pick.below(8) {
        let (now, write) = match states.last().unwrap() {
            None => {
                let document = new(pick);
                let write = Write::Insert(bytes(&document));
                (Some(document), [write.clone(), write])
            }
            Some(_) if pick.below(12) == 0 => (None, [Write::Delete, Write::Delete]),
            Some(_) if pick.below(12) == 0 => {
                let document = new(pick);
                let write = Write::Replace(bytes(&document));
                (Some(document), [write.clone(), write])
            }
            Some(before) => {
                let mut after = before.clone();
                for _ in 0..=pick.below(3) {
                    pick.change(&mut after, 0);
                }
                let diff = diff(before, &after);
                let Some(description) = description(&diff) else { continue };
                let update = Update::read(&bytes(&description)).unwrap();
                (Some(after), [Write::Diff(bytes(&diff)), Write::Update(update)])
            }
        };
        states.push(now);
        writes.push(write);
    }
    (states, writes)
}

/// Fields by name, so that their order does not count.
fn sorted(value: &Bson) -> Bson {
    match value {
        Bson::Document(document) => {
            let mut fields: Vec<_> = document.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Bson::Document(fields.into_iter().collect())
        }
        Bson::Array(values) => Bson::Array(values.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[test]
fn whatever_moment_was_copied_the_end_is_the_same() {
    let histories = std::env::var("KRONOS_TEST_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(4000);
    for seed in 1..=histories {
        let mut pick = Pick(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let (states, writes) = history(&mut pick);
        let end = states.last().unwrap();
        for (moment, copy) in states.iter().enumerate() {
            for form in 0..2 {
                let mut document = copy.as_ref().map(|document| document.to_vec().unwrap());
                let mut known = Known::default();
                let place = Name::new("shop", "t");
                // Twice, for a restore may begin again.
                for write in writes.iter().chain(&writes).map(|forms| forms[form].clone()) {
                    if let Write::Update(update) = &write {
                        known
                            .note_order(
                                &place,
                                &raw::find(&doc! { "_id": 1 }.to_vec().unwrap(), "_id").unwrap().unwrap().owned(),
                                update,
                            )
                            .unwrap();
                    }
                    document = write.apply(document.as_deref()).unwrap();
                }
                let found = document.map(|bytes| Document::from_reader(&bytes[..]).unwrap());
                let what = || format!("seed {seed}, copied at {moment} of {states:#?}, form {form}: {writes:#?}");
                if form == 0 || known.order().is_none() {
                    assert_eq!(found, *end, "{}", what());
                } else {
                    let of = |document: &Option<Document>| document.clone().map(|d| sorted(&Bson::Document(d)));
                    assert_eq!(of(&found), of(end), "{}", what());
                }
            }
        }
    }
}
