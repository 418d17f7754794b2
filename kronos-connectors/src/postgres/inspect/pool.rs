//! Pools of connections, one for each database: PostgreSQL has no way from one to another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::inspect::{
    Database, PoolSettings, PoolStatistics, ResultColumn, Schema, Scope, Table, TableInfo, TableName, Value,
};
use kronos_core::{ConnectionReport, Connector, Engine, Error, Result};
use sqlx::Executor;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::super::PostgresSource;
use super::super::settings::PostgresSettings;
use super::connection::{Pooled, query_error};
use super::{catalog, table};
use crate::inspect::{
    Backend, Browse, Count, Reading, Statement, closed, exhausted, part_in_sql, patience, place_in_sql, read,
    whole_in_sql,
};

/// What makes values come out the same everywhere: of floats every digit, dates in one form.
const SESSION: &str = "\
    SET datestyle = 'ISO, YMD';\
    SET intervalstyle = 'postgres';\
    SET extra_float_digits = 3;\
    SET bytea_output = 'hex';\
    SET standard_conforming_strings = on;\
    SET client_min_messages = 'warning'";

/// The pools of one server.
#[derive(Debug)]
pub(crate) struct Pool {
    settings: Arc<PostgresSettings>,
    bounds: PoolSettings,
    pools: Mutex<HashMap<String, PgPool>>,
    active: Count,
    waiting: Count,
}

impl Pool {
    pub(in super::super) fn new(settings: PostgresSettings, bounds: PoolSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            bounds,
            pools: Mutex::default(),
            active: Count::default(),
            waiting: Count::default(),
        }
    }

    /// The database that is meant when none is named.
    fn default_database(&self) -> &str {
        self.settings.databases.first().unwrap_or(&self.settings.maintenance_database)
    }

    fn pool(&self, database: &str) -> PgPool {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let bounds = &self.bounds;
            PgPoolOptions::new()
                .max_connections(bounds.max_connections)
                .min_connections(bounds.min_connections.min(bounds.max_connections))
                .acquire_timeout(bounds.acquire_timeout)
                .idle_timeout(bounds.idle_timeout)
                .max_lifetime(bounds.max_lifetime)
                // The question that each connection is asked as it is handed out tests it as well.
                .test_before_acquire(false)
                .after_connect(|connection, _| {
                    Box::pin(async move { connection.execute(sqlx::raw_sql(SESSION)).await.map(drop) })
                })
                .connect_lazy_with(self.settings.pooled(database))
        };
        pools.entry(database.to_owned()).or_insert_with(make).clone()
    }

    /// Why no connection was to be had.
    async fn unavailable(&self, pool: &PgPool, database: &str) -> Error {
        if pool.size() < self.bounds.max_connections {
            // The pool tries for as long as it may; what it met, it does not say.
            match self.settings.open(database).await {
                Err(error) => return error,
                Ok(session) => session.close().await,
            }
        }
        exhausted(&self.bounds)
    }
}

/// Where one is silent, a network that has forgotten them is to be feared for all that were idle.
fn let_go(pool: &PgPool) {
    while let Some(mut idle) = pool.try_acquire() {
        idle.close_on_drop();
    }
}

#[async_trait]
impl Backend for Pool {
    type Connection = Pooled;

    fn engine(&self) -> Engine {
        Engine::POSTGRES
    }

    fn describe(&self) -> String {
        PostgresSource::of(&self.settings).describe()
    }

    fn settings(&self) -> &PoolSettings {
        &self.bounds
    }

    async fn test(&self) -> Result<ConnectionReport> {
        PostgresSource::of(&self.settings).test_connection().await
    }

    fn read(&self, text: &str) -> Reading {
        read(&Engine::POSTGRES, text)
    }

    async fn acquire(&self, database: Option<&str>) -> Result<Pooled> {
        let database = database.unwrap_or_else(|| self.default_database());
        let pool = self.pool(database);
        loop {
            let waiting = self.waiting.one();
            let connection = match pool.acquire().await {
                Ok(connection) => connection,
                Err(sqlx::Error::PoolTimedOut) => return Err(self.unavailable(&pool, database).await),
                Err(sqlx::Error::PoolClosed) => {
                    return Err(closed());
                }
                Err(error) => return Err(query_error(error, "connect")),
            };
            drop(waiting);
            let asked = Pooled::new(connection, self.active.one(), self.settings.clone(), database);
            match tokio::time::timeout(patience(&self.bounds), asked).await {
                Ok(Ok(Some(pooled))) => return Ok(pooled),
                // One that the server has ended meanwhile is no use; the pool has others, or makes them.
                Ok(Ok(None)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => let_go(&pool),
            }
        }
    }

    fn guards(&self) -> bool {
        true
    }

    fn statistics(&self) -> PoolStatistics {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = PoolStatistics { max: self.bounds.max_connections, ..PoolStatistics::default() };
        for pool in pools.values() {
            let (size, idle) = (pool.size(), u32::try_from(pool.num_idle()).unwrap_or(u32::MAX));
            all.size += size;
            all.idle += idle.min(size);
        }
        // What is neither is about to be opened or closed.
        all.active = self.active.now();
        all.waiting = self.waiting.now();
        all
    }

    async fn close(&self) {
        let pools: Vec<PgPool> = self.pools.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for pool in pools {
            // A statement that still runs holds it up; it ends in its own time.
            let _ = tokio::time::timeout(Duration::from_secs(5), pool.close()).await;
        }
    }

    async fn databases(&self, connection: &mut Pooled, scope: &Scope) -> Result<Vec<Database>> {
        catalog::databases(connection, scope).await
    }

    async fn schemas(&self, connection: &mut Pooled, scope: &Scope) -> Result<Vec<Schema>> {
        catalog::schemas(connection, scope).await
    }

    async fn tables(&self, connection: &mut Pooled, scope: &Scope) -> Result<Vec<Table>> {
        catalog::tables(connection, scope).await
    }

    async fn table_info(&self, connection: &mut Pooled, name: &TableName) -> Result<TableInfo> {
        table::info(connection, name).await
    }

    async fn count(&self, connection: &mut Pooled, name: &TableName) -> Result<u64> {
        table::count(connection, name).await
    }

    async fn browse(&self, connection: &mut Pooled, name: &TableName) -> Result<Browse> {
        table::browse(connection, name).await
    }

    fn whole(&self, browse: &Browse, after: Option<&str>) -> Result<Statement> {
        whole_in_sql(browse, after, |key, values| {
            let places: Vec<String> = (1..=values.len()).map(|place| format!("${place}")).collect();
            (format!("({}) > ({})", key.join(", "), places.join(", ")), values)
        })
    }

    fn part(&self, statement: Statement, skip: u64, take: u64) -> Result<Statement> {
        Ok(part_in_sql(statement, skip, take))
    }

    fn place(&self, columns: &[ResultColumn], key: &[String], row: &[Value]) -> Option<String> {
        place_in_sql(columns, key, row)
    }
}
