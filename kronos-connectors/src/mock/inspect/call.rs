//! What a program has asked for, in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kronos_core::inspect::{Query, TableName, Text, Value};
use kronos_core::{ErrorKind, Result};

use super::plan::Point;

/// What is asked of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MockOperation {
    /// `test_connection`.
    TestConnection,
    /// `list_databases`.
    ListDatabases,
    /// `list_schemas`.
    ListSchemas,
    /// `list_tables`.
    ListTables,
    /// `get_table_info`.
    TableInfo,
    /// `execute_query`, and `execute` in a transaction.
    Query,
    /// `stream_query`.
    Stream,
    /// `begin`.
    Begin,
    /// `commit`.
    Commit,
    /// `rollback`; not that of a transaction that was dropped.
    Rollback,
    /// `savepoint`, `rollback_to` and `release`.
    Savepoint,
    /// `health`, where it asks the database.
    Health,
}

impl MockOperation {
    pub(super) fn point(self) -> Point {
        match self {
            Self::TestConnection => Point::Test,
            Self::ListDatabases | Self::ListSchemas | Self::ListTables | Self::TableInfo => Point::Catalog,
            Self::Query | Self::Stream => Point::Statement,
            Self::Begin => Point::Begin,
            Self::Commit | Self::Rollback | Self::Savepoint => Point::Control,
            Self::Health => Point::Ping,
        }
    }
}

/// One thing that was asked for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MockCall {
    /// Its number, from 1.
    pub number: u64,
    /// What was asked for.
    pub operation: MockOperation,
    /// The statement as it was written. For marks within a transaction, what SQL calls it.
    pub statement: Option<String>,
    /// The table, for its rows or for all about it.
    pub table: Option<TableName>,
    /// The values of the parameters.
    pub parameters: Vec<Value>,
    /// The database that was named.
    pub database: Option<String>,
    /// It may write.
    pub write: bool,
    /// It may do what requires confirmation.
    pub confirmed: bool,
    /// The number of the call that began the transaction it belongs to.
    pub transaction: Option<u64>,
    /// A script had an answer.
    pub scripted: bool,
    /// How it ended; `None` while it has not, or if nobody waited for it. For a stream, how it began.
    pub outcome: Option<Result<(), ErrorKind>>,
}

impl MockCall {
    pub(super) fn new(operation: MockOperation) -> Self {
        Self {
            number: 0,
            operation,
            statement: None,
            table: None,
            parameters: Vec::new(),
            database: None,
            write: false,
            confirmed: false,
            transaction: None,
            scripted: false,
            outcome: None,
        }
    }

    pub(super) fn of(operation: MockOperation, query: &Query) -> Self {
        let (statement, table) = match &query.text {
            Text::Statement(text) => (Some(text.clone()), None),
            Text::Table(table) => (None, Some(table.clone())),
            _ => (None, None),
        };
        Self {
            statement,
            table,
            parameters: query.parameters.clone(),
            database: query.database.clone(),
            write: query.write,
            confirmed: query.confirmed,
            ..Self::new(operation)
        }
    }
}

/// All that was asked for. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<MockCall>>>);

impl Journal {
    /// Notes a call, and gives its number.
    pub(super) fn begin(&self, call: MockCall) -> u64 {
        let mut calls = self.lock();
        let number = calls.last().map_or(1, |last| last.number + 1);
        calls.push(MockCall { number, ..call });
        number
    }

    /// Notes how it ended.
    pub(super) fn end<T>(&self, number: u64, result: Result<T>) -> Result<T> {
        if let Some(call) = self.lock().iter_mut().rfind(|call| call.number == number) {
            call.outcome = Some(result.as_ref().map(drop).map_err(kronos_core::Error::kind));
        }
        result
    }

    pub(super) fn note_script(&self, number: u64) {
        if let Some(call) = self.lock().iter_mut().rfind(|call| call.number == number) {
            call.scripted = true;
        }
    }

    pub(super) fn calls(&self) -> Vec<MockCall> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<MockCall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
