//! What an engine brings: a pool, connections that run one statement, and catalogs.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::inspect::{
    Database, PoolSettings, PoolStatistics, ResultColumn, Schema, Scope, Table, TableInfo, TableName, Value,
};
use kronos_core::{ConnectionReport, Engine, Result};

use super::rows::Rows;
use super::safety::Statement as Reading;

/// An engine's part of the service.
#[async_trait]
pub(crate) trait Backend: fmt::Debug + Send + Sync + 'static {
    type Connection: Connection;

    fn engine(&self) -> Engine;
    fn describe(&self) -> String;
    fn settings(&self) -> &PoolSettings;
    async fn test(&self) -> Result<ConnectionReport>;
    /// What there is to know of a statement before it runs.
    fn read(&self, text: &str) -> Reading;

    /// A connection to a database, out of the pool. `PoolExhausted` when none became free in time.
    async fn acquire(&self, database: Option<&str>) -> Result<Self::Connection>;
    fn statistics(&self) -> PoolStatistics;
    /// Whether the database itself keeps sessions that only read from writing.
    fn guards(&self) -> bool;
    async fn close(&self);

    async fn databases(&self, connection: &mut Self::Connection, scope: &Scope) -> Result<Vec<Database>>;
    async fn schemas(&self, connection: &mut Self::Connection, scope: &Scope) -> Result<Vec<Schema>>;
    async fn tables(&self, connection: &mut Self::Connection, scope: &Scope) -> Result<Vec<Table>>;
    async fn table_info(&self, connection: &mut Self::Connection, table: &TableName) -> Result<TableInfo>;
    /// Counts the rows.
    async fn count(&self, connection: &mut Self::Connection, table: &TableName) -> Result<u64>;

    /// How a table is read by its key.
    async fn browse(&self, connection: &mut Self::Connection, table: &TableName) -> Result<Browse>;
    /// The statement that reads a table, from the place on where a page of it ended.
    fn whole(&self, browse: &Browse, after: Option<&str>) -> Result<Statement>;
    /// The same statement for some of its rows only.
    fn part(&self, statement: Statement, skip: u64, take: u64) -> Result<Statement>;
    /// The place of a row in a table, as `whole` takes it.
    fn place(&self, columns: &[ResultColumn], key: &[String], row: &[Value]) -> Option<String>;
}

/// A table to be read by its key.
#[derive(Debug, Default)]
pub(crate) struct Browse {
    /// The statement without condition and order.
    pub text: String,
    /// The columns of the key, in its order; empty when there is none to go by.
    pub key: Vec<String>,
    /// The same, quoted.
    pub quoted: Vec<String>,
}

/// One statement as it is run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statement {
    pub text: String,
    pub parameters: Vec<Value>,
}

/// How a statement ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    /// To its end; how many rows it changed, where it changes any.
    Whole(Option<u64>),
    /// Its reader had enough before it had ended.
    Enough,
}

/// What ends or divides a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Control {
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    Release(String),
}

impl Control {
    /// As a statement in SQL, with a name that `ident` quotes.
    pub(crate) fn in_sql(&self, ident: impl Fn(&str) -> String) -> String {
        match self {
            Self::Commit => "COMMIT".to_owned(),
            Self::Rollback => "ROLLBACK".to_owned(),
            Self::Savepoint(name) => format!("SAVEPOINT {}", ident(name)),
            Self::RollbackTo(name) => format!("ROLLBACK TO SAVEPOINT {}", ident(name)),
            Self::Release(name) => format!("RELEASE SAVEPOINT {}", ident(name)),
        }
    }
}

/// A connection out of the pool. Dropping it closes it: only [`give_back`](Self::give_back), after
/// everything on it has ended well, keeps it for others.
#[async_trait]
pub(crate) trait Connection: fmt::Debug + Send + 'static {
    async fn ping(&mut self) -> Result<()>;
    /// Lets it write, outside of a transaction.
    async fn writing(&mut self) -> Result<()>;
    /// Begins a transaction. In one that does not write, the database refuses what would.
    async fn begin(&mut self, write: bool) -> Result<()>;
    /// The server itself ends statements that take longer.
    async fn limit(&mut self, time: Duration) -> Result<()>;
    /// Runs one statement, and refuses more than one.
    async fn run(&mut self, statement: &Statement, rows: &mut Rows) -> Result<Ran>;
    async fn control(&mut self, control: Control) -> Result<()>;
    /// What ends a statement that runs on it, from elsewhere.
    fn stop(&self) -> Box<dyn Stop>;
    async fn give_back(self);
    async fn close(self);
}

/// Ends what runs on a connection.
#[async_trait]
pub(crate) trait Stop: Send + Sync {
    async fn stop(&self) -> Result<()>;
}
