//! The target of a restore: which databases it makes, and what is there already.

use std::collections::{BTreeMap, BTreeSet};

use kronos_core::{Error, ErrorKind, RestoreRequest, Result, TargetReport, matches};
use mongodb::bson::doc;

use crate::servers::files;

use super::catalog;
use super::connect::Server;
use super::names::{self, shown};
use super::plan::{Archived, Content, collection_names};
use super::settings::MongodbSettings;

/// So many names are shown.
const SHOWN: usize = 3;

/// A database of the backup and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub from: String,
    pub to: String,
    /// The collections that were chosen of it; `None` for all of it.
    pub collections: Option<BTreeSet<String>>,
    /// What is in the way, for people.
    pub there: Vec<String>,
}

/// What a restore will do to a server.
#[derive(Debug)]
pub(super) struct Plan {
    pub databases: Vec<Planned>,
    pub obstacles: Vec<String>,
}

/// What each stream holds, by name.
pub(super) fn contents(request: &RestoreRequest) -> Result<BTreeMap<String, Content>> {
    request.streams.iter().map(|s| Ok((s.info.name.clone(), Content::of(&s.info)?))).collect()
}

pub(super) async fn inspect(settings: &MongodbSettings, request: &RestoreRequest) -> Result<TargetReport> {
    let needed = request.streams.iter().map(|s| s.end.length).sum();
    if let Some(directory) = &settings.export {
        return files::inspect(directory, needed);
    }
    let server = settings.open().await?;
    let plan = plan(settings, &server, request).await?;
    server.close().await;
    let existing = plan.databases.iter().filter(|database| !database.there.is_empty());
    let existing = existing.map(|database| format!("database {} ({})", database.to, some(&database.there)));
    Ok(TargetReport { existing: existing.collect(), needed, free: None, obstacles: plan.obstacles })
}

/// Some of many names.
pub(super) fn some(names: &[String]) -> String {
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

pub(super) async fn plan(settings: &MongodbSettings, server: &Server, request: &RestoreRequest) -> Result<Plan> {
    let mut databases = named(settings, request)?;
    let mut obstacles = Vec::new();
    let hello = server.command("admin", "ask whether it can be written", doc! { "hello": 1 }).await?;
    if !hello.get_bool("isWritablePrimary").unwrap_or(false) {
        obstacles.push("the server is no primary and takes no writes: name the whole replica set".to_owned());
    }
    for database in &mut databases {
        look(server, database).await?;
    }
    Ok(Plan { databases, obstacles })
}

/// The databases of the backup under the names that they get.
fn named(settings: &MongodbSettings, request: &RestoreRequest) -> Result<Vec<Planned>> {
    let all = contents(request)?;
    let mut databases = Vec::new();
    let mut push = |name: &str, collections| {
        databases.push(Planned { from: name.to_owned(), to: name.to_owned(), collections, there: Vec::new() });
    };
    for content in all.values() {
        match content {
            Content::Collections { database, .. } => push(database, chosen(request, &all, database)),
            Content::Archive { databases, .. } => {
                for database in databases {
                    let collections = of_archive(request, database);
                    if collections.as_ref().is_none_or(|collections| !collections.is_empty()) {
                        push(&database.name, collections);
                    }
                }
            }
            Content::Users { .. } | Content::Documents(_) | Content::Changes { .. } => {}
        }
    }
    match settings.databases.as_slice() {
        [] => {}
        [one] if databases.len() == 1 => databases[0].to.clone_from(one),
        [_] => {
            let names = databases.iter().map(|d| d.from.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::new(ErrorKind::Config, "the target is one database, and the backup has several")
                .with("databases", names)
                .with("hint", "choose one with --only, or leave the database out of the target's URL"));
        }
        several => {
            if let Some(missing) = databases.iter().find(|d| !several.contains(&d.from)) {
                return Err(Error::new(ErrorKind::Config, "a database of the backup is not among those of the target")
                    .with("database", &missing.from));
            }
        }
    }
    for database in &databases {
        names::check(&database.to)?;
        if names::is_of_server(&database.to) {
            return Err(
                Error::new(ErrorKind::Config, "this database is the server's own").with("database", &database.to)
            );
        }
    }
    Ok(databases)
}

/// The collections that were chosen of a database; `None` for all of it.
pub(super) fn chosen(
    request: &RestoreRequest,
    all: &BTreeMap<String, Content>,
    database: &str,
) -> Option<BTreeSet<String>> {
    let is_named = |name: &str| request.only.iter().any(|pattern| matches(pattern, name));
    if request.only.is_empty() || is_named(database) || is_named(&format!("{database}/collections")) {
        return None;
    }
    let of_streams = request.streams.iter().filter_map(|stream| match all.get(&stream.info.name) {
        Some(Content::Documents(part)) if part.database == database => Some(part.collection.clone()),
        _ => None,
    });
    Some(of_streams.collect())
}

/// The same of one in an archive.
fn of_archive(request: &RestoreRequest, database: &Archived) -> Option<BTreeSet<String>> {
    let is_named = |name: &str| request.only.iter().any(|pattern| matches(pattern, name));
    let whole = [database.name.clone(), format!("{}/archive", database.name), "archive".to_owned()];
    if request.only.is_empty() || whole.iter().any(|name| is_named(name)) {
        return None;
    }
    let names = database.collections.iter();
    Some(names.filter(|name| self::is_named(request, &database.name, name)).cloned().collect())
}

/// Whether a view was chosen by its name, for it has no stream.
pub(super) fn is_named(request: &RestoreRequest, database: &str, collection: &str) -> bool {
    let names = collection_names(database, collection);
    request.only.iter().any(|pattern| names.iter().any(|name| matches(pattern, name)))
}

/// Looks what is there under the name that a database is to get.
async fn look(server: &Server, database: &mut Planned) -> Result<()> {
    let ask = doc! { "listCollections": 1, "nameOnly": true, "cursor": {} };
    let listed = server.list(&database.to, "look for collections", ask).await?;
    let names = listed.iter().filter_map(|one| one.get_str("name").ok());
    let names = names.filter(|name| !names::is_internal(name) && names::is_beside(name).is_none());
    // Of the others nothing is touched.
    let is_in_the_way = |name: &&str| database.collections.as_ref().is_none_or(|chosen| chosen.contains(*name));
    database.there = names.filter(is_in_the_way).map(shown).collect();
    database.there.sort();
    Ok(())
}

/// Sizes of what is there already are not needed; what is written is looked at as it is read back.
pub(super) async fn existing(server: &Server, database: &str) -> Result<Vec<catalog::Entry>> {
    Ok(catalog::list(server, database).await?.entries)
}
