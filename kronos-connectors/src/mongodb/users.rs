//! Users and roles: as the server keeps them, so that passwords work where they are restored.

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Document, doc};

use super::building::drop_collection;
use super::connect::Server;
use super::content;
use super::error::{NO_COMMAND, corrupt, has_code, if_allowed};
use super::insert::insert;

/// Where the server keeps them, and what each is called in a stream.
pub(super) const KINDS: [(&str, &str); 2] = [("role", "system.roles"), ("user", "system.users")];

/// All of them as a stream holds them, or of some databases; `None` if the user may not see them.
pub(super) async fn read(server: &Server, databases: &[String]) -> Result<Option<Vec<u8>>> {
    let mut found = Vec::new();
    for (kind, collection) in KINDS {
        let filter = if databases.is_empty() {
            doc! {}
        } else {
            doc! { "db": { "$in": databases } }
        };
        let ask = doc! { "find": collection, "filter": filter, "readConcern": { "level": "majority" } };
        let Some(mut some) = if_allowed(server.list("admin", "read users and roles", ask).await)? else {
            return Ok(None);
        };
        some.sort_by_key(name);
        found.extend(some.into_iter().map(|one| doc! { "kind": kind, "document": one }));
    }
    content::joined(&found).map(Some)
}

/// What the server calls a user or role: the database, a dot, the name.
pub(super) fn name(document: &Document) -> String {
    document.get_str("_id").unwrap_or_default().to_owned()
}

/// Which of them are wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Databases that are restored, by the names that they had.
    pub databases: BTreeMap<String, String>,
    /// Those of the server as well.
    pub all: bool,
    /// Those that are there already are replaced.
    pub replace: bool,
}

/// What was made.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The kind, the database and the name.
    made: Vec<(&'static str, String, String)>,
}

impl Made {
    pub(super) fn names(&self) -> Vec<String> {
        self.made.iter().map(|(kind, database, name)| format!("{kind} {database}.{name}")).collect()
    }
}

/// Makes the users and roles that a stream holds; gives what was made and what the user should know.
pub(super) async fn make(server: &Server, bytes: &[u8], wanted: &Wanted) -> Result<(Made, Vec<String>)> {
    let (mut made, mut warnings) = (Made::default(), Vec::new());
    for (kind, collection) in KINDS {
        let mut chosen = Vec::new();
        for one in content::parse(bytes)?.into_iter().filter(|one| one.get_str("kind").is_ok_and(|found| found == kind))
        {
            let document = one.get_document("document").map_err(|_| corrupt("this is no user"))?.clone();
            let database = document.get_str("db").map_err(|_| corrupt("this is no user"))?.to_owned();
            match wanted.databases.get(&database) {
                Some(to) if *to == database => chosen.push(document),
                Some(to) => warnings.push(format!("{kind} {} is left out: its database is now {to}", name(&document))),
                None if wanted.all => chosen.push(document),
                None => {}
            }
        }
        let there = existing(server, collection, &chosen).await?;
        if !wanted.replace {
            chosen.retain(|document| !there.contains(&name(document)));
        }
        if chosen.is_empty() {
            continue;
        }
        if merge(server, kind, &chosen).await? {
            let of = |d: &Document, key: &str| d.get_str(key).unwrap_or_default().to_owned();
            let new = chosen.iter().filter(|document| !there.contains(&name(document)));
            made.made.extend(new.map(|document| (kind, of(document, "db"), of(document, kind))));
        } else {
            let names: Vec<String> = chosen.iter().map(name).collect();
            let names = super::target::some(&names);
            warnings.push(format!("{kind}s are not restored, for this server takes none with their secrets: {names}"));
        }
    }
    Ok((made, warnings))
}

/// Which of them the server has already.
async fn existing(server: &Server, collection: &str, of: &[Document]) -> Result<Vec<String>> {
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = of.iter().map(name).collect();
    let ask = doc! { "find": collection, "filter": { "_id": { "$in": names } }, "projection": { "_id": 1 } };
    let found = server.list("admin", "look for users and roles", ask).await.map_err(hinted)?;
    Ok(found.iter().map(name).collect())
}

/// As MongoDB's own program does: into a collection for a moment, from which the server takes them with
/// their secrets. False: it has no such command.
async fn merge(server: &Server, kind: &str, documents: &[Document]) -> Result<bool> {
    let (beside, option) = match kind {
        "role" => ("temproles", "tempRolesCollection"),
        _ => ("tempusers", "tempUsersCollection"),
    };
    // Asked with nothing: a server that has the command says that something is missing.
    let known = server.command("admin", "restore users and roles", doc! { "_mergeAuthzCollections": 1 }).await;
    if known.is_err_and(|error| has_code(&error, &[NO_COMMAND])) {
        return Ok(false);
    }
    drop_collection(server, "admin", beside).await.map_err(hinted)?;
    let done = async {
        insert(server, "admin", beside, documents).await?;
        let ask = doc! {
            "_mergeAuthzCollections": 1, option: format!("admin.{beside}"), "drop": false, "db": "",
            "writeConcern": { "w": "majority" },
        };
        server.command("admin", "restore users and roles", ask).await
    };
    let done = done.await.map_err(hinted);
    drop_collection(server, "admin", beside).await?;
    done.map(|_| true)
}

fn hinted(error: Error) -> Error {
    if error.kind() == ErrorKind::PermissionDenied {
        return error.with("hint", "`--no-privileges` restores without users and roles");
    }
    error
}

/// Removes what was made.
pub(super) async fn undo(server: &Server, made: &Made) -> Result<()> {
    for (kind, database, name) in made.made.iter().rev() {
        let ask = if *kind == "role" {
            doc! { "dropRole": name }
        } else {
            doc! { "dropUser": name }
        };
        server.command(database, "remove users and roles again", ask).await?;
    }
    Ok(())
}
