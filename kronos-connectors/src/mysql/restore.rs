//! A restore: users first, then tables beside what is there, their rows over several connections,
//! keys after them. Once everything is compared with the backup, tables get their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Restore, RestoreOutcome, RestoreRequest, Result, RunContext, Stream, StreamEnd};

use super::building::{Building, token};
use super::connect::Session;
use super::error::{corrupt, internal};
use super::export::Export;
use super::globals::{self, Wanted};
use super::journal;
use super::load::Loaded;
use super::names::shown;
use super::objects;
use super::plan::Content;
use super::settings::MysqlSettings;
use super::swap;
use super::target::{Plan, contents, plan, some};
use crate::servers::restoring::{Progress, Restoring, Steps, text};

/// Seconds for which tables and databases may have to wait: someone may keep all of them from being
/// changed, as a backup by MySQL's own programs does.
pub(super) const DDL: u32 = 300;

/// A target being written.
#[derive(Debug)]
pub(super) struct MysqlRestore {
    pub settings: MysqlSettings,
    pub run: RunContext,
    pub request: RestoreRequest,
    pub contents: BTreeMap<String, Content>,
    pub buildings: Vec<Building>,
    pub token: String,
    /// The server takes rows by `LOAD DATA LOCAL`.
    pub loads: bool,
    pub sessions: Mutex<Vec<Session>>,
    /// The numbers of those at work, and of those that were lost at it.
    pub at_work: Mutex<BTreeSet<u32>>,
    /// As long as it is there, nobody takes what is made for something that was left behind.
    pub living: tokio::sync::Mutex<Option<Session>>,
    /// Of a dump of the server's own program.
    pub loaded: Loaded,
    script: Mutex<Option<String>>,
    pub made: Mutex<globals::Made>,
    progress: Progress,
    /// Counts pieces of rows that the server has taken, of all streams.
    pub handed_over: AtomicU64,
}

