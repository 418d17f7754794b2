//! Collections, indexes and views that were made, changed, renamed and dropped during a backup.

use kronos_core::{Error, ErrorKind, Result};

use super::capped::Capped;
use super::identities::Renamed;
use super::operation::{Definition, Name, Write, check_options, odd_view};
use super::raw::{self, Builder, OwnedValue, Value};
use super::{Counts, IndexChange, Replay, ViewChange};

/// Not taken by `create`, or only for a while.
const NOT_OPTIONS: [&str; 2] = ["temp", "uuid"];
/// Of the options of buckets those that a time series is made with.
const OF_SERIES: [&[u8]; 3] = [b"timeseries", b"expireAfterSeconds", b"collation"];

impl Replay {
    /// Does what was done to a definition.
    pub(super) async fn define(&mut self, name: Name, uuid: Option<Vec<u8>>, definition: Definition) -> Result<()> {
        let place = self.place(&name);
        let is_rename = matches!(definition, Definition::Rename { .. });
        if place.is_some() && !is_rename && self.identities.is_foreign(&name, uuid.as_deref()) {
            if definition == Definition::Drop {
                self.identities.other_gone(&name);
            }
            return Ok(());
        }
        match (definition, place) {
            (Definition::DropDatabase, _) => {
                for name in self.identities.of_database(&name.database) {
                    if let Some(place) = self.place(&name) {
                        self.drop_it(&name, &place).await?;
                    }
                }
                Ok(())
            }
            (Definition::Rename { to }, _) => self.rename(&name, &to, uuid.as_deref()).await,
            (_, None) => Ok(()),
            (Definition::Create(options), Some(place)) => self.create(&name, &place, &options).await,
            (Definition::Drop, Some(place)) => self.drop_it(&name, &place).await,
            (Definition::Modify(options), Some(place)) => self.modify(name, &place, &options).await,
            (Definition::CreateIndexes(indexes), Some(Name { database, collection })) => {
                self.outcome.indexes.push(IndexChange::Created { database, collection, indexes });
                Ok(())
            }
            (Definition::DropIndex(name), Some(Name { database, collection })) => {
                self.outcome.indexes.push(IndexChange::Dropped { database, collection, name });
                Ok(())
            }
            (Definition::View(options), Some(Name { database, collection: view })) => {
                self.outcome.views.push(ViewChange::Set { database, view, options });
                Ok(())
            }
        }
    }

    /// What it holds is all in the log, so that nothing of a copy is needed.
    async fn create(&mut self, name: &Name, place: &Name, options: &[u8]) -> Result<()> {
        if name.collection == "system.views" {
            return Ok(());
        }
        self.remove(place).await?;
        match place.collection.strip_prefix("system.buckets.") {
            None => self.target.define("create", place, options, &NOT_OPTIONS).await?,
            Some(series) => {
                let series = Name::new(&place.database, series);
                self.target.drop_collection(&series).await?;
                let mut of_series = Builder::new();
                let all = raw::fields(options)?;
                all.iter()
                    .filter(|field| OF_SERIES.contains(&field.name))
                    .for_each(|field| of_series.push(field.name, field.value));
                self.target.define("create", &series, &of_series.finish()?, &[]).await?;
            }
        }
        self.identities.made(name);
        *self.count(place) = Counts::default();
        if self.kind(place).await?.is_some_and(|kind| kind.capped.is_some()) {
            self.capped.insert(place.clone(), Capped::made());
        }
        Ok(())
    }

    async fn drop_it(&mut self, name: &Name, place: &Name) -> Result<()> {
        if self.kind(place).await?.is_none() {
            let (database, view) = (place.database.clone(), place.collection.clone());
            self.outcome.views.push(ViewChange::Dropped { database, view });
        }
        self.remove(place).await?;
        self.identities.gone(name);
        Ok(())
    }

    /// Takes a collection out of the target.
    async fn remove(&mut self, place: &Name) -> Result<()> {
        if self.kind(place).await?.is_some() {
            self.target.drop_collection(place).await?;
        }
        self.kinds.remove(place);
        self.capped.remove(place);
        self.known.forget_missing(place, None);
        self.outcome.counts.remove(&(place.database.clone(), place.collection.clone()));
        let (database, collection) = (place.database.clone(), place.collection.clone());
        self.outcome.indexes.push(IndexChange::Gone { database, collection });
        Ok(())
    }

