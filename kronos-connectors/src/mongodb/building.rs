//! The new collections of one database while they are made beside what is there, under names that
//! nobody uses, in the same database: only within a database can a collection be renamed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::{StreamExt, TryStreamExt};
use kronos_core::{Error, ErrorKind, RestoreRequest, Result};
use mongodb::bson::{Bson, Document, doc};

use super::catalog::{self, Entry, name_of};
use super::connect::Server;
use super::content::Sum;
use super::error::{NO_NAMESPACE, corrupt, has_code, internal};
use super::locked::locked;
use super::long_command::Twice;
use super::names::{self, qualified};
use super::plan::Form;
use super::target::{Planned, is_named};

/// So many collections are read back, or get their indexes, at a time.
pub(super) const AT_A_TIME: usize = 4;

/// What becomes of a collection when it is put into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Rename,
    /// Its documents are copied: nobody can rename a time series, or what the server has for itself.
    Copy,
    View,
}

/// A collection that is made.
#[derive(Debug)]
pub(super) struct Made {
    pub number: usize,
    pub entry: Entry,
    pub how: How,
    pub form: Form,
    sum: Mutex<Sum>,
}

/// A database being made.
#[derive(Debug)]
pub(super) struct Building {
    pub planned: Planned,
    pub token: String,
    pub held: super::journal::Held,
    made: Mutex<Vec<std::sync::Arc<Made>>>,
    stage: Mutex<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is on the server.
    Planned,
    /// Can just be removed.
    Made,
    /// Only the journal says what is to be done.
    Placed,
}

impl Made {
    /// Under which name it is made.
    pub(super) fn beside(&self, token: &str) -> String {
        names::new(token, self.number)
    }

    /// Which collection takes its documents while it is made.
    pub(super) fn lies_in(&self, token: &str) -> String {
        self.form.place(&self.beside(token))
    }

    pub(super) fn add(&self, sum: &Sum) {
        locked(&self.sum).add_all(sum);
    }

    pub(super) fn sum(&self) -> Sum {
        *locked(&self.sum)
    }
}

impl Building {
    pub(super) fn new(planned: Planned, token: &str, silence: std::time::Duration) -> Self {
        let held = super::journal::Held::new(&planned.to, token, silence);
        Self { planned, token: token.to_owned(), held, made: Mutex::default(), stage: Mutex::new(Stage::Planned) }
    }

    /// Takes what the backup knows of the collections of the database.
    pub(super) fn keep(
        &self,
        described: Vec<Document>,
        forms: &BTreeMap<(String, String), Form>,
        request: &RestoreRequest,
    ) -> Result<()> {
        let mut made = Vec::new();
        for one in described {
            let entry = Entry::of(&one).ok_or_else(|| corrupt("a description of a collection is not one"))?;
            names::check_collection(&entry.name)?;
            let is_chosen = self.planned.collections.as_ref().is_none_or(|chosen| chosen.contains(&entry.name));
            if !is_chosen && !is_named(request, &self.planned.from, &entry.name) {
                continue;
            }
            let how = if entry.is_view() {
                How::View
            } else if entry.is_time_series() || entry.name == names::FUNCTIONS {
                How::Copy
            } else {
                How::Rename
            };
            if names::is_internal(&entry.name) || names::is_beside(&entry.name).is_some() {
                return Err(corrupt("the backup has a collection that no backup has").with("collection", entry.name));
            }
            let form = forms.get(&(self.planned.from.clone(), entry.name.clone())).copied().unwrap_or_default();
            made.push(std::sync::Arc::new(Made { number: made.len(), entry, how, form, sum: Mutex::default() }));
        }
        *locked(&self.made) = made;
        Ok(())
    }

    pub(super) fn made(&self) -> Vec<std::sync::Arc<Made>> {
        locked(&self.made).clone()
    }

    pub(super) fn find(&self, collection: &str) -> Result<std::sync::Arc<Made>> {
        let found = locked(&self.made).iter().find(|made| made.entry.name == collection).cloned();
        found.filter(|made| made.how != How::View).ok_or_else(|| {
            corrupt("the backup has documents of a collection that it does not describe")
                .with("collection", qualified(&self.planned.from, collection))
        })
    }

    /// Makes what documents need.
    pub(super) async fn create(&self, server: &Server) -> Result<()> {
        *locked(&self.stage) = Stage::Made;
        self.held.begin(server).await?;
        // Two that begin at once see each other: each writes before it looks.
        let others = super::journal::remains(server, &self.planned.to).await?;
        if others.iter().any(|other| other.token != self.token) {
            return Err(super::journal::busy(&self.planned.to));
        }
        for made in self.made().iter().filter(|made| made.how != How::View) {
            let mut ask = doc! { "create": made.beside(&self.token) };
            if made.how == How::Rename || made.entry.is_time_series() {
                ask.extend(lasting(&made.entry.options));
            }
            ask.insert("writeConcern", doc! { "w": "majority" });
            let within = |e: Error| e.with("collection", qualified(&self.planned.to, &made.entry.name));
            server.command(&self.planned.to, "make a collection", ask).await.map_err(within)?;
        }
        Ok(())
    }

