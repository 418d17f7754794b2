//! A restore: roles first, then databases beside what is there, their rows over several
//! connections, indexes and constraints after them. At the end each database gets its name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{
    Error, ErrorKind, Piece, Restore, RestoreOutcome, RestoreRequest, Result, RunContext, Stream, StreamEnd,
};
use tokio::io::AsyncWriteExt;

use super::building::{Building, How, Wishes, temporary, token};
use super::connect::Session;
use super::error::internal;
use super::export::Export;
use super::globals::{self, Made, Wanted};
use super::names::shown;
use super::plan::Content;
use super::settings::PostgresSettings;
use super::target::{Plan, There, contents, plan};
use super::tools::find;
use crate::servers::restoring::{Progress, Restoring, Steps, same, text};

/// A target being written.
#[derive(Debug)]
pub(super) struct PostgresRestore {
    pub settings: PostgresSettings,
    pub run: RunContext,
    pub request: RestoreRequest,
    contents: BTreeMap<String, Content>,
    pub buildings: Vec<Building>,
    token: String,
    sessions: Mutex<Vec<(String, Session)>>,
    script: Mutex<Option<String>>,
    made: Mutex<Made>,
    progress: Progress,
}

impl PostgresRestore {
    pub(super) async fn begin(
        settings: &PostgresSettings,
        request: &RestoreRequest,
        run: &RunContext,
    ) -> Result<Box<dyn Restore>> {
        run.check_cancelled()?;
        if let Some(directory) = &settings.export {
            return Ok(Box::new(Export::begin(settings, directory, request)?));
        }
        let Plan { databases, version, obstacles } = plan(settings, request).await?;
        for database in &databases {
            if let There::Something(objects) = &database.there
                && !request.replace
            {
                return Err(Error::new(ErrorKind::AlreadyExists, "the database exists and is not empty")
                    .with("database", shown(&database.to))
                    .with("has", format!("{}, …", objects.join(", "))));
            }
        }
        if let Some(obstacle) = obstacles.first() {
            return Err(Error::new(ErrorKind::Config, obstacle));
        }
        let wishes = Wishes { owners: request.owners, privileges: request.privileges, version };
        let token = token(run);
        let mut buildings = Vec::new();
        for database in databases {
            let tool = find(settings, "pg_restore", database.tool, version / 10_000).await?;
            buildings.push(Building::new(database, tool, wishes, request.replace, &token));
        }
        let restore = Self {
            settings: settings.clone(),
            run: run.clone(),
            request: request.clone(),
            contents: contents(request)?,
            buildings,
            token,
            sessions: Mutex::default(),
            script: Mutex::default(),
            made: Mutex::default(),
            progress: Progress::default(),
        };
        Ok(Box::new(Restoring::new(restore, request, run)))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Steps for PostgresRestore {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    async fn write(&self, stream: Stream, end: StreamEnd) -> Result<()> {
        let name = stream.info().name.clone();
        let content = self.contents.get(&name).ok_or_else(|| internal("a stream without a description"))?;
        match content {
            Content::Globals { .. } => {
                let script = text(stream, end).await?;
                *locked(&self.script) = Some(script);
                Ok(())
            }
            Content::Schema { database, .. } => {
                let file = spool(&self.settings, stream, end).await?;
                self.building(database)?.keep_archive(file);
                Ok(())
            }
            Content::Rows(rows) => {
                self.prepare().await?;
                self.write_rows(rows, self.is_alone(&name, content), stream, end).await
            }
            Content::Sequences { database } => {
                self.prepare().await?;
                self.write_sequences(database, &text(stream, end).await?).await
            }
            Content::LargeObjects { database } => {
                self.prepare().await?;
                self.write_large_objects(database, stream, end).await
            }
            Content::Dump { database } => {
                self.prepare().await?;
                self.write_dump(database, stream, end).await
            }
        }
    }

    async fn complete(&self) -> Result<RestoreOutcome> {
        self.prepare().await?;
        let mut outcome = RestoreOutcome::default();
        for building in &self.buildings {
            let rows = self.count_rows(building).await?;
            if self.has_schema(&building.planned.from) {
                building.section(&self.settings, "post-data", self.run.limits.parallel.max(1)).await?;
            }
            self.analyze(building).await?;
            let (database, tables) = (shown(&building.planned.to), building.expected().len());
            outcome.checks.push(if self.has_schema(&building.planned.from) {
                format!("{database}: {tables} tables, {rows} rows, as in the backup")
            } else {
                format!("{database}: pg_restore ended without an error; rows are not counted in backups by it")
            });
        }
        let mut session = self.settings.maintenance().await?;
        for building in &self.buildings {
            building.finish_settings(&self.settings, &mut session).await?;
        }
        session.close().await;
        Ok(outcome)
    }

    async fn put_in_place(&self, mut outcome: RestoreOutcome) -> Result<RestoreOutcome> {
        let mut session = self.settings.maintenance().await?;
        self.close().await;
        for building in &self.buildings {
            building
                .put_in_place(&self.settings, &mut session, &self.token)
                .await
                .map_err(|e| Self::partly(e, &outcome))?;
            outcome.created.push(format!("database {}", shown(&building.planned.to)));
            outcome.warnings.extend(building.warnings());
        }
        session.close().await;
        let made = locked(&self.made).clone();
        outcome.created.extend(made.roles.iter().map(|name| format!("role {}", shown(name))));
        outcome.created.extend(made.tablespaces.iter().map(|name| format!("tablespace {}", shown(name))));
        outcome.warnings.extend(made.warnings);
        Ok(outcome)
    }

    async fn close(&self) {
        let sessions = std::mem::take(&mut *locked(&self.sessions));
        futures::future::join_all(sessions.into_iter().map(|(_, session)| session.close())).await;
    }

    async fn undo(&self) -> Result<()> {
        // A database in which there are sessions cannot be dropped.
        self.close().await;
        let Ok(mut session) = self.settings.maintenance().await else { return Ok(()) };
        let mut in_place = false;
        for building in &self.buildings {
            // What is still there bears a mark, and the next restore removes it.
            let _ = building.undo(&self.settings, &mut session).await;
            in_place |= building.how == How::InPlace;
        }
        let made = std::mem::take(&mut *locked(&self.made));
        // In a database that exists they may own something.
        if !in_place {
            globals::undo(&mut session, &made).await;
        }
        session.close().await;
        Ok(())
    }

    fn told(&self, error: Error) -> Error {
        if !self.progress.is_prepared() && !self.progress.has_failed() {
            return error;
        }
        match self.buildings.iter().find_map(Building::remains) {
            Some(remains) if error.context("half done").is_none() => error.with("half done", remains),
            _ => error,
        }
    }
}

impl PostgresRestore {
    /// Whether no other stream has rows of the same table.
    fn is_alone(&self, name: &str, content: &Content) -> bool {
        !self.contents.iter().any(|(other, same)| other != name && same == content)
    }

    pub(super) fn building(&self, database: &str) -> Result<&Building> {
        let found = self.buildings.iter().find(|building| building.planned.from == database);
        found.ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the backup has rows of a database without its schema")
                .with("database", shown(database))
        })
    }

