//! The target of a restore: which databases it makes, and what is there already.

use std::collections::{BTreeMap, BTreeSet};

use kronos_core::{Error, ErrorKind, RestoreRequest, Result, TargetReport, matches};

use crate::servers::files;

use super::catalog;
use super::connect::Session;
use super::names::{self, literal, shown};
use super::plan::{Content, table_names};
use super::settings::MysqlSettings;

/// So many names are shown.
const SHOWN: usize = 3;

/// A database of the backup and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub from: String,
    pub to: String,
    /// The tables that were chosen of it; `None` for all of it.
    pub tables: Option<BTreeSet<String>>,
    /// Whether the target is there.
    pub exists: bool,
    /// What is in the way, for people.
    pub there: Vec<String>,
    /// The server that it came from.
    pub flavor: String,
    /// The target is a server of the other kind: MySQL for MariaDB, or the other way round.
    pub is_foreign: bool,
}

/// What a restore will do to a server.
#[derive(Debug)]
pub(super) struct Plan {
    pub databases: Vec<Planned>,
    pub obstacles: Vec<String>,
    /// Whether the server takes rows by `LOAD DATA LOCAL`.
    pub loads: bool,
}

/// What each stream holds, by name.
pub(super) fn contents(request: &RestoreRequest) -> Result<BTreeMap<String, Content>> {
    request.streams.iter().map(|s| Ok((s.info.name.clone(), Content::of(&s.info)?))).collect()
}

pub(super) async fn inspect(settings: &MysqlSettings, request: &RestoreRequest) -> Result<TargetReport> {
    let needed = request.streams.iter().map(|s| s.end.length).sum();
    if let Some(directory) = &settings.export {
        return files::inspect(directory, needed);
    }
    let mut session = settings.open().await?;
    let plan = plan(settings, &mut session, request).await?;
    session.close().await;
    let existing = plan.databases.iter().filter(|database| !database.there.is_empty());
    let existing = existing.map(|database| format!("database {} ({})", shown(&database.to), some(&database.there)));
    Ok(TargetReport { existing: existing.collect(), needed, free: None, obstacles: plan.obstacles })
}

