//! Which collections were copied, and which of them has a name while names change hands. Names are
//! those of the source; who a collection is, is told by its UUID.
//!
//! As long as a name is to be that of the collection that was copied under it, what happens to another
//! one of that name does not touch the copy: the copy was made later, or the other one comes later and
//! goes again. That the copied one really comes to have the name must be in the log, or it is an error.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::operation::Name;

#[derive(Debug, Default)]
pub(super) struct Identities {
    /// Collections that were copied, and which ones they were.
    copied: HashMap<Name, Option<Vec<u8>>>,
    /// Those that the log has made.
    made: HashSet<Name>,
    /// Names that a collection had when it was copied, and has left.
    left: HashSet<(Name, Vec<u8>)>,
    /// Names under which something happened to another collection than the copied one.
    foreign: BTreeSet<Name>,
    /// Something happened to them, and they are not there.
    passed_over: BTreeSet<Name>,
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

impl Identities {
    pub(super) fn copied(&mut self, name: Name, uuid: Option<[u8; 16]>) {
        self.copied.insert(name, uuid.map(|uuid| uuid.to_vec()));
    }

    /// Whether there is one of this name.
    pub(super) fn has(&self, name: &Name) -> bool {
        self.copied.contains_key(name) || self.made.contains(name)
    }

    /// Whether something happens to another collection than the one that was copied; it is remembered
    /// until it is known why.
    pub(super) fn is_foreign(&mut self, name: &Name, uuid: Option<&[u8]>) -> bool {
        let is_foreign = match (self.copied.get(name), uuid) {
            (Some(Some(copied)), Some(told)) => !is_same(told, copied),
            _ => false,
        };
        if is_foreign && !self.foreign.contains(name) {
            self.foreign.insert(name.clone());
        }
        is_foreign
    }

    pub(super) fn passed_over(&mut self, name: Name) {
        self.passed_over.insert(name);
    }

    pub(super) fn made(&mut self, name: &Name) {
        self.gone(name);
        self.made.insert(name.clone());
    }

    pub(super) fn gone(&mut self, name: &Name) {
        self.passed_over.remove(name);
        self.foreign.remove(name);
        self.made.remove(name);
        self.copied.remove(name);
    }

    /// Another one of this name than the copied one is gone.
    pub(super) fn other_gone(&mut self, name: &Name) {
        self.passed_over.remove(name);
    }

    /// Where the content of a collection is that is renamed. The identity that a server tells is a
    /// binary: length and subtype come before it.
    pub(super) fn renamed(&self, from: &Name, to: &Name, uuid: Option<&[u8]>) -> Renamed {
        let is = |name: &Name| match (self.copied.get(name), uuid) {
            (Some(Some(copied)), Some(told)) => is_same(told, copied),
            _ => false,
        };
        // Back under the name it had: what was read in between may be of either.
        let is_back =
            uuid.and_then(|told| told.get(5..)).is_some_and(|told| self.left.contains(&(to.clone(), told.to_vec())));
        match (self.made.contains(from), is(from), is(to)) {
            _ if is_back => Renamed::Unknown,
            (true, ..) | (_, true, _) => Renamed::Moves,
            (.., true) => Renamed::IsThere,
            _ => Renamed::Unknown,
        }
    }

    /// It goes with its name.
    pub(super) fn moved(&mut self, from: &Name, to: &Name) {
        let (is_made, copied) = (self.made.contains(from), self.copied.get(from).cloned());
        self.gone(from);
        self.gone(to);
        if is_made {
            self.made.insert(to.clone());
        }
        if let Some(copied) = copied {
            self.left.extend(copied.clone().map(|uuid| (from.clone(), uuid)));
            self.copied.insert(to.clone(), copied);
        }
    }

    /// It was copied under the name that it has now.
    pub(super) fn arrived(&mut self, from: &Name, to: &Name, uuid: Option<&[u8]>) {
        self.foreign.remove(to);
        // One that gets the old name later may have been copied under it.
        if self.is_foreign(from, uuid) { self.other_gone(from) } else { self.gone(from) }
    }

    /// Names in a database of what is known.
    pub(super) fn of_database(&self, database: &str) -> Vec<Name> {
        let all = self.copied.keys().chain(&self.made).chain(&self.passed_over);
        all.filter(|name| name.database == database).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// A collection of which something is told that is in contradiction to the rest.
    pub(super) fn unexplained(&self) -> Option<&Name> {
        self.passed_over.first().or(self.foreign.first())
    }
}

fn is_same(told: &[u8], copied: &[u8]) -> bool {
    told.ends_with(copied) && told.len() == copied.len() + 5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(uuid: [u8; 16]) -> Vec<u8> {
        [16, 0, 0, 0, 4].into_iter().chain(uuid).collect()
    }

    #[test]
    fn a_collection_that_is_renamed_is_found_by_its_identity() {
        let (old, new) = (Name::new("shop", "a"), Name::new("shop", "b"));
        let told = told([7; 16]);
        let mut known = Identities::default();
        assert_eq!(known.renamed(&old, &new, Some(&told)), Renamed::Unknown);
        known.copied(old.clone(), None);
        assert_eq!(known.renamed(&old, &new, Some(&told)), Renamed::Unknown);
        known.copied(old.clone(), Some([7; 16]));
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
    fn one_that_comes_back_may_have_been_read_in_between() {
        let (old, new) = (Name::new("shop", "a"), Name::new("shop", "b"));
        let mut known = Identities::default();
        known.copied(old.clone(), Some([7; 16]));
        known.moved(&old, &new);
        assert_eq!(known.renamed(&new, &old, Some(&told([7; 16]))), Renamed::Unknown);
    }

    #[test]
    fn another_one_of_the_name_must_make_room_for_the_copied_one() {
        let (name, from) = (Name::new("shop", "a"), Name::new("shop", "b"));
        let mut known = Identities::default();
        known.copied(name.clone(), Some([7; 16]));
        assert!(!known.is_foreign(&name, Some(&told([7; 16]))) && !known.is_foreign(&name, None));
        assert_eq!(known.unexplained(), None);
        assert!(known.is_foreign(&name, Some(&told([8; 16]))));
        assert_eq!(known.unexplained(), Some(&name));
        known.arrived(&from, &name, Some(&told([7; 16])));
        assert_eq!(known.unexplained(), None);
        assert!(known.has(&name) && !known.has(&from));
    }
}
