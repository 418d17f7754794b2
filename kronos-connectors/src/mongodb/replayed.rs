//! What was written during a backup, applied to the collections that are made of it; and what it does to
//! indexes and views, which are made afterwards.

use std::collections::{BTreeMap, BTreeSet};

use kronos_core::{Error, ErrorKind, Piece, Result, Stream, StreamEnd};
use mongodb::bson::{Bson, Document, RawDocument, doc};

use super::building::{Building, How};
use super::catalog::{self, Entry, name_of};
use super::changes::Feed;
use super::connect::Server;
use super::content::Documents;
use super::error::{corrupt, internal};
use super::locked::locked;
use super::names;
use super::plan::Form;
use super::replay::{Copied, Counts, IndexChange, Replay, Replayed, ViewChange};
use super::restore::MongodbRestore;
use crate::servers::restoring::same;

/// Applies all that a stream holds.
pub(super) async fn apply(restore: &MongodbRestore, feed: Feed, mut stream: Stream, end: StreamEnd) -> Result<()> {
    let mut applying = Applying::begin(restore, feed).await?;
    let mut documents = Documents::default();
    loop {
        match stream.next().await? {
            Some(Piece::Data(piece)) => {
                restore.progress.check()?;
                documents.push(&piece);
                while let Some(entry) = documents.next()? {
                    applying.entry(&entry).await?;
                }
            }
            Some(Piece::End(found)) => {
                same(found, end)?;
                break;
            }
            None => return Err(internal("a stream was read after its end")),
        }
    }
    documents.finish()?;
    applying.finish().await
}

/// Changes being applied.
pub(super) struct Applying<'a> {
    restore: &'a MongodbRestore,
    replay: Replay,
}

impl<'a> Applying<'a> {
    /// Once all documents have been written.
    pub(super) async fn begin(restore: &'a MongodbRestore, feed: Feed) -> Result<Self> {
        restore.prepare().await?;
        // What was copied is compared before anything is changed.
        restore.compare().await?;
        let databases = restore.buildings.iter().map(|building| building.planned.from.clone()).collect();
        let mut replay = Replay::new(&restore.server, feed, databases, place(restore));
        for building in restore.buildings.iter() {
            for made in building.made().iter().filter(|made| made.how != How::View) {
                // A backup in which it could not be told which one was read is none: see `rehearsal`.
                let lies_in = made.form.place(&made.entry.name);
                let copied = Copied::new(&building.planned.from, &lies_in, made.entry.uuid);
                replay.copied(copied, made.sum().count);
            }
        }
        Ok(Self { restore, replay })
    }

    pub(super) async fn entry(&mut self, entry: &[u8]) -> Result<()> {
        let entry = RawDocument::from_bytes(entry).map_err(|_| corrupt("this is no entry of a log"))?;
        self.replay.apply(entry).await
    }

    pub(super) async fn finish(self) -> Result<()> {
        let Self { restore, replay } = self;
        let Replayed { entries, counts, indexes, views, mut warnings } = replay.finish().await?;
        if entries > 0 {
            for building in restore.buildings.iter() {
                warnings.extend(settle(&restore.server, building, &indexes, &views).await?);
                count(&restore.server, building, &counts).await?;
            }
        }
        *locked(&restore.replayed) = Some((entries, warnings));
        Ok(())
    }
}

/// Where a collection of the source lies, if it was chosen: under the name by which it is made.
fn place(restore: &MongodbRestore) -> impl Fn(&str, &str) -> Option<(String, String)> + Send + Sync + 'static {
    let buildings = restore.buildings.clone();
    // Described, and their documents are left out. What is taken up later is not among them.
    let mut left_out = BTreeSet::new();
    for building in buildings.iter() {
        let from = &building.planned.from;
        let made = building.made().into_iter().filter(|made| made.how != How::View);
        let without = made.filter(|made| !restore.has_documents(from, &made.entry.name));
        left_out.extend(without.map(|made| (from.clone(), made.entry.name.clone())));
    }
    move |database, collection| {
        let building = buildings.iter().find(|building| building.planned.from == database)?;
        if names::is_internal(collection) || names::is_beside(collection).is_some() {
            return None;
        }
        if left_out.contains(&(database.to_owned(), collection.to_owned())) {
            return None;
        }
        let known = building.made().into_iter().find(|made| made.entry.name == collection);
        let beside = match known {
            Some(made) => Some(made.beside(&building.token)),
            None if building.planned.collections.is_none() => Some(building.take_up(collection)),
            None => None,
        };
        Some((building.planned.to.clone(), beside?))
    }
}

