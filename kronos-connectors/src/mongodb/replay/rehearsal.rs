//! Goes through the changes while a backup is made, without a target: what a restore could not apply
//! makes the backup fail, and not the restore years later.

use std::collections::BTreeSet;

use kronos_core::{Error, ErrorKind, Result, matches};

use super::super::changes::Feed;
use super::super::error::corrupt;
use super::super::names;
use super::events;
use super::identities::{Identities, Renamed};
use super::operation::{Action, Definition, Name, Operation, check_options, odd_view};
use super::oplog::Oplog;

/// A collection that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Copied {
    pub(super) name: Name,
    /// Before it was read and after.
    pub(super) uuid: Option<[u8; 16]>,
}

impl Copied {
    pub(in super::super) fn new(database: &str, collection: &str, uuid: Option<[u8; 16]>) -> Self {
        Self { name: Name::new(database, collection), uuid }
    }

    /// The same, if it is not known any more which one it is.
    #[must_use]
    pub(in super::super) fn unless(mut self, is_doubtful: impl Fn(&str, &str) -> bool) -> Self {
        if is_doubtful(&self.name.database, &self.name.collection) {
            self.uuid = None;
        }
        self
    }
}

/// What of the changes is part of the backup.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Chosen {
    pub(in super::super) databases: Vec<String>,
    /// Collections of these whose documents are left out.
    pub(in super::super) left_out: BTreeSet<(String, String)>,
    /// All databases were wanted but those that these patterns name.
    pub(in super::super) all_but: Option<Vec<String>>,
}

impl Chosen {
    fn has(&self, name: &Name) -> bool {
        let base = name.collection.strip_prefix(names::BUCKETS).unwrap_or(&name.collection);
        self.databases.contains(&name.database)
            && !names::is_internal(base)
            && names::is_beside(base).is_none()
            && !self.left_out.contains(&(name.database.clone(), base.to_owned()))
    }

    /// Whether a database should be in the backup, and is not.
    fn lacks(&self, database: &str) -> bool {
        let is_wanted = self.all_but.as_ref().is_some_and(|but| !but.iter().any(|pattern| matches(pattern, database)));
        is_wanted && !names::is_of_server(database) && !self.databases.iter().any(|known| known == database)
    }
}

/// Takes the changes in the order of the log.
#[derive(Debug)]
pub(in super::super) struct Rehearsal {
    feed: Feed,
    chosen: Chosen,
    oplog: Oplog,
    identities: Identities,
    lacking: BTreeSet<String>,
}

impl Rehearsal {
    pub(in super::super) fn new(feed: Feed, chosen: Chosen, copied: impl IntoIterator<Item = Copied>) -> Self {
        let mut identities = Identities::default();
        copied.into_iter().for_each(|Copied { name, uuid }| identities.copied(name, uuid));
        Self { feed, chosen, oplog: Oplog::default(), identities, lacking: BTreeSet::new() }
    }

    /// The next entry, as its bytes.
    pub(in super::super) fn entry(&mut self, entry: &[u8]) -> Result<()> {
        let (chosen, lacking) = (&self.chosen, &mut self.lacking);
        let mut wants = |database: &str, is_made: bool| {
            if is_made && chosen.lacks(database) {
                lacking.insert(database.to_owned());
            }
            chosen.databases.iter().any(|known| known == database)
        };
        let operations = match self.feed {
            Feed::ChangeStream => events::read(entry, &mut wants)?,
            Feed::Oplog => self.oplog.read(entry, &mut wants)?,
        };
        operations.into_iter().try_for_each(|operation| self.perform(operation))
    }

    fn perform(&mut self, Operation { name, uuid, action }: Operation) -> Result<()> {
        let uuid = uuid.as_deref();
        if let Action::Write { write, .. } = &action
            && name.collection == "system.views"
            && write.is_relative()
        {
            return Err(odd_view(&name));
        }
        if let Action::Define(Definition::Rename { to }) = &action {
            return self.rename(&name, to, uuid);
        }
        let is_database = action == Action::Define(Definition::DropDatabase);
        if !is_database && (!self.chosen.has(&name) || self.identities.is_foreign(&name, uuid)) {
            if action == Action::Define(Definition::Drop) {
                self.identities.other_gone(&name);
            }
            return Ok(());
        }
        match action {
            Action::Write { .. } if !self.identities.has(&name) => self.identities.passed_over(name),
            Action::Define(Definition::Create(_)) => self.identities.made(&name),
            Action::Define(Definition::Modify(options)) => check_options(&name, &options)?,
            Action::Define(Definition::Drop) => self.identities.gone(&name),
            Action::Define(Definition::DropDatabase) => {
                self.identities.of_database(&name.database).iter().for_each(|name| self.identities.gone(name));
            }
            _ => {}
        }
        Ok(())
    }

    fn rename(&mut self, from: &Name, to: &Name, uuid: Option<&[u8]>) -> Result<()> {
        match (self.chosen.has(from), self.chosen.has(to)) {
            (false, false) => return Ok(()),
            (true, false) if self.identities.is_foreign(from, uuid) => self.identities.other_gone(from),
            (true, false) => self.identities.gone(from),
            (_, true) => match self.identities.renamed(from, to, uuid) {
                Renamed::Moves => self.identities.moved(from, to),
                Renamed::IsThere => self.identities.arrived(from, to, uuid),
                Renamed::Unknown => {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        "a collection was renamed while it was read, and it is not known what was read of it",
                    )
                    .with("collection", from)
                    .with("renamed to", to)
                    .with("hint", "run the backup again"));
                }
            },
        }
        Ok(())
    }

    /// After the last entry; gives what the user should know.
    pub(in super::super) fn finish(self) -> Result<Vec<String>> {
        if let Some(name) = self.identities.unexplained() {
            return Err(corrupt(
                "the server tells of changes of a collection that was not read, and not of its making",
            )
            .with("collection", name));
        }
        let line = |name| format!("database {name} was made during the backup, and is not in it");
        Ok(self.lacking.into_iter().map(line).collect())
    }
}