    async fn rename(&mut self, from: &Name, to: &Name, uuid: Option<&[u8]>) -> Result<()> {
        let unknown = || {
            Error::new(
                ErrorKind::Unsupported,
                "a collection was renamed during the backup, and it is not known what was copied of it",
            )
            .with("collection", from)
            .with("renamed to", to)
            .with("hint", "restore a backup during which nothing was renamed")
        };
        let (old, new) = match (self.place(from), self.place(to)) {
            (None, None) => return Ok(()),
            (Some(_), None) if self.identities.is_foreign(from, uuid) => {
                self.identities.other_gone(from);
                return Ok(());
            }
            (Some(old), None) => return self.drop_it(from, &old).await,
            (old, Some(new)) => (old, new),
        };
        let old = match (self.identities.renamed(from, to, uuid), old) {
            (Renamed::IsThere, _) => {
                self.identities.arrived(from, to, uuid);
                return Ok(());
            }
            (Renamed::Moves, Some(old)) => old,
            // What it holds is not among what was chosen.
            (_, None) => return Err(unknown().with("not chosen", from)),
            (Renamed::Unknown, _) => return Err(unknown()),
        };
        if let Some(mut capped) = self.capped.remove(&old) {
            let inserted = capped.settle(&self.target, &old).await?;
            self.count(&old).written += inserted;
            self.capped.insert(old.clone(), capped);
        }
        self.remove(&new).await?;
        self.target.rename(&old, &new).await?;
        self.kinds.remove(&old);
        self.kinds.remove(&new);
        self.known.forget_missing(&old, Some(&new));
        self.identities.moved(from, to);
        let key = |name: &Name| (name.database.clone(), name.collection.clone());
        if let Some(capped) = self.capped.remove(&old) {
            self.capped.insert(new.clone(), capped);
        }
        if let Some(counts) = self.outcome.counts.remove(&key(&old)) {
            self.outcome.counts.insert(key(&new), counts);
        }
        self.outcome.indexes.push(IndexChange::Renamed { from: key(&old), to: key(&new) });
        Ok(())
    }

    async fn modify(&mut self, name: Name, place: &Name, options: &[u8]) -> Result<()> {
        check_options(&name, options)?;
        let fields = raw::fields(options)?;
        if let Some(change) =
            fields.iter().find(|field| field.name == b"index").and_then(|field| field.value.document())
        {
            let (database, collection) = (place.database.clone(), place.collection.clone());
            self.outcome.indexes.push(IndexChange::Modified { database, collection, change: change.to_vec() });
        }
        if fields.iter().all(|field| field.name == b"index") {
            return Ok(());
        }
        if self.kind(place).await?.is_none() {
            self.identities.passed_over(name);
            return Ok(());
        }
        let series = place.collection.strip_prefix("system.buckets.").map(|series| Name::new(&place.database, series));
        self.target.define("collMod", series.as_ref().unwrap_or(place), options, &["index"]).await?;
        self.kinds.remove(place);
        Ok(())
    }

    /// A view is a document of `system.views`, `_id` is its name with that of the database.
    pub(super) fn view_written(&mut self, name: &Name, id: &OwnedValue, write: Write) -> Result<()> {
        let view = id.get().text().and_then(|id| id.split_once('.')).map(|(_, view)| Name::new(&name.database, view));
        let view = view.ok_or_else(|| super::corrupt("a change of a view does not name it"))?;
        let Some(Name { database, collection: view }) = self.place(&view) else { return Ok(()) };
        match write {
            Write::Delete => self.outcome.views.push(ViewChange::Dropped { database, view }),
            Write::Insert(document) | Write::Replace(document) => {
                let on = raw::find(&document, "viewOn")?.and_then(Value::text).unwrap_or_default();
                // A time series is made with its buckets.
                if !on.starts_with("system.buckets.") {
                    let mut options = Builder::new();
                    let all = raw::fields(&document)?;
                    all.iter()
                        .filter(|field| field.name != b"_id")
                        .for_each(|field| options.push(field.name, field.value));
                    self.outcome.views.push(ViewChange::Set { database, view, options: options.finish()? });
                }
            }
            Write::Diff(_) | Write::Update(_) => return Err(odd_view(name)),
        }
        Ok(())
    }
}
