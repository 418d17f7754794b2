//! The engine of the mock: SQLite in memory, behind the same service as every other engine.

use std::sync::Arc;

use async_trait::async_trait;
use kronos_core::inspect::{
    Database, Effect, PoolSettings, PoolStatistics, ResultColumn, Schema, Scope, Table, TableInfo, TableName, Value,
    Verdict,
};
use kronos_core::{ConnectionReport, ConnectionStatus, Engine, Error, ErrorKind, Result};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Copy, Place};
use super::image::{Image, failed, open, place};
use super::plan::{Course, Point};
use crate::inspect::{Backend, Browse, Count, Reading, Statement, closed, exhausted, part_in_sql, place_in_sql, read};
use crate::sqlite::inspect::{catalog, table};

/// The data, and a pool of places to work on it.
#[derive(Debug)]
pub(super) struct Store {
    pub name: String,
    pub bounds: PoolSettings,
    pub image: Arc<Image>,
    places: Arc<Semaphore>,
    active: Count,
    waiting: Count,
}

impl Store {
    pub(super) fn new(name: String, bounds: PoolSettings, image: Image) -> Self {
        let places = Arc::new(Semaphore::new(bounds.max_connections as usize));
        Self { name, bounds, image: Arc::new(image), places, active: Count::default(), waiting: Count::default() }
    }

    /// There are no connections but those in use: a new one takes no longer than an old one.
    pub(super) fn statistics(&self) -> PoolStatistics {
        let active = self.active.now();
        PoolStatistics { max: self.bounds.max_connections, size: active, active, idle: 0, waiting: self.waiting.now() }
    }

    pub(super) fn close(&self) {
        self.places.close();
    }
}

/// The store, as one call meets it.
#[derive(Debug)]
pub(crate) struct Memory {
    store: Arc<Store>,
    course: Course,
}

impl Memory {
    pub(super) fn new(store: Arc<Store>, course: Course) -> Self {
        Self { store, course }
    }
}

#[async_trait]
impl Backend for Memory {
    type Connection = Copy;

    fn engine(&self) -> Engine {
        Engine::SQLITE
    }

    fn describe(&self) -> String {
        place(&self.store.name)
    }

    fn settings(&self) -> &PoolSettings {
        &self.store.bounds
    }

    async fn test(&self) -> Result<ConnectionReport> {
        let begun = Instant::now();
        let met = match self.course.refusal() {
            Some(error) => Err(error),
            None => self.course.before(Point::Test, &CancellationToken::new()).await,
        };
        let (status, error) = match met {
            Ok(()) => (ConnectionStatus::Connected, None),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionFailed | ErrorKind::Timeout) => {
                (ConnectionStatus::Disconnected, Some(error))
            }
            Err(error) => (ConnectionStatus::Error, Some(error)),
        };
        Ok(ConnectionReport {
            status,
            version: error.is_none().then(|| rusqlite::version().to_owned()),
            latency: begun.elapsed(),
            missing: Vec::new(),
            message: error.map(|error| error.to_string()),
        })
    }

    /// A statement with a script is in whatever language the program speaks.
    fn read(&self, text: &str) -> Reading {
        let judged = read(&Engine::SQLITE, text);
        if !self.course.is_scripted() {
            return judged;
        }
        Reading {
            verdict: Verdict::new(Effect::Writes, 1, Vec::new()),
            body: text.to_owned(),
            limitable: false,
            controls_transaction: false,
            ..judged
        }
    }

    async fn acquire(&self, database: Option<&str>) -> Result<Copy> {
        if let Some(error) = self.course.refusal() {
            return Err(error);
        }
        let Store { name, bounds, image, places, active, waiting } = self.store.as_ref();
        if let Some(other) = database.filter(|database| database != name) {
            return Err(Error::new(ErrorKind::NotFound, "there is no such database")
                .with("database", other)
                .with("known", name));
        }
        let waits = waiting.one();
        let permit = tokio::time::timeout(bounds.acquire_timeout, places.clone().acquire_owned()).await;
        drop(waits);
        let permit = permit.map_err(|_| exhausted(bounds))?.map_err(|_| closed())?;
        let taken = Place::new(permit, active.one());
        let connection = open().map_err(|error| failed(error, name))?;
        Copy::new(connection, name, image.clone(), self.course.clone(), taken).map_err(|error| failed(error, name))
    }

    fn statistics(&self) -> PoolStatistics {
        self.store.statistics()
    }

    fn guards(&self) -> bool {
        true
    }

    async fn close(&self) {
        self.store.close();
    }

    async fn databases(&self, connection: &mut Copy, _: &Scope) -> Result<Vec<Database>> {
        let (name, size) = (self.store.name.clone(), self.store.image.bytes().len() as u64);
        connection.look(move |_| Ok(vec![Database { name, size: Some(size), ..Database::default() }])).await
    }

    /// There are none within a database.
    async fn schemas(&self, connection: &mut Copy, _: &Scope) -> Result<Vec<Schema>> {
        connection.look(|_| Ok(Vec::new())).await
    }

    async fn tables(&self, connection: &mut Copy, scope: &Scope) -> Result<Vec<Table>> {
        let system = scope.system;
        connection.look(move |live| catalog::tables(live, system)).await
    }

    async fn table_info(&self, connection: &mut Copy, name: &TableName) -> Result<TableInfo> {
        let name = name.clone();
        connection.look(move |live| table::info(live, &name)).await
    }

    async fn count(&self, connection: &mut Copy, name: &TableName) -> Result<u64> {
        let name = name.clone();
        connection.look(move |live| table::count(live, &name)).await
    }

    async fn browse(&self, connection: &mut Copy, name: &TableName) -> Result<Browse> {
        let name = name.clone();
        connection.look(move |live| table::browse(live, &name)).await
    }

    fn whole(&self, browse: &Browse, after: Option<&str>) -> Result<Statement> {
        table::whole(browse, after)
    }

    fn part(&self, statement: Statement, skip: u64, take: u64) -> Result<Statement> {
        Ok(part_in_sql(statement, skip, take))
    }

    fn place(&self, columns: &[ResultColumn], key: &[String], row: &[Value]) -> Option<String> {
        place_in_sql(columns, key, row)
    }
}
