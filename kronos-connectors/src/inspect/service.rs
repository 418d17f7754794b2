//! The service of any engine: judge, run, page, stream, health.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use kronos_core::inspect::{
    Database, Effect, Health, Inspect, PoolStatistics, Query, QueryResult, ResultColumn, RowCount, RowStream, Schema,
    Scope, Table, TableInfo, TableName, Text, Transaction, Value, Verdict,
};
use kronos_core::{ConnectionReport, Engine, Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::backend::{Backend, Browse, Connection, Control, Ran, Statement};
use super::error::unanswered;
use super::page::{self, Paged};
use super::permitted::{kept, permitted};
use super::rows::{Received, Rows, Taken};
use super::running::{GRACE, Outcome, Wait, joined, start, stopped, supervised};
use super::safety;
use super::settle::{settle, uncertain};
use super::transaction::Held;

/// An engine behind the one interface.
#[derive(Debug)]
pub(crate) struct Service<B> {
    backend: Arc<B>,
    /// The last answer about health, and when it was given.
    health: Mutex<Option<(Instant, Health)>>,
}

/// A statement that runs on its own.
struct Running {
    rows: Received,
    task: tokio::task::JoinHandle<Result<Option<u64>>>,
    guard: tokio_util::sync::DropGuard,
}

impl<B: Backend> Service<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self { backend: Arc::new(backend), health: Mutex::new(None) }
    }

    /// A connection. Also where one after the other is found to be dead, it is not waited for much longer
    /// than it may take.
    async fn acquire(&self, database: Option<&str>) -> Result<B::Connection> {
        let limit = self.backend.settings().acquire_timeout;
        let late = |_| Err(unanswered(self.backend.describe(), limit));
        tokio::time::timeout(limit.saturating_add(GRACE), self.backend.acquire(database)).await.unwrap_or_else(late)
    }

    /// Does some reading of catalogs on a connection of its own, within the time for a statement.
    async fn with<T: Send + 'static>(
        &self,
        database: Option<&str>,
        work: impl for<'a> FnOnce(&'a B, &'a mut B::Connection) -> futures::future::BoxFuture<'a, Result<T>>
        + Send
        + 'static,
    ) -> Result<T> {
        let mut connection = self.acquire(database).await?;
        let (backend, limit) = (self.backend.clone(), self.backend.settings().query_timeout);
        let (task, _guard) = start(move |gone| {
            Box::pin(async move {
                let outcome = supervised(&mut connection, limit, &gone, |connection| {
                    Box::pin(async move {
                        connection.begin(false).await?;
                        connection.limit(limit).await?;
                        let found = work(&backend, connection).await;
                        let ended = connection.control(Control::Rollback).await;
                        found.and_then(|found| ended.map(|()| found))
                    })
                })
                .await;
                settle(connection, outcome).await
            })
        });
        Wait::new(limit).on(joined(task)).await
    }

    /// Begins to run a statement.
    fn run(&self, mut connection: B::Connection, statement: Statement, query: &Query, keep: bool) -> Running {
        let (write, limit) = (query.write, self.limit(query));
        let (mut rows, received) = Rows::channel(write);
        let (task, guard) = start(move |gone| {
            Box::pin(async move {
                let ran = supervised(&mut connection, limit, &gone, |connection| {
                    Box::pin(async move { single(connection, &statement, &mut rows, write, limit).await })
                });
                match ran.await {
                    Outcome::Ended(Ok(Ran::Whole(affected))) if keep => {
                        connection.give_back().await;
                        Ok(affected)
                    }
                    Outcome::Ended(Ok(Ran::Whole(affected))) => {
                        connection.close().await;
                        Ok(affected)
                    }
                    Outcome::Ended(Ok(Ran::Enough)) => {
                        // The page is complete; that the rest goes on being read is all that could fail.
                        let _ = stopped(connection.stop().as_ref()).await;
                        connection.close().await;
                        Ok(None)
                    }
                    other => settle(connection, other).await.map(|_| None),
                }
            })
        });
        Running { rows: received, task, guard }
    }

    fn limit(&self, query: &Query) -> Duration {
        query.timeout.unwrap_or(self.backend.settings().query_timeout)
    }

    /// One page of what a statement gives.
    async fn one_page(
        &self,
        connection: B::Connection,
        paged: Paged,
        query: &Query,
        keep: bool,
    ) -> Result<(Taken, Option<u64>)> {
        let wait = Wait::new(self.limit(query));
        let Running { rows, task, guard: _guard } = self.run(connection, paged.statement, query, keep);
        let ended = async {
            let taken = rows.take(paged.skip, paged.take).await;
            let affected = joined(task).await?;
            Ok((taken, affected))
        };
        wait.on(ended).await.map_err(|error| uncertain(error, query.write))
    }

    async fn statement(&self, text: &str, query: &Query) -> Result<QueryResult> {
        let read = permitted(self.backend.as_ref(), text, query, query.write)?;
        let paged = page::of_statement(self.backend.as_ref(), &read, &query.parameters, &query.page)?;
        let (keep, changes) = (kept(&read.verdict), read.verdict.effect >= Effect::Writes);
        let wanted = query.page.total && read.limitable;
        let total = if wanted { Some(self.total(&read.body, query).await?) } else { None };
        let connection = self.acquire(query.database.as_deref()).await?;
        let (taken, affected) = self.one_page(connection, paged, query, keep).await?;
        Ok(result(taken, affected.filter(|_| query.write && changes), query, total, |_, _| None))
    }

    /// How many rows a statement gives.
    async fn total(&self, body: &str, query: &Query) -> Result<u64> {
        let text = format!("SELECT count(*) FROM (\n{body}\n) AS kronos_rows");
        let statement = Statement { text, parameters: query.parameters.clone() };
        let connection = self.acquire(query.database.as_deref()).await?;
        let (taken, _) = self.one_page(connection, Paged { statement, skip: 0, take: 1 }, query, true).await?;
        let count = taken.rows.first().and_then(|row| row.first()).and_then(Value::as_i64);
        count
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the rows could not be counted"))
    }

    async fn count(&self, database: Option<&str>, table: &TableName) -> Result<u64> {
        let name = table.clone();
        self.with(database, move |backend, connection| Box::pin(async move { backend.count(connection, &name).await }))
            .await
    }

    async fn browse(&self, database: Option<&str>, table: &TableName) -> Result<Browse> {
        let name = table.clone();
        self.with(database, move |backend, connection| Box::pin(async move { backend.browse(connection, &name).await }))
            .await
    }

    async fn table(&self, table: &TableName, query: &Query) -> Result<QueryResult> {
        let database = table.database.as_deref().or(query.database.as_deref());
        let browse = self.browse(database, table).await?;
        let statement = self.backend.whole(&browse, query.page.after.as_deref())?;
        let total = if query.page.total { Some(self.count(database, table).await?) } else { None };
        let paged = page::of_rows(self.backend.as_ref(), statement, &query.page)?;
        let connection = self.acquire(database).await?;
        let (taken, _) = self.one_page(connection, paged, query, true).await?;
        let place = |columns: &[ResultColumn], row: &[Value]| self.backend.place(columns, &browse.key, row);
        Ok(result(taken, None, query, total, place))
    }
}

