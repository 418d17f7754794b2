//! What a replay has to remember of collections and documents, so that nothing stays unexplained.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use kronos_core::Result;

use super::fields::Update;
use super::id::key;
use super::operation::Name;
use super::raw::OwnedValue;

/// Removed fields are remembered up to so many.
const MOST_REMOVED: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Known {
    /// Collections of the source that were copied, and which ones they were.
    copied: HashMap<Name, Option<Vec<u8>>>,
    /// Those that the log has made.
    made: HashSet<Name>,
    seen: BTreeSet<Name>,
    passed_over: BTreeSet<Name>,
    /// Documents of collections of the target.
    missing: HashSet<(Name, Vec<u8>)>,
    removed: HashSet<u64>,
    reordered: HashSet<u64>,
}

/// Where the content of a renamed collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renamed {
    /// Under the old name, and goes with it.
    Moves,
    /// It was copied under the new name already.
    IsThere,
    Unknown,
}

impl Known {
    pub(super) fn copied(&mut self, name: Name, uuid: Option<[u8; 16]>) {
        self.seen(name.clone());
        self.copied.insert(name, uuid.map(|uuid| uuid.to_vec()));
    }

    pub(super) fn seen(&mut self, name: Name) {
        if !self.seen.contains(&name) {
            self.seen.insert(name);
        }
    }

    pub(super) fn passed_over(&mut self, name: Name) {
        self.passed_over.insert(name);
    }

    pub(super) fn made(&mut self, name: &Name) {
        self.gone(name);
        self.seen(name.clone());
        self.made.insert(name.clone());
    }

    pub(super) fn gone(&mut self, name: &Name) {
        self.passed_over.remove(name);
        self.made.remove(name);
        self.copied.remove(name);
        self.seen.remove(name);
    }

    /// Where the content of a collection is that is renamed. The identity that a server tells is a
    /// binary: length and subtype come before it.
    pub(super) fn renamed(&self, from: &Name, to: &Name, uuid: Option<&[u8]>) -> Renamed {
        let is = |name: &Name| match (self.copied.get(name), uuid) {
            (Some(Some(copied)), Some(told)) => told.ends_with(copied) && told.len() == copied.len() + 5,
            _ => false,
        };
        match (self.made.contains(from), is(from), is(to)) {
            (true, ..) | (_, true, _) => Renamed::Moves,
            (.., true) => Renamed::IsThere,
            _ => Renamed::Unknown,
        }
    }

    pub(super) fn moved(&mut self, from: &Name, to: &Name) {
        let (is_made, copied) = (self.made.contains(from), self.copied.get(from).cloned());
        self.gone(from);
        self.gone(to);
        self.seen(to.clone());
        if is_made {
            self.made.insert(to.clone());
        }
        self.copied.extend(copied.map(|uuid| (to.clone(), uuid)));
    }

    /// Names of the source that are known in a database.
    pub(super) fn of_database(&self, database: &str) -> Vec<Name> {
        let all = self.seen.iter().chain(&self.passed_over);
        all.filter(|name| name.database == database).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn note_missing(&mut self, place: &Name, missing: Vec<Vec<u8>>, explained: Vec<Vec<u8>>) {
        if !self.missing.is_empty() {
            for key in explained {
                self.missing.remove(&(place.clone(), key));
            }
        }
        self.missing.extend(missing.into_iter().map(|key| (place.clone(), key)));
    }

    /// A collection of the target goes away, or gets another name.
    pub(super) fn forget_missing(&mut self, place: &Name, moves_to: Option<&Name>) {
        let (of_it, rest) = std::mem::take(&mut self.missing).into_iter().partition(|(name, _)| name == place);
        self.missing = rest;
        let of_it: HashSet<(Name, Vec<u8>)> = of_it;
        self.missing.extend(of_it.into_iter().filter_map(|(_, key)| Some((moves_to?.clone(), key))));
    }

    pub(super) fn unexplained(&self) -> Option<&Name> {
        self.passed_over.first()
    }

    /// A collection of which documents are missing, and how many.
    pub(super) fn missing(&self) -> Option<(&Name, usize)> {
        let (name, _) = self.missing.iter().next()?;
        Some((name, self.missing.iter().filter(|(other, _)| other == name).count()))
    }

    /// Takes note of fields that are removed and set again.
    pub(super) fn note_order(&mut self, place: &Name, id: &OwnedValue, update: &Update) -> Result<()> {
        if self.removed.is_empty() && !update.removes() {
            return Ok(());
        }
        let id = key(id.get())?;
        let hash = |path: Option<&dyn std::fmt::Debug>| {
            let mut hasher = DefaultHasher::new();
            (place, &id, path.map(|path| format!("{path:?}"))).hash(&mut hasher);
            hasher.finish()
        };
        let (document, path) = (hash(None), |path| hash(Some(path)));
        if update.set_paths().any(|set| self.removed.contains(&path(set))) {
            self.reordered.insert(document);
        }
        let removed: Vec<u64> = update.removed_paths().map(path).collect();
        if self.removed.len() + removed.len() <= MOST_REMOVED {
            self.removed.extend(removed);
        } else {
            self.reordered.insert(document);
        }
        Ok(())
    }

    pub(super) fn order(&self) -> Option<String> {
        (!self.reordered.is_empty()).then(|| {
            format!(
                "in {} documents fields were removed and set again during the backup: their place among the other fields may differ, which change streams do not tell",
                self.reordered.len()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_that_is_renamed_is_found_by_its_identity() {
        let (old, new) = (Name::new("shop", "a"), Name::new("shop", "b"));
        let uuid = [7; 16];
        let told: Vec<u8> = [16, 0, 0, 0, 4].into_iter().chain(uuid).collect();
        let mut known = Known::default();
        assert_eq!(known.renamed(&old, &new, Some(&told)), Renamed::Unknown);
        known.copied(old.clone(), None);
        assert_eq!(known.renamed(&old, &new, Some(&told)), Renamed::Unknown);
        known.copied(old.clone(), Some(uuid));
        assert_eq!(known.renamed(&old, &new, Some(&told)), Renamed::Moves);
        assert_eq!(known.renamed(&old, &new, None), Renamed::Unknown);
        known.moved(&old, &new);
        assert_eq!(known.renamed(&old, &new, Some(&told)), Renamed::IsThere);
        // Another collection of the old name was copied.
        known.copied(old.clone(), Some([8; 16]));
        assert_eq!(known.renamed(&old, &new, Some(&told)), Renamed::IsThere);
        known.made(&old);
        assert_eq!(known.renamed(&old, &new, None), Renamed::Moves);
    }

    #[test]
    fn what_is_missing_must_be_explained() {
        let (place, other) = (Name::new("shop", "a"), Name::new("shop", "b"));
        let mut known = Known::default();
        known.note_missing(&place, vec![vec![1], vec![2]], Vec::new());
        known.note_missing(&place, Vec::new(), vec![vec![1]]);
        known.forget_missing(&place, Some(&other));
        assert_eq!(known.missing(), Some((&other, 1)));
        known.forget_missing(&other, None);
        assert_eq!(known.missing(), None);
    }
}