/// Does to what will be made what was done to indexes and views, and forgets what was dropped.
async fn settle(
    server: &Server,
    building: &Building,
    indexes: &[IndexChange],
    views: &[ViewChange],
) -> Result<Vec<String>> {
    let is_here = |database: &String| *database == building.planned.to;
    let mut warnings = Vec::new();
    for change in indexes {
        match change {
            // Those of buckets are not written as those of the series, which are made anew with it.
            IndexChange::Created { database, collection, .. }
            | IndexChange::Dropped { database, collection, .. }
            | IndexChange::Modified { database, collection, .. }
                if is_here(database) && collection.starts_with(names::BUCKETS) =>
            {
                let line =
                    format!("{database}: indexes of a time series were changed during the backup and may differ");
                if !warnings.contains(&line) {
                    warnings.push(line);
                }
            }
            IndexChange::Gone { database, collection }
                if is_here(database) && collection.starts_with(names::BUCKETS) =>
            {
                building.change(&collection[names::BUCKETS.len()..], |entry, how, form| {
                    entry.empty();
                    (*how, *form) = (How::Rename, Form::default());
                })?;
            }
            IndexChange::Created { database, collection, indexes } if is_here(database) => {
                let new = indexes.iter().map(|index| document(index)).collect::<Result<Vec<_>>>()?;
                building.change(collection, |entry, _, _| created(entry, new))?;
            }
            IndexChange::Dropped { database, collection, name } if is_here(database) => {
                building.change(collection, |entry, _, _| {
                    entry.indexes.retain(|index| name_of(index) == "_id_" || (name != "*" && name_of(index) != name));
                })?;
            }
            IndexChange::Modified { database, collection, change } if is_here(database) => {
                let change = document(change)?;
                building.change(collection, |entry, _, _| modified(entry, &change))?;
            }
            IndexChange::Gone { database, collection } if is_here(database) => {
                building.change(collection, |entry, _, _| entry.empty())?;
            }
            IndexChange::Renamed { from, to } if is_here(&from.0) && is_here(&to.0) => {
                let mut moved = Vec::new();
                let mut options = Document::new();
                building.change(&from.1, |entry, _, _| {
                    (moved, options) = (std::mem::take(&mut entry.indexes), std::mem::take(&mut entry.options));
                })?;
                building.change(&to.1, |entry, _, _| (entry.indexes, entry.options) = (moved, options))?;
            }
            IndexChange::Renamed { from, to } if is_here(&from.0) || is_here(&to.0) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "a collection was renamed into another database during the backup",
                )
                .with("hint", "restore a backup during which nothing was renamed"));
            }
            _ => {}
        }
    }
    for change in views {
        match change {
            ViewChange::Set { database, view, options } if is_here(database) => {
                let options = document(options)?;
                building.change(view, |entry, how, _| (entry.options, *how) = (options, How::View))?;
            }
            ViewChange::Dropped { database, view } if is_here(database) => {
                // Without options it is one that is not there.
                building.change(view, |entry, how, _| {
                    if *how == How::View {
                        (entry.options, *how) = (Document::new(), How::Rename);
                    }
                })?;
            }
            _ => {}
        }
    }
    let ask = doc! { "listCollections": 1, "cursor": {} };
    let listed = server.list(&building.planned.to, "look for collections", ask).await?;
    let options = |one: &Document| one.get_document("options").cloned().unwrap_or_default();
    let there: BTreeMap<&str, Document> =
        listed.iter().filter_map(|one| Some((one.get_str("name").ok()?, options(one)))).collect();
    building.forget(|made| made.how == How::View || there.contains_key(made.beside(&building.token).as_str()));
    for made in building.made().iter().filter(|made| made.how == How::Rename) {
        // What was made meanwhile is described by itself.
        let beside = made.beside(&building.token);
        let Some(options) = there.get(beside.as_str()).filter(|_| made.entry.options.is_empty()) else { continue };
        let has_buckets = there.contains_key(format!("{}{beside}", names::BUCKETS).as_str());
        building.change(&beside, |entry, how, form| {
            entry.options = options.clone();
            if entry.is_time_series() {
                (*how, *form) = (How::Copy, if has_buckets { Form::Buckets } else { Form::Measurements });
            }
        })?;
    }
    Ok(warnings)
}