/// Runs a statement in a transaction that only reads, or as it is.
async fn single<C: Connection>(
    connection: &mut C,
    statement: &Statement,
    rows: &mut Rows,
    write: bool,
    limit: Duration,
) -> Result<Ran> {
    if write {
        // Some statements are refused in a transaction, and one by itself is one.
        connection.writing().await?;
        connection.limit(limit).await?;
        return connection.run(statement, rows).await;
    }
    connection.begin(false).await?;
    connection.limit(limit).await?;
    match connection.run(statement, rows).await? {
        Ran::Enough => Ok(Ran::Enough),
        whole @ Ran::Whole(_) => connection.control(Control::Rollback).await.map(|()| whole),
    }
}

/// What was taken, as a page; `place` tells where it ended.
pub(super) fn result(
    mut taken: Taken,
    affected: Option<u64>,
    query: &Query,
    total: Option<u64>,
    place: impl FnOnce(&[ResultColumn], &[Value]) -> Option<String>,
) -> QueryResult {
    let found = taken.rows.len() as u64;
    let size = usize::try_from(query.page.size).unwrap_or(usize::MAX);
    taken.rows.truncate(size);
    let next = taken.rows.last().and_then(|row| place(&taken.columns, row));
    let page = query.page.filled(found, next, total);
    QueryResult { columns: taken.columns, rows: taken.rows, rows_affected: affected, page }
}

#[async_trait]
impl<B: Backend> Inspect for Service<B> {
    fn engine(&self) -> Engine {
        self.backend.engine()
    }

    fn describe(&self) -> String {
        self.backend.describe()
    }

    async fn test_connection(&self) -> Result<ConnectionReport> {
        self.backend.test().await
    }

