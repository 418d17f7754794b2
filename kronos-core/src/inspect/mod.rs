//! The database service: look into a source, query it, know its health.
//!
//! [`Inspect`] is what a program holds: one server or file, behind a pool of connections. Connectors
//! implement it; `kronos_connectors::AnyDatabase` holds any of them. What a statement would do is
//! judged before it runs ([`Verdict`]), and it runs in a session that the database itself keeps from
//! writing, unless the caller asks for a writing one.
//!
//! What each engine can say, and what it cannot, is in `docs/inspect.md`.

mod health;
mod objects;
mod page;
mod pool;
mod query;
mod retry;
mod value;
mod verdict;

use std::fmt;

use async_trait::async_trait;

use crate::connector::{ConnectionReport, Engine};
use crate::error::Result;

pub use health::{Health, HealthStatus};
pub use objects::{
    Column, Constraint, ConstraintKind, Database, ForeignKey, Generated, Index, RowCount, Schema, Table, TableInfo,
    TableKind, TableName,
};
pub use page::{Page, PageRequest};
pub use pool::{PoolSettings, PoolStatistics};
pub use query::{Query, QueryResult, ResultColumn, RowStream, Text};
pub use retry::{RetryPolicy, with_retry};
pub use value::Value;
pub use verdict::{Effect, Reason, Severity, Verdict};

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// The database; `None` for the one of the source's settings.
    pub database: Option<String>,
    /// The schema; `None` for all of them. Only PostgreSQL has schemas within a database.
    pub schema: Option<String>,
    /// Also what belongs to the engine itself: catalogs, templates.
    pub system: bool,
}

impl Scope {
    /// What users made, in the database of the source's settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// In this database.
    #[must_use]
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = Some(name.into());
        self
    }

    /// In this schema.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// With what belongs to the engine itself.
    #[must_use]
    pub fn with_system(mut self) -> Self {
        self.system = true;
        self
    }
}

/// A server or file to look into, behind a pool of connections.
///
/// Cheap to share. Nothing is connected before the first call. All lists are sorted by name.
/// A call that is dropped gives its connection back, or closes it where something still runs on it.
#[async_trait]
pub trait Inspect: fmt::Debug + Send + Sync {
    /// The engine.
    fn engine(&self) -> Engine;
    /// Names the source for people, without secrets.
    fn describe(&self) -> String;
    /// Tries the connection. An unreachable server is a report, not an error.
    async fn test_connection(&self) -> Result<ConnectionReport>;
    /// The databases of the server.
    async fn list_databases(&self, scope: &Scope) -> Result<Vec<Database>>;
    /// The schemas of a database. Empty where the engine has none within a database.
    async fn list_schemas(&self, scope: &Scope) -> Result<Vec<Schema>>;
    /// Tables, views and the like, without their columns. Sorted by schema, then name.
    async fn list_tables(&self, scope: &Scope) -> Result<Vec<Table>>;
    /// All about one table; reads of no other. With `exact`, its rows are counted.
    /// `NotFound` when there is none of that name.
    async fn get_table_info(&self, table: &TableName, exact: bool) -> Result<TableInfo>;
    /// What a statement would do, as far as that can be known without running it.
    fn judge(&self, text: &str) -> Verdict;
    /// Runs one statement and gives one page of its rows.
    ///
    /// `InvalidQuery` when the statement needs a confirmation that the query does not have
    /// ([`Query::confirmed`]), or is more than one.
    async fn execute_query(&self, query: &Query) -> Result<QueryResult>;
    /// Runs one statement and gives all of its rows as they come, a bounded number ahead of the reader.
    async fn stream_query(&self, query: &Query) -> Result<RowStream>;
    /// A transaction on a connection of its own; one that only reads unless `write`.
    async fn begin(&self, database: Option<&str>, write: bool) -> Result<Box<dyn Transaction>>;
    /// A round trip, and how the pool does. Kept for [`PoolSettings::health_for`].
    async fn health(&self) -> Health;
    /// How the pool does.
    fn pool(&self) -> PoolStatistics;
    /// Closes all connections; later calls fail.
    async fn close(&self);
}

/// A transaction on a held connection. Dropping it is the same as [`rollback`](Self::rollback).
#[async_trait]
pub trait Transaction: fmt::Debug + Send {
    /// Runs one statement in it. Whether it writes was decided by [`Inspect::begin`].
    async fn execute(&mut self, query: &Query) -> Result<QueryResult>;
    /// Sets a mark to which what follows can be undone.
    async fn savepoint(&mut self, name: &str) -> Result<()>;
    /// Undoes what came after the mark; the mark stays.
    async fn rollback_to(&mut self, name: &str) -> Result<()>;
    /// Takes the mark away and keeps what came after it.
    async fn release(&mut self, name: &str) -> Result<()>;
    /// Keeps everything.
    async fn commit(self: Box<Self>) -> Result<()>;
    /// Undoes everything.
    async fn rollback(self: Box<Self>) -> Result<()>;
}
