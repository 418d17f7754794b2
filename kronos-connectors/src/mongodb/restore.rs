//! A restore: collections beside what is there, their documents over several connections, indexes
//! after them. Once everything is compared with the backup, collections get their place.

use std::collections::BTreeMap;
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
use super::error::{corrupt, internal};
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
use crate::servers::restoring::{Progress, Restoring, Steps, same, small};

/// A target being written.
#[derive(Debug)]
pub(super) struct MongodbRestore {
    pub(super) settings: MongodbSettings,
    pub(super) request: RestoreRequest,
    contents: BTreeMap<String, Content>,
    pub(super) server: Server,
    pub(super) buildings: Arc<Vec<Building>>,
    pub(super) token: String,
    pub(super) users: Mutex<Vec<u8>>,
    pub(super) made_users: Mutex<users::Made>,
    pub(super) progress: Progress,
    compared: OnceCell<u64>,
    /// What the user should know of the changes, and how many there were.
    pub(super) replayed: Mutex<Option<(u64, Vec<String>)>>,
    differing: Mutex<Vec<String>>,
    /// Tells that the restore lives, as long as it does.
    beating: Mutex<Option<AbortOnDropHandle<()>>>,
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
        let restore = Self {
            settings: settings.clone(),
            request: request.clone(),
            contents: contents(request)?,
            server,
            buildings: Arc::new(
                databases.into_iter().map(|database| Building::new(database, &token, settings.silence)).collect(),
            ),
            token,
            users: Mutex::default(),
            made_users: Mutex::default(),
            progress: Progress::default(),
            compared: OnceCell::new(),
            replayed: Mutex::default(),
            differing: Mutex::default(),
            beating: Mutex::default(),
        };
        Ok(Box::new(Restoring::new(restore, request, run)))
    }
}

/// What is made is called by this.
fn token(run: &RunContext) -> String {
    let mut bytes = [0; 8];
    run.entropy.fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

#[async_trait]
impl Steps for MongodbRestore {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    async fn write(&self, stream: Stream, end: StreamEnd) -> Result<()> {
        let content = self.contents.get(&stream.info().name);
        match content.ok_or_else(|| internal("a stream without a description"))? {
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

    async fn complete(&self) -> Result<RestoreOutcome> {
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

    async fn put_in_place(&self, outcome: RestoreOutcome) -> Result<RestoreOutcome> {
        let placed = self.place(outcome).await;
        if placed.as_ref().is_err_and(journal::is_lost) {
            // By now users may be those of the one who took over.
            *locked(&self.made_users) = users::Made::default();
        }
        placed
    }

    async fn undo(&self) -> Result<()> {
        drop(locked(&self.beating).take());
        self.progress.fail();
        for building in self.buildings.iter() {
            building.undo(&self.server).await?;
        }
        let made = std::mem::take(&mut *locked(&self.made_users));
        users::undo(&self.server, &made).await
    }

    async fn close(&self) {
        drop(locked(&self.beating).take());
        self.server.clone().close().await;
    }
}

impl MongodbRestore {
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

    fn building(&self, database: &str) -> Result<&Building> {
        let found = self.buildings.iter().find(|building| building.planned.from == database);
        found.ok_or_else(|| {
            corrupt("the backup has documents of a database whose collections it does not describe")
                .with("database", database)
        })
    }

    /// Makes what documents need, once.
    pub(super) async fn prepare(&self) -> Result<()> {
        self.progress.prepare(self.make()).await
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
                    self.progress.check()?;
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
}
