//! What a replay has to remember of documents, so that nothing stays unexplained.

use std::collections::HashSet;
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
    /// Documents of collections of the target.
    missing: HashSet<(Name, Vec<u8>)>,
    removed: HashSet<u64>,
    reordered: HashSet<u64>,
}

impl Known {
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