    /// Takes up a collection or a view that the backup does not describe, as it was made later; gives
    /// the name under which it is made.
    pub(super) fn take_up(&self, name: &str) -> String {
        let mut made = locked(&self.made);
        if let Some(known) = made.iter().find(|known| known.entry.name == name) {
            return known.beside(&self.token);
        }
        let entry = Entry { name: name.to_owned(), options: Document::new(), indexes: Vec::new(), uuid: None };
        let new = Made { number: made.len(), entry, how: How::Rename, form: Form::default(), sum: Mutex::default() };
        let beside = new.beside(&self.token);
        made.push(std::sync::Arc::new(new));
        beside
    }

    /// Changes what is known of a collection, by the name under which it is made.
    pub(super) fn change(&self, beside: &str, change: impl FnOnce(&mut Entry, &mut How, &mut Form)) -> Result<()> {
        let mut made = locked(&self.made);
        let found = made.iter_mut().find(|made| made.beside(&self.token) == beside);
        let found = found.ok_or_else(|| internal("a change of a collection that is not made"))?;
        let (mut entry, mut how, mut form) = (found.entry.clone(), found.how, found.form);
        change(&mut entry, &mut how, &mut form);
        let (number, sum) = (found.number, Mutex::new(found.sum()));
        *found = std::sync::Arc::new(Made { number, entry, how, form, sum });
        Ok(())
    }

    /// Forgets what is not there any more: it was dropped during the backup.
    pub(super) fn forget(&self, is_there: impl Fn(&Made) -> bool) {
        locked(&self.made).retain(|made| is_there(made));
    }

    /// Makes the indexes; a time series gets its own when it is put into place.
    pub(super) async fn make_indexes(&self, server: &Server) -> Result<()> {
        let one = |made: std::sync::Arc<Made>| async move {
            indexes(server, &self.planned.to, &made.beside(&self.token), &made.entry)
                .await
                .map_err(|e| e.with("collection", qualified(&self.planned.to, &made.entry.name)))
        };
        let made = self.made().into_iter().filter(|made| made.how == How::Rename);
        futures::stream::iter(made.map(one)).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// From now on its journal undoes it.
    pub(super) fn is_placed(&self) {
        *locked(&self.stage) = Stage::Placed;
    }

    /// It can just be removed again.
    pub(super) fn is_back(&self) {
        *locked(&self.stage) = Stage::Made;
    }

    /// Removes what was made.
    pub(super) async fn undo(&self, server: &Server) -> Result<()> {
        if *locked(&self.stage) != Stage::Made {
            return Ok(());
        }
        remove(server, &self.planned.to, &self.token).await?;
        *locked(&self.stage) = Stage::Planned;
        Ok(())
    }
}

/// The options of a collection without those by which documents go while it is made.
pub(super) fn lasting(options: &Document) -> Document {
    let mut options = options.clone();
    options.remove("expireAfterSeconds");
    options
}

/// Makes the indexes of a collection that it does not have by itself, and looks whether they are there.
pub(super) async fn indexes(server: &Server, database: &str, collection: &str, entry: &Entry) -> Result<()> {
    let is_own = |index: &&Document| name_of(index) == "_id_" || index.get_bool("clustered").unwrap_or(false);
    let wanted: Vec<Bson> = entry.indexes.iter().filter(|index| !is_own(index)).cloned().map(Bson::Document).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let ask = doc! { "createIndexes": collection, "indexes": wanted, "writeConcern": { "w": "majority" } };
    server.long_command(database, "make indexes", ask, Twice::Same).await?;
    let there = catalog::indexes(server, database, collection).await?;
    match entry.indexes.iter().find(|index| !there.iter().any(|other| name_of(other) == name_of(index))) {
        None => Ok(()),
        Some(missing) => {
            Err(Error::new(ErrorKind::QueryFailed, "the server has not made an index").with("index", name_of(missing)))
        }
    }
}

/// Removes everything that a restore has made for itself in a database, the journal last.
pub(super) async fn remove(server: &Server, database: &str, token: &str) -> Result<()> {
    let ask = doc! { "listCollections": 1, "nameOnly": true, "cursor": {} };
    let listed = server.list(database, "look for collections", ask).await?;
    let mut names: Vec<&str> = listed.iter().filter_map(|one| one.get_str("name").ok()).collect();
    names.retain(|name| names::is_beside(name) == Some(token));
    names.sort_by_key(|name| names::token_of(name).is_some());
    for name in names {
        drop_collection(server, database, name).await?;
    }
    Ok(())
}

/// Drops a collection or a view, if it is there.
pub(super) async fn drop_collection(server: &Server, database: &str, collection: &str) -> Result<()> {
    let ask = doc! { "drop": collection, "writeConcern": { "w": "majority" } };
    match server.command(database, "drop a collection", ask).await {
        Err(error) if has_code(&error, &[NO_NAMESPACE]) => Ok(()),
        done => done.map(drop),
    }
}