/// Some of many names.
pub(super) fn some(names: &[String]) -> String {
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

pub(super) async fn plan(settings: &MysqlSettings, session: &mut Session, request: &RestoreRequest) -> Result<Plan> {
    let mut databases = named(settings, request)?;
    let mut obstacles = Vec::new();
    let names: Vec<String> = databases.iter().map(|database| database.to.clone()).collect();
    for (database, name) in databases.iter_mut().zip(catalog::folded(session, &names).await?) {
        database.to = name;
        look(session, database).await?;
        database.is_foreign = database.flavor != session.server.name();
        if request.replace {
            obstacles.extend(referenced(session, database).await?);
        }
    }
    let loads: bool = session.value("ask how rows are taken", "SELECT @@global.local_infile").await?;
    Ok(Plan { databases, obstacles, loads })
}

/// The databases of the backup under the names that they get.
fn named(settings: &MysqlSettings, request: &RestoreRequest) -> Result<Vec<Planned>> {
    let all = contents(request)?;
    let mut databases = Vec::new();
    for content in all.values() {
        let planned = |database: &String, flavor: &String, tables| Planned {
            from: database.clone(),
            to: database.clone(),
            tables,
            exists: false,
            there: Vec::new(),
            flavor: flavor.clone(),
            is_foreign: false,
        };
        match content {
            Content::Schema { database, flavor, .. } => {
                databases.push(planned(database, flavor, chosen(request, &all, database)));
            }
            Content::Dump { databases: dumped, flavor, .. } => {
                let names = dumped
                    .iter()
                    .map(|dumped| &dumped.name)
                    .filter(|name| dumped.len() == 1 || is_wanted(request, name));
                databases.extend(names.map(|name| planned(name, flavor, None)));
            }
            Content::Globals { .. } | Content::Rows(_) => {}
        }
    }
    match settings.databases.as_slice() {
        [] => {}
        [one] if databases.len() == 1 => databases[0].to.clone_from(one),
        [_] => {
            let names = databases.iter().map(|d| shown(&d.from)).collect::<Vec<_>>().join(", ");
            return Err(Error::new(ErrorKind::Config, "the target is one database, and the backup has several")
                .with("databases", names)
                .with("hint", "choose one with --only, or leave the database out of the target's URL"));
        }
        several => {
            if let Some(missing) = databases.iter().find(|d| !several.contains(&d.from)) {
                return Err(Error::new(ErrorKind::Config, "a database of the backup is not among those of the target")
                    .with("database", shown(&missing.from)));
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

/// Whether a database of a dump of several is among what was chosen.
fn is_wanted(request: &RestoreRequest, database: &str) -> bool {
    let names = [shown(database), "dump".to_owned()];
    request.only.is_empty() || request.only.iter().any(|pattern| names.iter().any(|name| matches(pattern, name)))
}

/// The tables that were chosen of a database; `None` for all of it.
fn chosen(request: &RestoreRequest, all: &BTreeMap<String, Content>, database: &str) -> Option<BTreeSet<String>> {
    let is_named = |name: &String| request.only.iter().any(|pattern| matches(pattern, name));
    if request.only.is_empty() || [shown(database), format!("{}/schema", shown(database))].iter().any(is_named) {
        return None;
    }
    let tables = request.streams.iter().filter_map(|stream| match all.get(&stream.info.name) {
        Some(Content::Rows(rows)) if rows.database == database => Some(rows),
        _ => None,
    });
    let is_chosen = |table: &str| table_names(database, table).iter().any(is_named);
    // A part of a table that was chosen by the name of its stream counts as well.
    Some(
        tables
            .filter(|rows| is_chosen(&rows.table) || !request.only.is_empty())
            .map(|rows| rows.table.clone())
            .collect(),
    )
}

/// Looks what is there under the name that a database is to get.
pub(super) async fn look(session: &mut Session, database: &mut Planned) -> Result<()> {
    let sql = format!("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = {}", literal(&database.to));
    let count: i64 = session.value("look for the database", &sql).await?;
    database.exists = count > 0;
    if !database.exists {
        return Ok(());
    }
    if let Some(tables) = &database.tables {
        // The others are not touched.
        let relations = catalog::relations(session, &database.to).await?;
        let names = relations.into_iter().map(|(name, _)| name);
        database.there = names.filter(|name| tables.contains(name)).map(|name| shown(&name)).collect();
        return Ok(());
    }
    database.there = things(session, &database.to).await?;
    Ok(())
}

/// What is in a database, for people.
pub(super) async fn things(session: &mut Session, database: &str) -> Result<Vec<String>> {
    let relations = catalog::relations(session, database).await?;
    let mut things: Vec<String> = relations.into_iter().map(|(name, _)| shown(&name)).collect();
    let name = literal(database);
    let sql = format!(
        "SELECT routine_name FROM information_schema.routines WHERE routine_schema = {name} \
         UNION ALL SELECT event_name FROM information_schema.events WHERE event_schema = {name}"
    );
    let code: Vec<(String,)> = session.rows("look for objects", &sql).await?;
    things.extend(code.into_iter().map(|(name,)| shown(&name)));
    Ok(things)
}

/// Foreign keys of tables that stay, to tables that would be replaced: they would go with the old ones.
async fn referenced(session: &mut Session, database: &Planned) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT table_schema, table_name, referenced_table_name FROM information_schema.key_column_usage \
         WHERE referenced_table_schema = {}",
        literal(&database.to)
    );
    let found: Vec<(String, String, String)> = session.rows("look for foreign keys", &sql).await?;
    let replaced = |table: &String| database.tables.as_ref().is_none_or(|tables| tables.contains(table));
    let stays = |schema: &String, table: &String| *schema != database.to || !replaced(table);
    let told = |(schema, table, to): (String, String, String)| {
        (stays(&schema, &table) && replaced(&to)).then(|| {
            let (from, to) = (names::qualified(&schema, &table), names::qualified(&database.to, &to));
            format!("{from} has a foreign key to {to}, which would be replaced: drop the key before, and make it again after")
        })
    };
    Ok(found.into_iter().filter_map(told).collect())
}
