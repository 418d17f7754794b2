//! Pools of connections, one for each file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use deadpool::managed::{self, Metrics, PoolError, RecycleError, TimeoutType};
use kronos_core::inspect::{
    Database, PoolSettings, PoolStatistics, ResultColumn, Schema, Scope, Table, TableInfo, TableName, Value,
};
use kronos_core::{ConnectionReport, Connector, Engine, Error, ErrorKind, Result};

use super::super::SqliteSource;
use super::super::error::{self, internal};
use super::super::open::connect;
use super::super::settings::SqliteSettings;
use super::connection::{Opened, Pooled};
use super::{catalog, table};
use crate::inspect::{Backend, Browse, Reading, Statement, closed, exhausted, part_in_sql, place_in_sql, read};

/// The pools of some files.
#[derive(Debug)]
pub(crate) struct Pool {
    settings: SqliteSettings,
    bounds: PoolSettings,
    pools: Mutex<HashMap<PathBuf, managed::Pool<Opener>>>,
}

/// Opens one file, and closes what is too old.
#[derive(Debug)]
pub(crate) struct Opener {
    path: PathBuf,
    bounds: PoolSettings,
}

impl managed::Manager for Opener {
    type Type = Opened;
    type Error = Error;

    async fn create(&self) -> Result<Opened> {
        let path = self.path.clone();
        blocking(move || open(&path)).await
    }

    async fn recycle(&self, _: &mut Opened, metrics: &Metrics) -> managed::RecycleResult<Error> {
        if metrics.age() > self.bounds.max_lifetime {
            return Err(RecycleError::message("too old"));
        }
        Ok(())
    }
}

/// Work that blocks, off the async threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| internal("a thread of SQLite failed"))?
}

/// Never makes a file, and leaves a log that was there as it is.
fn open(path: &Path) -> Result<Opened> {
    let (connection, path, _) = connect(path)?;
    let failed = |e| error::sqlite(e, &path);
    connection.execute_batch("PRAGMA trusted_schema=OFF; PRAGMA query_only=ON").map_err(failed)?;
    // Only now is the file really read.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    Opened::new(connection, &path).map_err(failed)
}

impl Pool {
    pub(in super::super) fn new(settings: SqliteSettings, bounds: PoolSettings) -> Self {
        Self { settings, bounds, pools: Mutex::default() }
    }

    /// The files by name.
    pub(super) fn files(&self) -> Result<Vec<(String, PathBuf)>> {
        self.settings.source_files()
    }

    /// The file that is meant; without a name the first.
    fn file(&self, database: Option<&str>) -> Result<PathBuf> {
        let files = self.files()?;
        let found = match database {
            None => files.first(),
            Some(name) => files.iter().find(|(file, _)| file == name),
        };
        found.map(|(_, path)| path.clone()).ok_or_else(|| {
            let known: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
            Error::new(ErrorKind::NotFound, "there is no such database")
                .with("database", database.unwrap_or_default())
                .with("known", known.join(", "))
        })
    }

    fn pool(&self, path: &Path) -> Result<managed::Pool<Opener>> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(path) {
            return Ok(pool.clone());
        }
        let opener = Opener { path: path.to_owned(), bounds: self.bounds.clone() };
        let pool = managed::Pool::builder(opener)
            .max_size(self.bounds.max_connections as usize)
            .runtime(deadpool::Runtime::Tokio1)
            .wait_timeout(Some(self.bounds.acquire_timeout))
            .build()
            .map_err(|e| internal(e.to_string()))?;
        pools.insert(path.to_owned(), pool.clone());
        Ok(pool)
    }

    /// Closes what nobody has used for long, but for a few.
    fn trim(&self, pool: &managed::Pool<Opener>) {
        let mut idle = pool.status().available;
        let (least, longest) = (self.bounds.min_connections as usize, self.bounds.idle_timeout);
        pool.retain(|_, metrics| {
            let stays = idle <= least || metrics.last_used() < longest;
            idle -= usize::from(!stays);
            stays
        });
    }
}

#[async_trait]
impl Backend for Pool {
    type Connection = Pooled;

    fn engine(&self) -> Engine {
        Engine::SQLITE
    }

    fn describe(&self) -> String {
        SqliteSource::of(&self.settings).describe()
    }

    fn settings(&self) -> &PoolSettings {
        &self.bounds
    }

    async fn test(&self) -> Result<ConnectionReport> {
        SqliteSource::of(&self.settings).test_connection().await
    }

    fn read(&self, text: &str) -> Reading {
        read(&Engine::SQLITE, text)
    }

    async fn acquire(&self, database: Option<&str>) -> Result<Pooled> {
        let path = self.file(database)?;
        let pool = self.pool(&path)?;
        self.trim(&pool);
        match pool.get().await {
            Ok(object) => Ok(Pooled::new(object)),
            Err(PoolError::Timeout(TimeoutType::Wait)) => Err(exhausted(&self.bounds)),
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Closed) => Err(closed()),
            Err(other) => Err(internal(other.to_string())),
        }
    }

    fn guards(&self) -> bool {
        true
    }

    fn statistics(&self) -> PoolStatistics {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = PoolStatistics { max: self.bounds.max_connections, ..PoolStatistics::default() };
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        for pool in pools.values() {
            let status = pool.status();
            all.size += number(status.size);
            all.idle += number(status.available);
            all.waiting += number(status.waiting);
        }
        all.active = all.size.saturating_sub(all.idle);
        all
    }

    async fn close(&self) {
        for pool in self.pools.lock().unwrap_or_else(PoisonError::into_inner).values() {
            pool.close();
        }
    }

    async fn databases(&self, _: &mut Pooled, _: &Scope) -> Result<Vec<Database>> {
        catalog::databases(self.files()?).await
    }

    /// There are none within a file.
    async fn schemas(&self, _: &mut Pooled, _: &Scope) -> Result<Vec<Schema>> {
        Ok(Vec::new())
    }

    async fn tables(&self, connection: &mut Pooled, scope: &Scope) -> Result<Vec<Table>> {
        let system = scope.system;
        connection.opened()?.with(move |live| catalog::tables(live, system)).await
    }

    async fn table_info(&self, connection: &mut Pooled, name: &TableName) -> Result<TableInfo> {
        let name = name.clone();
        connection.opened()?.with(move |live| table::info(live, &name)).await
    }

    async fn count(&self, connection: &mut Pooled, name: &TableName) -> Result<u64> {
        let name = name.clone();
        connection.opened()?.with(move |live| table::count(live, &name)).await
    }

    async fn browse(&self, connection: &mut Pooled, name: &TableName) -> Result<Browse> {
        let name = name.clone();
        connection.opened()?.with(move |live| table::browse(live, &name)).await
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

/// A connection that is shared with the thread that works on it.
pub(super) type Shared = Arc<Mutex<rusqlite::Connection>>;
