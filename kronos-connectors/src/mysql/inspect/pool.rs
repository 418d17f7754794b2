//! One pool of connections for all databases of the server.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use kronos_core::inspect::{
    Database, PoolSettings, PoolStatistics, ResultColumn, Schema, Scope, Table, TableInfo, TableName, Value,
};
use kronos_core::{ConnectionReport, Connector, Engine, Error, ErrorKind, Result};
use mysql_async::{DriverError, PoolConstraints, PoolOpts};

use super::super::MysqlSource;
use super::super::error::failed;
use super::super::settings::{MysqlSettings, TlsMode};
use super::connection::Pooled;
use super::{catalog, table};
use crate::inspect::{
    Backend, Browse, Count, Reading, Statement, closed, exhausted, part_in_sql, patience, place_in_sql, read,
    unanswered, whole_in_sql,
};

/// What makes a statement mean the same everywhere, to the server and to whoever has judged it before.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
    character_set_client = utf8mb4, character_set_connection = utf8mb4, character_set_results = utf8mb4, \
    sql_quote_show_create = 1, autocommit = 1";

/// The pool of one server.
pub(crate) struct Pool {
    settings: Arc<MysqlSettings>,
    bounds: PoolSettings,
    connections: Mutex<Option<mysql_async::Pool>>,
    /// The server was found to offer no TLS, where it need not.
    plain: AtomicBool,
    closed: AtomicBool,
    active: Count,
    waiting: Count,
}

/// The driver would show the password.
impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("settings", &self.settings).field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl Pool {
    pub(in super::super) fn new(settings: MysqlSettings, bounds: PoolSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            bounds,
            connections: Mutex::new(None),
            plain: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            active: Count::default(),
            waiting: Count::default(),
        }
    }

    fn pool(&self) -> Result<mysql_async::Pool> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        let mut pool = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pool.as_ref() {
            return Ok(pool.clone());
        }
        let bounds = &self.bounds;
        let (most, least) = (bounds.max_connections.max(1) as usize, bounds.min_connections as usize);
        let constraints = PoolConstraints::new(least.min(most), most)
            .ok_or_else(|| Error::new(ErrorKind::Config, "the bounds of the pool are wrong"))?;
        let secure = self.settings.tls.mode != TlsMode::Disable && !self.plain.load(Ordering::Acquire);
        let options = PoolOpts::default()
            .with_constraints(constraints)
            .with_inactive_connection_ttl(bounds.idle_timeout)
            .with_abs_conn_ttl(Some(bounds.max_lifetime))
            // Statements stay prepared; what else is left of a session, its user closes.
            .with_reset_connection(false);
        let options = self.settings.pooled(secure).pool_opts(options).init(vec![SESSION]);
        Ok(pool.insert(mysql_async::Pool::new(options)).clone())
    }

    /// One connection, with or without TLS, as the settings allow.
    async fn connection(&self) -> Result<mysql_async::Conn> {
        let pool = self.pool()?;
        match self.settings.log_in(|| pool.get_conn()).await {
            Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
                if self.settings.tls.mode == TlsMode::Prefer =>
            {
                self.plain.store(true, Ordering::Release);
                self.connections.lock().unwrap_or_else(PoisonError::into_inner).take();
                let pool = self.pool()?;
                self.settings.log_in(|| pool.get_conn()).await
            }
            found => found,
        }
        .map_err(|error| failed(error, "connect").with("server", self.settings.address()))
    }

    /// Where one is silent, a network that has forgotten them is to be feared for all that were idle.
    fn let_go(&self) {
        let Ok(pool) = self.pool() else { return };
        // One that is idle is had at once.
        while let Some(Ok(idle)) = pool.get_conn().now_or_never() {
            drop(Pooled::new(idle, self.active.one(), self.settings.clone()));
        }
    }

    fn unavailable(&self) -> Error {
        if self.active.now() < self.bounds.max_connections {
            return unanswered(self.settings.address(), self.bounds.acquire_timeout);
        }
        exhausted(&self.bounds)
    }

    /// The database that is meant when none is named. Without any, one that every server has.
    fn database<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        named.or_else(|| self.settings.databases.first().map(String::as_str)).unwrap_or("information_schema")
    }
}

#[async_trait]
impl Backend for Pool {
    type Connection = Pooled;

    fn engine(&self) -> Engine {
        Engine::MYSQL
    }

