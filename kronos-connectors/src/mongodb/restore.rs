//! A restore: collections beside what is there, their documents over several connections, indexes
//! after them. Once everything is compared with the backup, collections get their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kronos_core::{
    Error, ErrorKind, Event, Piece, Restore, RestoreOutcome, RestoreRequest, Result, RunContext, Stream, StreamEnd,
};
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;

use super::building::Building;
use super::connect::Server;
use super::content::{self, Documents, Sum};
use super::error::{cancelled, corrupt, internal};
use super::export::Export;
use super::insert::Inserter;
use super::journal::{self, Held};
use super::locked::locked;
use super::plan::{Content, Form, Part};
use super::replayed;
use super::settings::{Check, MongodbSettings};
use super::swap;
use super::target::{Plan, contents, plan, some};
use super::users;

/// Definitions are believed up to this size.
const DEFINITIONS: u64 = 256 << 20;

/// A target being written.
#[derive(Debug)]
pub(super) struct MongodbRestore {
    inner: Arc<Inner>,
    /// Nothing is left to be undone.
    is_over: bool,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: MongodbSettings,
    run: RunContext,
    pub(super) request: RestoreRequest,
    contents: BTreeMap<String, Content>,
    pub(super) server: Server,
    pub(super) buildings: Arc<Vec<Building>>,
    pub(super) token: String,
    pub(super) users: Mutex<Vec<u8>>,
    pub(super) made_users: Mutex<users::Made>,
    prepared: OnceCell<()>,
    compared: OnceCell<u64>,
    /// What the user should know of the changes, and how many there were.
    pub(super) replayed: Mutex<Option<(u64, Vec<String>)>>,
    differing: Mutex<Vec<String>>,
    /// Tells that the restore lives, as long as it does.
    beating: Mutex<Option<AbortOnDropHandle<()>>>,
    written: Mutex<BTreeSet<String>>,
    has_failed: AtomicBool,
}

impl MongodbRestore {
    pub(super) async fn begin(
        settings: &MongodbSettings,
        request: &RestoreRequest,
        run: &RunContext,
    ) -> Result<Box<dyn Restore>> {
        run.check_cancelled()?;
        if let Some(directory) = &settings.export {
            return Ok(Box::new(Export::begin(directory, request)?));
        }
        let server = settings.open().await?;
        let mut found = plan(settings, &server, request).await?;
        let token = token(run);
        let mut settled = false;
        for database in &found.databases {
            for remains in journal::remains(&server, &database.to).await? {
                swap::refuse_living(&database.to, &remains)?;
                let message = format!("{}: {}", database.to, remains.state.outlook());
                run.emit(&Event::Notice { message });
                swap::settle(&server, &database.to, remains, &token, settings.silence).await?;
                settled = true;
            }
        }
        if settled {
            found = plan(settings, &server, request).await?;
        }
        let Plan { databases, obstacles } = found;
        if let Some(database) = databases.iter().find(|database| !database.there.is_empty() && !request.replace) {
            return Err(Error::new(ErrorKind::AlreadyExists, "the database is there and is not empty")
                .with("database", &database.to)
                .with("has", some(&database.there)));
        }
        if let Some(obstacle) = obstacles.first() {
            return Err(Error::new(ErrorKind::Config, obstacle));
        }
        let inner = Inner {
            settings: settings.clone(),
            run: run.clone(),
            request: request.clone(),
            contents: contents(request)?,
            server,
            buildings: Arc::new(
                databases.into_iter().map(|database| Building::new(database, &token, settings.silence)).collect(),
            ),
            token,
            users: Mutex::default(),
            made_users: Mutex::default(),
            prepared: OnceCell::new(),
            compared: OnceCell::new(),
            replayed: Mutex::default(),
            differing: Mutex::default(),
            beating: Mutex::default(),
            written: Mutex::default(),
            has_failed: AtomicBool::new(false),
        };
        Ok(Box::new(Self { inner: Arc::new(inner), is_over: false }))
    }
}