fn document(bytes: &[u8]) -> Result<Document> {
    let raw = RawDocument::from_bytes(bytes).map_err(|_| corrupt("this is no definition"))?;
    Document::try_from(raw).map_err(|_| corrupt("this is no definition"))
}

/// Each in place of one of the same name.
fn created(entry: &mut Entry, new: Vec<Document>) {
    for mut index in new {
        index.remove("ns");
        entry.indexes.retain(|known| name_of(known) != name_of(&index));
        entry.indexes.push(index);
    }
}

/// The part of `collMod` that is about an index: its name or keys, and what becomes of it.
fn modified(entry: &mut Entry, change: &Document) {
    let is_meant = |index: &Document| {
        let by_name = change.get_str("name").is_ok_and(|name| name == name_of(index));
        by_name || change.get("keyPattern").is_some_and(|keys| index.get("key") == Some(keys))
    };
    for index in entry.indexes.iter_mut().filter(|index| is_meant(index)) {
        for (key, value) in change.iter().filter(|(key, _)| !["name", "keyPattern"].contains(&key.as_str())) {
            // What is not so is not written down.
            if matches!(value, Bson::Boolean(false)) {
                index.remove(key);
            } else {
                index.insert(key, value.clone());
            }
        }
    }
}

/// Compares how many documents there are with how many there must be.
async fn count(server: &Server, building: &Building, counts: &BTreeMap<(String, String), Counts>) -> Result<()> {
    let database = &building.planned.to;
    for made in building.made().iter().filter(|made| made.how != How::View && !made.entry.is_capped()) {
        let key = (database.clone(), made.lies_in(&building.token));
        let Counts { written, deleted } = counts.get(&key).copied().unwrap_or_default();
        let wanted = written.checked_sub(deleted);
        let ask = doc! {
            "aggregate": &key.1, "pipeline": [{ "$count": "n" }], "cursor": {}, "readConcern": { "level": "majority" },
        };
        let found = server.list(database, "count documents", ask).await?;
        let found = catalog::number(found.first().and_then(|found| found.get("n")));
        if wanted != Some(found) {
            let wanted = wanted.map_or_else(|| "fewer than none".to_owned(), |wanted| wanted.to_string());
            return Err(Error::new(
                ErrorKind::Corrupt,
                "after the changes there are other documents than there must be",
            )
            .with("collection", names::qualified(database, &made.entry.name))
            .with("documents", format!("{found} instead of {wanted}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_become_what_they_were_at_the_end() {
        let index = |name: &str| doc! { "v": 2, "key": { name: 1 }, "name": name };
        let indexes = vec![index("_id_"), index("a")];
        let mut entry = Entry { name: "t".into(), options: doc! {}, indexes, uuid: None };
        created(&mut entry, vec![doc! { "key": { "a": -1 }, "name": "a", "ns": "x.t" }, index("b")]);
        assert_eq!(entry.indexes.len(), 3);
        assert_eq!(entry.indexes[1], doc! { "key": { "a": -1 }, "name": "a" });
        modified(&mut entry, &doc! { "keyPattern": { "b": 1 }, "hidden": true, "expireAfterSeconds": 5 });
        assert_eq!(entry.indexes[2].get_i32("expireAfterSeconds").unwrap(), 5);
        modified(&mut entry, &doc! { "name": "b", "hidden": false });
        assert!(!entry.indexes[2].contains_key("hidden") && !entry.indexes[1].contains_key("expireAfterSeconds"));
    }
}