    /// A session in one of the databases that are being made.
    pub(super) async fn take(&self, building: &Building) -> Result<Session> {
        let found = {
            let mut sessions = locked(&self.sessions);
            sessions.iter().position(|(name, _)| *name == building.name).map(|at| sessions.swap_remove(at))
        };
        match found {
            Some((_, session)) => Ok(session),
            None => self.open(building).await,
        }
    }

    async fn open(&self, building: &Building) -> Result<Session> {
        let mut session = self.settings.open(&building.name).await?;
        let mut sql = "SET SESSION check_function_bodies = false".to_owned();
        if building.how != How::InPlace {
            // The rename at the end makes everything before it lasting.
            sql.push_str("; SET SESSION synchronous_commit = off");
        }
        session.run("prepare the session", &sql).await?;
        Ok(session)
    }

    /// Takes a session back whose transaction has ended.
    pub(super) fn give_back(&self, building: &Building, session: Session) {
        locked(&self.sessions).push((building.name.clone(), session));
    }

    /// Makes roles and databases and what rows need, once.
    async fn prepare(&self) -> Result<()> {
        self.progress.prepare(Box::pin(self.make())).await
    }

    async fn make(&self) -> Result<()> {
        let mut session = self.settings.maintenance().await?;
        let script = locked(&self.script).take();
        if let Some(script) = script.filter(|_| self.request.owners || self.request.privileges) {
            let all = self.contents.values().any(|content| matches!(content, Content::Globals { server: true }));
            let needed: BTreeSet<String> = self.buildings.iter().flat_map(|b| b.planned.roles.clone()).collect();
            let wanted = Wanted { roles: (!all).then_some(&needed), tablespaces: self.settings.tablespaces };
            let mut made = Made::default();
            let applied = globals::apply(&mut session, &script, wanted, &mut made).await;
            *locked(&self.made) = made;
            applied?;
        }
        for building in &self.buildings {
            building.create(&self.settings, &mut session).await?;
            // While someone is in it, nobody takes it for something that was left behind.
            let inside = self.open(building).await?;
            self.give_back(building, inside);
            if building.how != How::InPlace {
                building.mark(&mut session).await?;
            }
            if !self.has_schema(&building.planned.from) {
                continue;
            }
            if let Some(tables) = self.tables(&building.planned.from) {
                building.choose(&self.settings, &tables).await?;
            }
            building.section(&self.settings, "pre-data", 1).await?;
        }
        session.close().await;
        Ok(())
    }

