//! The target of a restore: which databases it makes, and what is there already.

use std::collections::{BTreeMap, BTreeSet};

use kronos_core::{Error, ErrorKind, RestoreRequest, Result, TargetReport};

use crate::servers::files;

use super::catalog;
use super::connect::{Session, shown as version_shown};
use super::names::{literal, shown};
use super::plan::Content;
use super::settings::PostgresSettings;
use super::tools::find;

/// What exists under the name that a database is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    /// A database without anything of a user's.
    Empty,
    /// A database with such things, some of which are named.
    Something(Vec<String>),
}

/// A database of the backup and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub from: String,
    pub to: String,
    pub there: There,
    /// The first number of the version of `pg_dump`.
    pub tool: u32,
    /// The version of the server that it came from.
    pub server: u32,
    pub roles: BTreeSet<String>,
}

/// What a restore will do to a server.
#[derive(Debug)]
pub(super) struct Plan {
    pub databases: Vec<Planned>,
    pub version: u32,
    pub obstacles: Vec<String>,
}

/// What each stream holds, by name.
pub(super) fn contents(request: &RestoreRequest) -> Result<BTreeMap<String, Content>> {
    request.streams.iter().map(|s| Ok((s.info.name.clone(), Content::of(&s.info)?))).collect()
}

pub(super) async fn inspect(settings: &PostgresSettings, request: &RestoreRequest) -> Result<TargetReport> {
    let needed = request.streams.iter().map(|s| s.end.length).sum();
    if let Some(directory) = &settings.export {
        return files::inspect(directory, needed);
    }
    let plan = plan(settings, request).await?;
    let existing = plan.databases.iter().filter_map(|database| match &database.there {
        There::Something(objects) => Some(format!("database {} ({}, …)", shown(&database.to), objects.join(", "))),
        There::Empty | There::Nothing => None,
    });
    Ok(TargetReport { existing: existing.collect(), needed, free: None, obstacles: plan.obstacles })
}

pub(super) async fn plan(settings: &PostgresSettings, request: &RestoreRequest) -> Result<Plan> {
    let mut databases = named(settings, request)?;
    let mut session = settings.maintenance().await?;
    let mut obstacles = Vec::new();
    let (may_create, is_superuser): (bool, bool) = session
        .row(
            "ask for the user's rights",
            "SELECT rolcreatedb OR rolsuper, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
        )
        .await?;
    for database in &mut databases {
        database.there = look(settings, &mut session, &database.to).await?;
        if !may_create && (database.there == There::Nothing || request.replace) {
            let name = shown(&database.to);
            obstacles.push(format!(
                "the user may not create databases, and {name} would have to be made: ALTER ROLE … CREATEDB"
            ));
        }
        if let There::Something(_) = database.there
            && request.replace
            && !is_superuser
        {
            let sql = format!(
                "SELECT pg_catalog.pg_has_role(datdba, 'USAGE') FROM pg_catalog.pg_database WHERE datname = {}",
                literal(&database.to)
            );
            let (owns,): (bool,) = session.row("ask for the user's rights", &sql).await?;
            if !owns {
                obstacles.push(format!(
                    "{} belongs to someone else and cannot be replaced by this user",
                    shown(&database.to)
                ));
            }
        }
        if database.server / 10_000 > session.version / 10_000 {
            obstacles.push(format!(
                "the backup is of PostgreSQL {}, and the target is an older {}",
                version_shown(database.server),
                version_shown(session.version)
            ));
        }
    }
    let version = session.version;
    session.close().await;
    if let Some(tool) = databases.iter().map(|database| database.tool).max()
        && let Err(error) = find(settings, "pg_restore", tool, version / 10_000).await
    {
        obstacles.push(format!(
            "{}: pg_restore {tool} or newer; {}",
            error.message(),
            error.context("hint").unwrap_or_default()
        ));
    }
    Ok(Plan { databases, version, obstacles })
}

impl PostgresSettings {
    /// A session from which databases can be made and renamed: in another than those.
    pub(super) async fn maintenance(&self) -> Result<Session> {
        let first = self.open(&self.maintenance_database).await;
        match first {
            Err(error) if [ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&error.kind()) => self
                .open("template1")
                .await
                .map_err(|_| error.with("hint", "`maintenance_database` names a database that the user may open")),
            done => done,
        }
    }
}

/// The databases of the backup under the names that they get.
fn named(settings: &PostgresSettings, request: &RestoreRequest) -> Result<Vec<Planned>> {
    let mut databases = Vec::new();
    for content in contents(request)?.into_values() {
        if let Content::Schema { database, tool, server, roles, .. } = content {
            let (to, roles) = (database.clone(), roles.into_iter().collect());
            databases.push(Planned { from: database, to, there: There::Nothing, tool, server, roles });
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
    Ok(databases)
}

async fn look(settings: &PostgresSettings, session: &mut Session, name: &str) -> Result<There> {
    let sql = format!("SELECT count(*) FROM pg_catalog.pg_database WHERE datname = {}", literal(name));
    let (count,): (i64,) = session.row("look for the database", &sql).await?;
    if count == 0 {
        return Ok(There::Nothing);
    }
    let mut inside = settings.open(name).await?;
    let objects = catalog::own_objects(&mut inside).await?;
    inside.close().await;
    Ok(if objects.is_empty() { There::Empty } else { There::Something(objects) })
}