impl MysqlRestore {
    pub(super) async fn begin(
        settings: &MysqlSettings,
        request: &RestoreRequest,
        run: &RunContext,
    ) -> Result<Box<dyn Restore>> {
        run.check_cancelled()?;
        if let Some(directory) = &settings.export {
            return Ok(Box::new(Export::begin(directory, request)?));
        }
        let mut session = settings.open().await?;
        let mut found = plan(settings, &mut session, request).await?;
        let mut settled = false;
        for database in &found.databases {
            for remains in journal::remains(&mut session, &database.to).await? {
                swap::settle(&mut session, remains).await?;
                settled = true;
            }
        }
        if settled {
            found = plan(settings, &mut session, request).await?;
        }
        let Plan { databases, obstacles, loads, .. } = found;
        if let Some(database) = databases.iter().find(|database| !database.there.is_empty() && !request.replace) {
            return Err(Error::new(ErrorKind::AlreadyExists, "the database is there and is not empty")
                .with("database", shown(&database.to))
                .with("has", some(&database.there)));
        }
        if let Some(obstacle) = obstacles.first() {
            return Err(Error::new(ErrorKind::Config, obstacle));
        }
        let token = token(run);
        journal::live(&mut session, &token).await?;
        let restore = Self {
            settings: settings.clone(),
            run: run.clone(),
            request: request.clone(),
            contents: contents(request)?,
            buildings: databases.into_iter().map(|database| Building::new(database, &token)).collect(),
            loads: loads && settings.load,
            token,
            sessions: Mutex::default(),
            at_work: Mutex::default(),
            living: tokio::sync::Mutex::new(Some(session)),
            loaded: Loaded::default(),
            script: Mutex::default(),
            made: Mutex::default(),
            progress: Progress::default(),
            handed_over: AtomicU64::new(0),
        };
        Ok(Box::new(Restoring::new(restore, request, run)))
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Steps for MysqlRestore {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    async fn write(&self, stream: Stream, end: StreamEnd) -> Result<()> {
        let content = self.contents.get(&stream.info().name);
        match content.ok_or_else(|| internal("a stream without a description"))? {
            Content::Globals { .. } => {
                let script = text(stream, end).await?;
                *locked(&self.script) = Some(script);
                Ok(())
            }
            Content::Schema { database, .. } => {
                let objects = objects::parse(&text(stream, end).await?)?;
                self.building(database)?.keep_objects(objects)
            }
            Content::Dump { databases, flavor, .. } => {
                self.announce(databases)?;
                self.prepare().await?;
                self.load(databases, flavor == "MariaDB", stream, end).await
            }
            Content::Rows(rows) => {
                self.prepare().await?;
                self.write_rows(rows, stream, end).await
            }
        }
    }

    async fn complete(&self) -> Result<RestoreOutcome> {
        self.prepare().await?;
        let mut outcome = RestoreOutcome::default();
        if let Some(tool) = self.loaded.by() {
            self.make_definers().await?;
            for building in &self.buildings {
                self.complete_tables(building).await?;
                let (database, tables) = (shown(&building.planned.to), building.tables().len());
                outcome.checks.push(format!("{database}: {tables} tables, loaded by {tool}, which found no error"));
            }
            return Ok(outcome);
        }
        for building in &self.buildings {
            self.complete_tables(building).await?;
            let rows = self.compare(building).await?;
            let how = match self.settings.check {
                super::settings::Check::Bytes => "read back and equal to the backup",
                super::settings::Check::Count => "as many as in the backup",
            };
            let (database, tables) = (shown(&building.planned.to), building.tables().len());
            outcome.checks.push(format!("{database}: {tables} tables, {rows} rows, {how}"));
        }
        Ok(outcome)
    }

    async fn put_in_place(&self, outcome: RestoreOutcome) -> Result<RestoreOutcome> {
        self.place(outcome).await
    }

    async fn undo(&self) -> Result<()> {
        self.remove().await
    }

    async fn close(&self) {
        self.end().await;
    }
}

impl MysqlRestore {
    pub(super) fn building(&self, database: &str) -> Result<&Building> {
        let found = self.buildings.iter().find(|building| building.planned.from == database);
        found.ok_or_else(|| {
            corrupt("the backup has rows of a database without its schema").with("database", shown(database))
        })
    }

    /// Makes users and databases and what rows need, once.
    async fn prepare(&self) -> Result<()> {
        self.progress.prepare(self.make()).await
    }

    async fn make(&self) -> Result<()> {
        let mut session = self.take().await?;
        for building in &self.buildings {
            building.check(&mut session).await?;
        }
        let script = locked(&self.script).clone();
        let is_foreign = self.buildings.iter().any(|building| building.planned.is_foreign);
        if let Some(building) = self.buildings.first().filter(|_| is_foreign) {
            building.warn("users and their rights are left out, as this is another server".to_owned());
        }
        let is_wanted = !is_foreign && (self.request.owners || self.request.privileges);
        if let Some(script) = script.filter(|_| is_wanted) {
            let mut made = globals::Made::default();
            let done = globals::make(&mut session, &script, &self.wanted(), &mut made).await;
            *locked(&self.made) = made;
            done?;
        }
        for building in &self.buildings {
            building.create(&mut session).await?;
        }
        self.give_back(session);
        Ok(())
    }

    /// Makes the users whom a dump names as definers, now that it has been read.
    async fn make_definers(&self) -> Result<()> {
        let script = locked(&self.script).clone();
        let Some(script) = script.filter(|_| self.request.owners) else { return Ok(()) };
        let mut session = self.take().await?;
        let mut made = std::mem::take(&mut *locked(&self.made));
        let done = globals::make(&mut session, &script, &self.wanted(), &mut made).await;
        *locked(&self.made) = made;
        done?;
        self.give_back(session);
        Ok(())
    }

    /// What of the users is wanted.
    pub(super) fn wanted(&self) -> Wanted {
        let all = self.contents.values().any(|content| matches!(content, Content::Globals { server: true }));
        let owners = self.buildings.iter().filter(|_| self.request.owners);
        Wanted {
            all: all && self.request.only.is_empty(),
            definers: owners.flat_map(Building::definers).collect(),
            databases: self.buildings.iter().map(|b| (b.planned.from.clone(), b.planned.to.clone())).collect(),
            privileges: self.request.privileges,
        }
    }
}
