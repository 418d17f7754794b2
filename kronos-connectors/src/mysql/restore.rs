//! A restore: users first, then tables beside what is there, their rows over several connections,
//! keys after them. Once everything is compared with the backup, tables get their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Restore, RestoreOutcome, RestoreRequest, Result, RunContext, Stream, StreamEnd};
use tokio::sync::OnceCell;

use super::building::{Building, token};
use super::connect::Session;
use super::error::{cancelled, corrupt, internal};
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

/// Definitions are believed up to this size.
const SCRIPT: u64 = 256 << 20;

/// Seconds for which tables and databases may have to wait: someone may keep all of them from being
/// changed, as a backup by MySQL's own programs does.
pub(super) const DDL: u32 = 300;

/// A target being written.
#[derive(Debug)]
pub(super) struct MysqlRestore {
    inner: Arc<Inner>,
    /// Nothing is left to be undone.
    is_over: bool,
}

#[derive(Debug)]
pub(super) struct Inner {
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
    prepared: OnceCell<()>,
    written: Mutex<BTreeSet<String>>,
    has_failed: AtomicBool,
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
        let inner = Inner {
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
            prepared: OnceCell::new(),
            written: Mutex::default(),
            has_failed: AtomicBool::new(false),
            handed_over: AtomicU64::new(0),
        };
        Ok(Box::new(Self { inner: Arc::new(inner), is_over: false }))
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Restore for MysqlRestore {
    async fn write(&self, stream: Stream) -> Result<()> {
        let name = stream.info().name.clone();
        let cancel = self.inner.run.cancel.clone();
        let written = cancel.run_until_cancelled(self.inner.write(stream)).await.unwrap_or_else(|| Err(cancelled()));
        match &written {
            Ok(()) => drop(locked(&self.inner.written).insert(name)),
            Err(_) => self.inner.has_failed.store(true, Ordering::Release),
        }
        written
    }

    async fn finish(mut self: Box<Self>) -> Result<RestoreOutcome> {
        let inner = self.inner.clone();
        let cancel = inner.run.cancel.clone();
        let checked = cancel.run_until_cancelled(inner.complete()).await;
        // From here on it is a matter of moments, and must not stop half way.
        let done = match checked.unwrap_or_else(|| Err(cancelled())) {
            Ok(outcome) => inner.put_in_place(outcome).await,
            Err(error) => Err(error),
        };
        self.is_over = true;
        match done {
            Ok(outcome) => {
                inner.close().await;
                Ok(outcome)
            }
            Err(error) => Err(inner.undo_after(error).await),
        }
    }

    async fn abort(mut self: Box<Self>) {
        self.is_over = true;
        // What is still there has a journal, and the next restore removes it.
        let _ = self.inner.undo().await;
    }
}

impl Drop for MysqlRestore {
    fn drop(&mut self) {
        // Where no runtime is left, the next restore to the same target removes what this one made.
        if let (false, Ok(runtime)) = (self.is_over, tokio::runtime::Handle::try_current()) {
            let inner = self.inner.clone();
            runtime.spawn(async move { inner.undo().await });
        }
    }
}

impl Inner {
    async fn write(&self, stream: Stream) -> Result<()> {
        let name = stream.info().name.clone();
        let request = self.request.streams.iter().find(|s| s.info.name == name);
        let end = request.ok_or_else(|| internal("a stream that was not announced").with("stream", &name))?.end;
        let content = self.contents.get(&name).ok_or_else(|| internal("a stream without a description"))?;
        self.check_failed()?;
        match content {
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

    fn check_failed(&self) -> Result<()> {
        if self.has_failed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Cancelled, "another part of the restore has failed"));
        }
        Ok(())
    }

    pub(super) fn building(&self, database: &str) -> Result<&Building> {
        let found = self.buildings.iter().find(|building| building.planned.from == database);
        found.ok_or_else(|| {
            corrupt("the backup has rows of a database without its schema").with("database", shown(database))
        })
    }

    /// Makes users and databases and what rows need, once.
    async fn prepare(&self) -> Result<()> {
        let make = || async {
            self.check_failed()?;
            let made = self.make().await;
            if made.is_err() {
                self.has_failed.store(true, Ordering::Release);
            }
            made
        };
        self.prepared.get_or_try_init(make).await.map(drop)
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

    /// Everything but the places.
    async fn complete(&self) -> Result<RestoreOutcome> {
        let missing = self.request.streams.iter().find(|s| !locked(&self.written).contains(&s.info.name));
        if let Some(missing) = missing {
            return Err(
                internal("the restore was finished before a stream was written").with("stream", &missing.info.name)
            );
        }
        if self.has_failed.load(Ordering::Acquire) {
            return Err(internal("the restore was finished though a part of it has failed"));
        }
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
}

/// Compares the end of a stream with what the backup says.
pub(super) fn same(found: StreamEnd, wanted: StreamEnd) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(corrupt("the stream is not the one of the backup")) }
}

/// A small stream as text.
pub(super) async fn text(stream: Stream, end: StreamEnd) -> Result<String> {
    if end.length > SCRIPT {
        return Err(corrupt("definitions are larger than any can be"));
    }
    let name = stream.info().name.clone();
    let (bytes, found) = stream.collect().await?;
    same(found, end)?;
    String::from_utf8(bytes).map_err(|_| corrupt("definitions are not UTF-8").with("stream", name))
}