/// What is made is called by this.
fn token(run: &RunContext) -> String {
    let mut bytes = [0; 8];
    run.entropy.fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

#[async_trait]
impl Restore for MongodbRestore {
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

impl Drop for MongodbRestore {
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
            Content::Users { .. } => {
                *locked(&self.users) = small(stream, end).await?;
                Ok(())
            }
            Content::Collections { database, .. } => {
                let described = content::parse(&small(stream, end).await?)?;
                self.building(database)?.keep(described, &self.forms(), &self.request)
            }
            Content::Documents(part) => {
                self.prepare().await?;
                self.documents(part, stream, end).await.map_err(|e| e.with("collection", part.name()))
            }
            Content::Archive { .. } => Box::pin(self.archive(stream, end)).await,
            Content::Changes { feed } => Box::pin(replayed::apply(self, *feed, stream, end)).await,
        }
    }

    /// What the documents of each collection are.
    pub(super) fn forms(&self) -> BTreeMap<(String, String), Form> {
        let parts = self.contents.values().filter_map(|content| match content {
            Content::Documents(part) => Some(((part.database.clone(), part.collection.clone()), part.form)),
            _ => None,
        });
        parts.collect()
    }

    /// Whether the documents of a collection are in the backup: they may have been left out.
    pub(super) fn has_documents(&self, database: &str, collection: &str) -> bool {
        self.contents.values().any(|content| match content {
            Content::Documents(part) => part.database == database && part.collection == collection,
            // It has the documents of all that it describes.
            Content::Archive { databases, .. } => databases.iter().any(|one| one.name == database),
            _ => false,
        })
    }

    pub(super) fn check_failed(&self) -> Result<()> {
        if self.has_failed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Cancelled, "another part of the restore has failed"));
        }
        Ok(())
    }

    fn building(&self, database: &str) -> Result<&Building> {
        let found = self.buildings.iter().find(|building| building.planned.from == database);
        found.ok_or_else(|| {
            corrupt("the backup has documents of a database whose collections it does not describe")
                .with("database", database)
        })
    }

    /// Makes what documents need, once.
    pub(super) async fn prepare(&self) -> Result<()> {
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
        let held: Vec<Held> = self.buildings.iter().map(|building| building.held.clone()).collect();
        *locked(&self.beating) = Some(journal::keep(&self.server, held));
        for building in self.buildings.iter() {
            building.create(&self.server).await?;
        }
        Ok(())
    }

    async fn documents(&self, part: &Part, mut stream: Stream, end: StreamEnd) -> Result<()> {
        let building = self.building(&part.database)?;
        let made = building.find(&part.collection)?;
        let mut to = Inserter::new(&self.server, &building.planned.to, &made.lies_in(&self.token));
        let (mut documents, mut sum) = (Documents::default(), Sum::default());
        loop {
            match stream.next().await? {
                Some(Piece::Data(piece)) => {
                    self.check_failed()?;
                    documents.push(&piece);
                    while let Some(document) = documents.next()? {
                        sum.add(&document);
                        to.push(&document).await?;
                    }
                }
                Some(Piece::End(found)) => {
                    same(found, end)?;
                    break;
                }
                None => return Err(internal("a stream was read after its end")),
            }
        }
        documents.finish()?;
        if end.rows.is_some_and(|rows| rows != sum.count) {
            return Err(corrupt("a stream has another number of documents than was backed up"));
        }
        to.finish().await?;
        made.add(&sum);
        Ok(())
    }

    /// Reads back all that was written, once; gives the number of documents.
    pub(super) async fn compare(&self) -> Result<u64> {
        let compare = || async {
            let mut count = 0;
            for building in self.buildings.iter() {
                count += building.compare(&self.server, self.settings.check).await?;
                let differing = building.differing(&self.server).await?;
                locked(&self.differing).extend(differing);
            }
            Ok(count)
        };
        self.compared.get_or_try_init(compare).await.copied()
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
        let count = self.compare().await?;
        for building in self.buildings.iter() {
            building.make_indexes(&self.server).await?;
        }
        outcome.warnings.append(&mut locked(&self.differing));
        let how = match self.settings.check {
            Check::Bytes => "read back and equal to the backup",
            Check::Count => "as many as in the backup",
        };
        let collections: usize = self.buildings.iter().map(|building| building.made().len()).sum();
        outcome.checks.push(format!("{collections} collections and views, {count} documents, {how}"));
        if let Some((entries, warnings)) = locked(&self.replayed).take() {
            outcome.checks.push(format!("{entries} changes applied, and documents counted"));
            outcome.warnings.extend(warnings);
        }
        Ok(outcome)
    }

    async fn close(&self) {
        drop(locked(&self.beating).take());
        self.server.clone().close().await;
    }

    /// Removes what was made; gives the error that led to it, with what could not be removed.
    async fn undo_after(&self, error: Error) -> Error {
        if journal::is_lost(&error) {
            // By now users may be those of the one who took over.
            *locked(&self.made_users) = users::Made::default();
        }
        match self.undo().await {
            Ok(()) => error,
            Err(left) => error.with("left behind", left.message()),
        }
    }

    async fn undo(&self) -> Result<()> {
        drop(locked(&self.beating).take());
        self.has_failed.store(true, Ordering::Release);
        for building in self.buildings.iter() {
            building.undo(&self.server).await?;
        }
        let made = std::mem::take(&mut *locked(&self.made_users));
        users::undo(&self.server, &made).await?;
        self.server.clone().close().await;
        Ok(())
    }
}

/// Compares the end of a stream with what the backup says.
pub(super) fn same(found: StreamEnd, wanted: StreamEnd) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(corrupt("the stream is not the one of the backup")) }
}

/// A small stream in memory.
pub(super) async fn small(stream: Stream, end: StreamEnd) -> Result<Vec<u8>> {
    if end.length > DEFINITIONS {
        return Err(corrupt("definitions are larger than any can be"));
    }
    let (bytes, found) = stream.collect().await?;
    same(found, end)?;
    Ok(bytes)
}