    fn describe(&self) -> String {
        MysqlSource::of(&self.settings).describe()
    }

    fn settings(&self) -> &PoolSettings {
        &self.bounds
    }

    async fn test(&self) -> Result<ConnectionReport> {
        MysqlSource::of(&self.settings).test_connection().await
    }

    fn read(&self, text: &str) -> Reading {
        read(&Engine::MYSQL, text)
    }

    async fn acquire(&self, database: Option<&str>) -> Result<Pooled> {
        let database = self.database(database);
        let mut tried = 0;
        loop {
            let waiting = self.waiting.one();
            let connection = tokio::time::timeout(self.bounds.acquire_timeout, self.connection()).await;
            let connection = connection.map_err(|_| self.unavailable())??;
            drop(waiting);
            let mut pooled = Pooled::new(connection, self.active.one(), self.settings.clone());
            match tokio::time::timeout(patience(&self.bounds), pooled.choose(database)).await {
                Ok(Ok(())) => return Ok(pooled),
                // One that the server has ended meanwhile is no use; the pool has others, or makes them.
                Ok(Err(error))
                    if error.kind() == ErrorKind::ConnectionFailed && tried <= self.bounds.max_connections =>
                {
                    tried += 1;
                }
                Err(_) => self.let_go(),
                Ok(Err(error)) => {
                    crate::inspect::Connection::give_back(pooled).await;
                    return Err(error);
                }
            }
        }
    }

    fn guards(&self) -> bool {
        true
    }

    fn statistics(&self) -> PoolStatistics {
        let pool = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (size, idle) = pool.as_ref().map_or((0, 0), |pool| {
            let metrics = pool.metrics();
            let of = |count: &std::sync::atomic::AtomicUsize| number(count.load(Ordering::Relaxed));
            (of(&metrics.connection_count), of(&metrics.connections_in_pool))
        });
        PoolStatistics {
            max: self.bounds.max_connections,
            size,
            active: self.active.now(),
            idle,
            waiting: self.waiting.now(),
        }
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let pool = self.connections.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pool) = pool {
            // A statement that still runs holds it up; it ends in its own time.
            let _ = tokio::time::timeout(Duration::from_secs(5), pool.disconnect()).await;
        }
    }

    async fn databases(&self, connection: &mut Pooled, scope: &Scope) -> Result<Vec<Database>> {
        catalog::databases(connection, scope).await
    }

    /// A database has none within it.
    async fn schemas(&self, _: &mut Pooled, _: &Scope) -> Result<Vec<Schema>> {
        Ok(Vec::new())
    }

    async fn tables(&self, connection: &mut Pooled, scope: &Scope) -> Result<Vec<Table>> {
        catalog::tables(connection, self.database(scope.database.as_deref()), scope).await
    }

    async fn table_info(&self, connection: &mut Pooled, name: &TableName) -> Result<TableInfo> {
        table::info(connection, self.database(name.database.as_deref()), &name.name).await
    }

    async fn count(&self, connection: &mut Pooled, name: &TableName) -> Result<u64> {
        table::count(connection, self.database(name.database.as_deref()), &name.name).await
    }

    async fn browse(&self, connection: &mut Pooled, name: &TableName) -> Result<Browse> {
        table::browse(connection, self.database(name.database.as_deref()), &name.name).await
    }

    /// Of a comparison of whole rows, the optimizer makes no range.
    fn whole(&self, browse: &Browse, after: Option<&str>) -> Result<Statement> {
        whole_in_sql(browse, after, |key, values| {
            let (mut cases, mut parameters) = (Vec::new(), Vec::new());
            for (at, name) in key.iter().enumerate() {
                let mut case: Vec<String> = key[..at].iter().map(|name| format!("{name} = ?")).collect();
                case.push(format!("{name} > ?"));
                cases.push(format!("({})", case.join(" AND ")));
                parameters.extend_from_slice(&values[..=at]);
            }
            (format!("({})", cases.join(" OR ")), parameters)
        })
    }

    fn part(&self, statement: Statement, skip: u64, take: u64) -> Result<Statement> {
        Ok(part_in_sql(statement, skip, take))
    }

    fn place(&self, columns: &[ResultColumn], key: &[String], row: &[Value]) -> Option<String> {
        place_in_sql(columns, key, row)
    }
}
