//! A statement with what it needs to run, and what comes back.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use serde::Serialize;

use super::objects::TableName;
use super::page::{Page, PageRequest};
use super::value::Value;
use crate::error::Result;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Text {
    /// One statement in the engine's language; for MongoDB a command in extended JSON.
    Statement(String),
    /// The rows of a table, by its primary key where it has one.
    Table(TableName),
}

/// A statement with what it needs to run. What must never be shown belongs into its parameters.
#[derive(Clone)]
#[non_exhaustive]
pub struct Query {
    /// What to run.
    pub text: Text,
    /// Values for its parameters, in order: `$1` (PostgreSQL), `?` (MySQL, SQLite).
    pub parameters: Vec<Value>,
    /// The database to run in; `None` for the one of the source's settings.
    pub database: Option<String>,
    /// Which rows [`execute_query`](super::Inspect::execute_query) gives.
    pub page: PageRequest,
    /// How long it may take; `None` for the time of the pool's settings. It is then cancelled on the
    /// server, and fails with `Timeout`.
    pub timeout: Option<Duration>,
    /// Run in a session that may write. Otherwise the database refuses what would change it.
    pub write: bool,
    /// Run also what [requires confirmation](super::Verdict::requires_confirmation).
    pub confirmed: bool,
}

impl Query {
    /// A statement that reads, without parameters: its first 100 rows.
    pub fn new(statement: impl Into<String>) -> Self {
        Self::of(Text::Statement(statement.into()))
    }

    /// The rows of a table: the first 100.
    pub fn table(table: TableName) -> Self {
        Self::of(Text::Table(table))
    }

    fn of(text: Text) -> Self {
        Self {
            text,
            parameters: Vec::new(),
            database: None,
            page: PageRequest::default(),
            timeout: None,
            write: false,
            confirmed: false,
        }
    }

    /// With the value of the next parameter.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.parameters.push(value.into());
        self
    }

    /// In this database.
    #[must_use]
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = Some(name.into());
        self
    }

    /// Another page.
    #[must_use]
    pub fn page(mut self, page: PageRequest) -> Self {
        self.page = page;
        self
    }

    /// With another time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// In a session that may write.
    #[must_use]
    pub fn writing(mut self) -> Self {
        self.write = true;
        self
    }

    /// Also when it requires confirmation.
    #[must_use]
    pub fn confirmed(mut self) -> Self {
        self.confirmed = true;
        self
    }
}

/// Without the values of its parameters, which may be secrets.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("text", &self.text)
            .field("parameters", &self.parameters.len())
            .field("database", &self.database)
            .field("page", &self.page)
            .field("timeout", &self.timeout)
            .field("write", &self.write)
            .field("confirmed", &self.confirmed)
            .finish()
    }
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResultColumn {
    /// Its name; names may come twice.
    pub name: String,
    /// Its type as the engine names it.
    pub data_type: String,
}

/// What came back: `kronos.query/1`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueryResult {
    /// The columns; empty for a statement that gives no rows.
    pub columns: Vec<ResultColumn>,
    /// The rows of the page.
    pub rows: Vec<Vec<Value>>,
    /// How many rows it changed; `None` for one that only reads.
    pub rows_affected: Option<u64>,
    /// Which rows these are.
    pub page: Page,
}

/// All rows of a result, as they come. Dropping it ends the statement on the server.
pub struct RowStream {
    columns: Vec<ResultColumn>,
    rows: Pin<Box<dyn Stream<Item = Result<Vec<Value>>> + Send>>,
}

impl RowStream {
    /// A stream of rows with these columns.
    pub fn new(columns: Vec<ResultColumn>, rows: impl Stream<Item = Result<Vec<Value>>> + Send + 'static) -> Self {
        Self { columns, rows: Box::pin(rows) }
    }

    /// The columns.
    pub fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }
}

impl Stream for RowStream {
    type Item = Result<Vec<Value>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rows.as_mut().poll_next(context)
    }
}

impl fmt::Debug for RowStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").field("columns", &self.columns).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_parameters_are_not_shown() {
        let shown = format!("{:?}", Query::new("SELECT $1").bind("s3cret"));
        assert!(shown.contains("SELECT $1") && shown.contains("parameters: 1") && !shown.contains("s3cret"), "{shown}");
    }
}