    async fn list_databases(&self, scope: &Scope) -> Result<Vec<Database>> {
        let scope = scope.clone();
        let mut found = self
            .with(None, move |backend, connection| Box::pin(async move { backend.databases(connection, &scope).await }))
            .await?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn list_schemas(&self, scope: &Scope) -> Result<Vec<Schema>> {
        let (database, scope) = (scope.database.clone(), scope.clone());
        let mut found = self
            .with(database.as_deref(), move |backend, connection| {
                Box::pin(async move { backend.schemas(connection, &scope).await })
            })
            .await?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn list_tables(&self, scope: &Scope) -> Result<Vec<Table>> {
        let (database, scope) = (scope.database.clone(), scope.clone());
        let mut found = self
            .with(database.as_deref(), move |backend, connection| {
                Box::pin(async move { backend.tables(connection, &scope).await })
            })
            .await?;
        found.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        Ok(found)
    }

    async fn get_table_info(&self, table: &TableName, exact: bool) -> Result<TableInfo> {
        let name = table.clone();
        self.with(table.database.as_deref(), move |backend, connection| {
            Box::pin(async move {
                let mut info = backend.table_info(connection, &name).await?;
                if exact {
                    info.count = RowCount::Exact(backend.count(connection, &name).await?);
                }
                Ok(info)
            })
        })
        .await
    }

    fn judge(&self, text: &str) -> Verdict {
        safety::judge(&self.backend.engine(), text)
    }

    async fn execute_query(&self, query: &Query) -> Result<QueryResult> {
        // Before anything is asked of the server.
        query.page.skipped()?;
        match &query.text {
            Text::Statement(text) => self.statement(text, query).await,
            Text::Table(table) => self.table(table, query).await,
            _ => Err(Error::new(ErrorKind::Unsupported, "this kind of query is not known")),
        }
    }

    async fn stream_query(&self, query: &Query) -> Result<RowStream> {
        let (statement, keep, database) = match &query.text {
            Text::Statement(text) => {
                let read = permitted(self.backend.as_ref(), text, query, query.write)?;
                let keep = kept(&read.verdict);
                (Statement { text: read.body, parameters: query.parameters.clone() }, keep, query.database.clone())
            }
            Text::Table(table) => {
                let database = table.database.clone().or_else(|| query.database.clone());
                let browse = self.browse(database.as_deref(), table).await?;
                (self.backend.whole(&browse, query.page.after.as_deref())?, true, database)
            }
            _ => return Err(Error::new(ErrorKind::Unsupported, "this kind of query is not known")),
        };
        let connection = self.acquire(database.as_deref()).await?;
        let (wait, write) = (Wait::new(self.limit(query)), query.write);
        let Running { mut rows, task, guard } = self.run(connection, statement, query, keep);
        let unknown = move |error| uncertain(error, write);
        let Some(columns) = wait.on(async { Ok(rows.columns().await) }).await.map_err(unknown)? else {
            // It has none, or failed before it had them.
            wait.on(joined(task)).await.map_err(unknown)?;
            return Ok(RowStream::new(Vec::new(), futures::stream::empty()));
        };
        let end = async move {
            let ended = joined(task).await.map(drop);
            drop(guard);
            ended
        };
        Ok(RowStream::new(columns, rows.stream(wait, end).map_err(unknown)))
    }

    async fn begin(&self, database: Option<&str>, write: bool) -> Result<Box<dyn Transaction>> {
        let limit = self.backend.settings().query_timeout;
        let mut connection = self.acquire(database).await?;
        let (task, _guard) = start(move |gone| {
            Box::pin(async move {
                let begun = supervised(&mut connection, limit, &gone, |connection| {
                    Box::pin(async move { connection.begin(write).await })
                });
                match begun.await {
                    Outcome::Ended(Ok(())) => Ok(connection),
                    other => settle(connection, other)
                        .await
                        .and_then(|()| Err(Error::new(ErrorKind::Internal, "a transaction was begun and not kept"))),
                }
            })
        });
        let connection = Wait::new(limit).on(joined(task)).await?;
        Ok(Box::new(Held::new(connection, self.backend.clone(), write, limit)))
    }

    async fn health(&self) -> Health {
        let mut last = self.health.lock().await;
        let settings = self.backend.settings();
        if let Some((asked, health)) = last.as_ref().filter(|(asked, _)| asked.elapsed() < settings.health_for) {
            let _ = asked;
            return health.clone();
        }
        let health = Health::of(&self.round_trip().await, self.backend.statistics(), settings);
        *last = Some((Instant::now(), health.clone()));
        health
    }

    fn pool(&self) -> PoolStatistics {
        self.backend.statistics()
    }

    async fn close(&self) {
        self.backend.close().await;
    }
}

impl<B: Backend> Service<B> {
    /// How long the server takes for nothing at all.
    pub(crate) async fn round_trip(&self) -> Result<Duration> {
        let mut connection = self.acquire(None).await?;
        let limit = self.backend.settings().query_timeout;
        let begun = Instant::now();
        let (task, _guard) = start(move |gone| {
            Box::pin(async move {
                let pinged = supervised(&mut connection, limit, &gone, |connection| {
                    Box::pin(async move { connection.ping().await })
                });
                let outcome = pinged.await;
                settle(connection, outcome).await
            })
        });
        Wait::new(limit).on(joined(task)).await.map(|()| begun.elapsed())
    }
}
