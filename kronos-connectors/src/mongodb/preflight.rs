//! What can be known before a backup: which rights are missing, and what of the server makes a backup
//! worse than it could be.

use kronos_core::{ErrorKind, Preflight, Result};
use mongodb::bson::{Bson, Document, doc};

use super::begin::{chosen, scope};
use super::changes::{self, Feed};
use super::connect::{Kind, Server};
use super::error::if_allowed;
use super::settings::{Changes, Method, MongodbSettings};

/// A log of changes that holds less than this is soon rolled over.
const SHORT: u64 = 24 * 3600;
/// Roles that may read everything.
const READERS: [&str; 3] = ["backup", "root", "__system"];

pub(super) async fn preflight(settings: &MongodbSettings) -> Result<Preflight> {
    let mut found = Preflight::default();
    let server = settings.open().await?;
    let (databases, notices) = chosen(settings, &server, &[]).await?;
    found.notes.extend(notices);
    if settings.databases.is_empty() {
        found.notes.push("admin, config and local are left out but for users and roles".to_owned());
    }
    roles(&server, &databases, &mut found).await?;
    version(&server, &mut found).await?;
    match &server.kind {
        Kind::Standalone => found.notes.push(
            "a standalone server keeps no log of changes: what is written during a backup may be in it or not; a replica set of one member is enough to change that".to_owned(),
        ),
        Kind::Mongos => {
            found.notes.push(
                "through mongos each shard is read by itself; how collections are spread over shards is not part of a backup".to_owned(),
            );
            followed(settings, &server, &databases, &mut found).await?;
        }
        Kind::ReplicaSet(_) if settings.changes == Changes::None => {
            found.notes.push("changes = none: what is written during a backup may be in it or not".to_owned());
        }
        Kind::ReplicaSet(_) => {
            window(&server, &mut found).await?;
            followed(settings, &server, &databases, &mut found).await?;
        }
    }
    server.close().await;
    Ok(found)
}

/// Whether the user may read what is to be read.
async fn roles(server: &Server, databases: &[String], found: &mut Preflight) -> Result<()> {
    let status = server.command("admin", "ask for the user's roles", doc! { "connectionStatus": 1 }).await?;
    let info = status.get_document("authInfo").cloned().unwrap_or_default();
    let list = |key: &str| info.get_array(key).map(Vec::as_slice).unwrap_or_default().to_vec();
    if list("authenticatedUsers").is_empty() {
        // Whoever need not log in may do everything.
        return Ok(());
    }
    let roles: Vec<Document> = list("authenticatedUserRoles").iter().filter_map(Bson::as_document).cloned().collect();
    if has_role(&roles, &READERS, "admin") {
        return Ok(());
    }
    let everywhere = ["readAnyDatabase", "readWriteAnyDatabase"];
    for database in databases {
        let here = ["read", "readWrite", "dbOwner"];
        if !has_role(&roles, &everywhere, "admin") && !has_role(&roles, &here, database) {
            // A role of the user's own may well be enough.
            found
                .notes
                .push(format!("no known role may read {database}: the role `backup` of admin may read everything"));
        }
    }
    found.notes.push("users, roles and the oplog are read with the role `backup` of admin".to_owned());
    Ok(())
}

fn has_role(roles: &[Document], wanted: &[&str], database: &str) -> bool {
    let is_wanted = |role: &Document| {
        role.get_str("db").is_ok_and(|found| found == database)
            && role.get_str("role").is_ok_and(|name| wanted.contains(&name))
    };
    roles.iter().any(is_wanted)
}

async fn version(server: &Server, found: &mut Preflight) -> Result<()> {
    let ask = doc! { "getParameter": 1, "featureCompatibilityVersion": 1 };
    let answer = if_allowed(server.command("admin", "ask for the feature version", ask).await)?;
    if let Some(answer) = answer {
        let feature = answer.get_document("featureCompatibilityVersion").and_then(|fcv| fcv.get_str("version"));
        if let Ok(feature) = feature
            && !server.version.starts_with(&format!("{feature}."))
        {
            found.notes.push(format!("featureCompatibilityVersion is {feature}, the server is {}", server.version));
        }
    }
    let status = if_allowed(server.command("admin", "ask for the storage engine", doc! { "serverStatus": 1 }).await)?;
    let engine = status.as_ref().and_then(|status| status.get_document("storageEngine").ok());
    if let Some(engine) = engine
        && engine.get_bool("supportsCommittedReads").is_ok_and(|supports| !supports)
    {
        let name = engine.get_str("name").unwrap_or("unknown");
        found
            .notes
            .push(format!("the storage engine {name} cannot read what a majority has: what is read may be undone"));
    }
    Ok(())
}

/// For how long the oplog remembers.
async fn window(server: &Server, found: &mut Preflight) -> Result<()> {
    let end = |order: i32| async move {
        let ask = doc! {
            "find": "oplog.rs", "sort": { "$natural": order }, "projection": { "ts": 1 }, "limit": 1, "singleBatch": true,
        };
        let entry = if_allowed(server.list("local", "look how long the oplog is", ask).await)?;
        let first = entry.unwrap_or_default().into_iter().next();
        Ok::<_, kronos_core::Error>(first.and_then(|entry| entry.get_timestamp("ts").ok()))
    };
    if let (Some(first), Some(last)) = (end(1).await?, end(-1).await?) {
        let seconds = u64::from(last.time.saturating_sub(first.time));
        if seconds < SHORT {
            found.notes.push(format!(
                "the oplog goes back {} min: a backup that takes longer than it remembers fails",
                seconds / 60
            ));
        }
    }
    Ok(())
}

/// By what changes will be followed, if they can be.
async fn followed(
    settings: &MongodbSettings,
    server: &Server,
    databases: &[String],
    found: &mut Preflight,
) -> Result<()> {
    // mongodump takes them along itself.
    if settings.method == Method::Tool {
        return Ok(());
    }
    let scope = scope(settings, server, databases).await?;
    match changes::outlook(&server.client, settings.changes, &scope).await {
        Ok(Some((_, false))) => {
            found.missing.push(format!("the user may not follow what is written during a backup: {}", changes::NEEDED));
        }
        Ok(Some((Feed::Oplog, true))) => found.notes.push("changes are followed by the oplog".to_owned()),
        Ok(Some((Feed::ChangeStream, true))) => {
            found.notes.push("changes are followed by change streams".to_owned());
            if scope.only_in_oplog {
                found.notes.push(
                    "change streams do not tell of time series and of stored functions, and the oplog is not read: what is written to these during a backup may be in it or not".to_owned(),
                );
            }
        }
        Ok(None) => {}
        Err(error) if error.kind() == ErrorKind::Unsupported => found.missing.push(error.to_string()),
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_count_in_their_database() {
        let roles = [doc! { "role": "backup", "db": "admin" }, doc! { "role": "read", "db": "shop" }];
        assert!(has_role(&roles, &READERS, "admin") && has_role(&roles, &["read"], "shop"));
        assert!(!has_role(&roles, &["read"], "billing") && !has_role(&roles, &READERS, "shop"));
    }
}