    /// Whether the schema is restored by itself, not as a part of everything.
    fn has_schema(&self, database: &str) -> bool {
        !self.contents.values().any(|c| matches!(c, Content::Dump { database: of } if of == database))
    }

    /// The tables that were chosen of a database; `None` for all of it.
    fn tables(&self, database: &str) -> Option<BTreeSet<u32>> {
        let only = &self.request.only;
        let names = [shown(database), format!("{}/schema", shown(database))];
        if only.is_empty() || only.iter().any(|pattern| names.iter().any(|name| kronos_core::matches(pattern, name))) {
            return None;
        }
        let is_named = |name: &str| only.iter().any(|pattern| kronos_core::matches(pattern, name));
        let chosen = |schema: &str, table: &str| {
            super::plan::table_names(database, schema, table).iter().any(|name| is_named(name))
        };
        let mut tables = BTreeSet::new();
        for content in self.contents.values() {
            if let Content::Schema { database: of, without_rows, .. } = content
                && of == database
            {
                let wanted = without_rows.iter().filter(|named| chosen(&named.schema, &named.table));
                tables.extend(wanted.map(|named| named.oid));
            }
        }
        for stream in &self.request.streams {
            if let Some(Content::Rows(rows)) = self.contents.get(&stream.info.name)
                && rows.database == database
            {
                tables.insert(rows.oid);
                // Of a partitioned table that was chosen, it is a part; chosen itself, a table of its own.
                let farthest = rows.parents.iter().rposition(|parent| chosen(&parent.schema, &parent.table));
                tables.extend(rows.parents.iter().take(farthest.map_or(0, |at| at + 1)).map(|parent| parent.oid));
            }
        }
        Some(tables)
    }

    fn partly(error: Error, outcome: &RestoreOutcome) -> Error {
        if outcome.created.is_empty() { error } else { error.with("done already", outcome.created.join(", ")) }
    }
}

/// A stream in a file that is removed when it is dropped.
pub(super) async fn spool(
    settings: &PostgresSettings,
    mut stream: Stream,
    end: StreamEnd,
) -> Result<tempfile::NamedTempFile> {
    let file = temporary(settings)?;
    let path = file.path().to_owned();
    let failed = |e| super::error::io(e, &path);
    let mut out = tokio::fs::File::create(&path).await.map_err(failed)?;
    loop {
        match stream.next().await? {
            Some(Piece::Data(bytes)) => out.write_all(&bytes).await.map_err(failed)?,
            Some(Piece::End(found)) => {
                same(found, end)?;
                out.flush().await.map_err(failed)?;
                return Ok(file);
            }
            None => return Err(internal("a stream was read after its end")),
        }
    }
}