#[cfg(test)]
mod tests {
    //! Events in the form in which MongoDB's manual has them, with `showExpandedEvents`: the server of
    //! the other tests tells of renaming and dropping without `collectionUUID`.

    use mongodb::bson::spec::BinarySubtype;
    use mongodb::bson::{Binary, Document, doc};

    use super::*;

    fn event(kind: &str, collection: &str, uuid: u8, more: Document) -> Document {
        let uuid = Binary { subtype: BinarySubtype::Uuid, bytes: vec![uuid; 16] };
        let mut event =
            doc! { "operationType": kind, "collectionUUID": uuid, "ns": { "db": "shop", "coll": collection } };
        event.extend(more);
        event
    }

    fn insert(collection: &str, uuid: u8) -> Document {
        event("insert", collection, uuid, doc! { "documentKey": { "_id": 1 }, "fullDocument": { "_id": 1 } })
    }

    fn rename(from: &str, to: &str, uuid: u8) -> Document {
        let to = doc! { "db": "shop", "coll": to };
        event("rename", from, uuid, doc! { "to": to.clone(), "operationDescription": { "to": to } })
    }

    fn create(collection: &str, uuid: u8) -> Document {
        event("create", collection, uuid, doc! { "operationDescription": { "idIndex": { "v": 2 } } })
    }

    fn run(copied: &[(&str, Option<u8>)], events: &[Document]) -> Result<Vec<String>> {
        let chosen = Chosen {
            databases: vec!["shop".into()],
            left_out: [("shop".to_owned(), "audit".to_owned())].into(),
            all_but: Some(vec!["tmp*".into()]),
        };
        let copied = copied.iter().map(|(name, uuid)| Copied::new("shop", name, uuid.map(|uuid| [uuid; 16])));
        let mut rehearsal = Rehearsal::new(Feed::ChangeStream, chosen, copied);
        events.iter().try_for_each(|event| rehearsal.entry(&event.to_vec().unwrap()))?;
        rehearsal.finish()
    }

    #[test]
    fn what_a_restore_can_follow_is_taken() {
        let drop = |collection: &str, uuid| event("drop", collection, uuid, doc! {});
        // Made, renamed over another one, as `$out` does it, whichever of both was read.
        let out = [create("tmp", 9), insert("tmp", 9), rename("tmp", "a", 9), insert("a", 9)];
        for read in [Some(1), Some(9), None] {
            run(&[("a", read)], &out).unwrap();
        }
        // Read before it was renamed, and after.
        run(&[("a", Some(1))], &[insert("a", 1), rename("a", "b", 1), insert("b", 1)]).unwrap();
        run(&[("b", Some(1))], &[insert("a", 1), rename("a", "b", 1), insert("b", 1)]).unwrap();
        // One takes the place of another, which had been written to and dropped.
        let swapped = [insert("b", 2), rename("b", "old", 2), rename("a", "b", 1), drop("old", 2), insert("b", 1)];
        run(&[("a", Some(1)), ("b", Some(2))], &swapped).unwrap();
        run(&[("b", Some(1)), ("old", Some(2))], &swapped).unwrap();
        run(&[("a", Some(1))], &[drop("a", 1), create("a", 2), insert("a", 2), drop("a", 2), create("a", 3)]).unwrap();
        run(&[("a", Some(3))], &[drop("a", 1), create("a", 2), insert("a", 2), drop("a", 2), create("a", 3)]).unwrap();
        // Not chosen, or gone.
        run(&[], &[insert("audit", 1), rename("audit", "system.x", 1), insert("a", 1), drop("a", 1)]).unwrap();
    }

    #[test]
    fn what_it_could_not_follow_fails() {
        let fails = |copied: &[_], events: &[_]| assert!(run(copied, events).is_err(), "{copied:?} {events:?}");
        fails(&[("a", None)], &[rename("a", "b", 1)]);
        fails(&[("a", Some(2))], &[rename("a", "b", 1)]);
        fails(&[("a", Some(1))], &[rename("a", "b", 1), rename("b", "a", 1)]);
        fails(&[], &[rename("audit", "a", 1)]);
        fails(&[], &[insert("a", 1)]);
        // Under the name of the one that was read something else is written, and nothing says why.
        fails(&[("a", Some(1))], &[insert("a", 2)]);
        let series = doc! { "operationDescription": { "timeseries": { "timeField": "t" } } };
        fails(&[], &[event("create", "s", 1, series)]);
        fails(&[], &[event("conjure", "s", 1, doc! {})]);
        let expires = doc! { "operationDescription": { "expireAfterSeconds": 5_i64 } };
        fails(&[("a", Some(1))], &[event("modify", "a", 1, expires)]);
    }

    #[test]
    fn a_database_that_comes_too_late_is_told_of() {
        let other = |name: &str| {
            // Of a kind that could not be followed.
            let series = doc! { "operationDescription": { "timeseries": { "timeField": "t" } } };
            let mut create = event("create", "x", 1, series);
            create.insert("ns", doc! { "db": name, "coll": "x" });
            create
        };
        let warnings = run(&[], &[other("new"), other("tmp1"), other("config")]).unwrap();
        assert_eq!(warnings, ["database new was made during the backup, and is not in it"]);
    }
}
