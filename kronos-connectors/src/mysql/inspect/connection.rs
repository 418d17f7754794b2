//! One connection out of the pool, and a statement on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::inspect::ResultColumn;
use kronos_core::{Error, ErrorKind, Result};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{BinaryProtocol, Conn, Params, QueryResult, Row, TextProtocol};

use super::super::error::{failed, has_code};
use super::super::names::ident;
use super::super::numbered::Numbered;
use super::super::settings::MysqlSettings;
use super::values;
use crate::hidden::is_open;
use crate::inspect::{Connection, Control, One, Ran, Rows, Statement, Stop, TO_WRITE, of_kind, used_up};

/// How long it may take to close a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that is closed when it is dropped without being given back.
pub(crate) struct Pooled {
    connection: Option<Conn>,
    _active: One,
    settings: Arc<MysqlSettings>,
    number: Numbered,
}

/// The driver would show the password.
impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled").field("id", &self.number.id).finish_non_exhaustive()
    }
}

impl Pooled {
    pub(super) fn new(connection: Conn, active: One, settings: Arc<MysqlSettings>) -> Self {
        let number = Numbered::of(&connection);
        Self { connection: Some(connection), _active: active, settings, number }
    }

    fn live(&mut self) -> Result<&mut Conn> {
        self.connection.as_mut().ok_or_else(used_up)
    }

    /// Makes a database the one that names without any are of.
    pub(super) async fn choose(&mut self, database: &str) -> Result<()> {
        self.execute("choose the database", &format!("USE {}", ident(database))).await
    }

    pub(super) fn is_mariadb(&self) -> bool {
        // What the driver has read of the server's greeting.
        self.connection.as_ref().is_some_and(|live| live.server_version().0 >= 10)
    }

    /// Runs a statement of our own.
    pub(super) async fn execute(&mut self, what: &'static str, sql: &str) -> Result<()> {
        self.live()?.query_drop(sql).await.map_err(|error| query_error(error, what))
    }

    /// The rows of a query of our own, which is kept prepared.
    pub(super) async fn rows<T>(&mut self, what: &'static str, sql: &str, binds: &[&str]) -> Result<Vec<T>>
    where
        T: FromRow + Send + 'static,
    {
        let values: Vec<mysql_async::Value> = binds.iter().map(|bind| (*bind).into()).collect();
        let parameters = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        let rows: Vec<Row> = self.live()?.exec(sql, parameters).await.map_err(|error| query_error(error, what))?;
        let read = |row| mysql_async::from_row_opt(row).map_err(|_| strange(what));
        rows.into_iter().map(read).collect()
    }

    /// The rows of a statement that cannot be prepared.
    pub(super) async fn plain_rows<T>(&mut self, what: &'static str, sql: &str) -> Result<Vec<T>>
    where
        T: FromRow + Send + 'static,
    {
        let rows: Vec<Row> = self.live()?.query(sql).await.map_err(|error| query_error(error, what))?;
        let read = |row| mysql_async::from_row_opt(row).map_err(|_| strange(what));
        rows.into_iter().map(read).collect()
    }
}

fn strange(what: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "the server answered with values of another type than expected")
        .with("while", what)
}

/// What a result is made of, and how its rows go on.
macro_rules! deliver {
    ($found:expr, $rows:expr) => {{
        let mut found = $found;
        let columns = found.columns_ref().to_vec();
        if !columns.is_empty() {
            $rows.columns(columns.iter().map(column).collect()).await;
        }
        let mut given = 0;
        while let Some(row) = found.next().await.map_err(|error| query_error(error, "read the rows"))? {
            let values = row.unwrap().into_iter().zip(&columns).map(|(value, column)| values::of(value, column));
            if !$rows.row(values.collect()).await {
                return Ok(Ran::Enough);
            }
            given += 1;
        }
        // With rows, the server tells no other number.
        let affected = if columns.is_empty() { found.affected_rows() } else { given };
        // Of a procedure with several results, the first is given.
        found.drop_result().await.map_err(|error| query_error(error, "end the statement"))?;
        Ok(Ran::Whole(Some(affected)))
    }};
}

fn column(column: &mysql_async::Column) -> ResultColumn {
    ResultColumn { name: column.name_str().into_owned(), data_type: values::type_name(column) }
}

#[async_trait]
impl Connection for Pooled {
    async fn ping(&mut self) -> Result<()> {
        self.live()?.ping().await.map_err(|error| query_error(error, "ask for a sign of life"))
    }

    async fn writing(&mut self) -> Result<()> {
        self.execute("let it write", "SET SESSION TRANSACTION READ WRITE").await
    }

    /// What commits by itself, as CREATE and its like, would get out of a transaction that only
    /// reads, but not out of a session that does.
    async fn begin(&mut self, write: bool) -> Result<()> {
        let mode = if write { "READ WRITE" } else { "READ ONLY" };
        self.execute("begin", &format!("SET SESSION TRANSACTION {mode}")).await?;
        self.execute("begin", &format!("START TRANSACTION {mode}")).await
    }

    async fn limit(&mut self, time: Duration) -> Result<()> {
        // A little less than ours, so that the server is the first and the connection stays in order.
        // MySQL has a limit for reading only; what writes is ended by ours.
        let milliseconds = (time.as_millis().saturating_mul(19) / 20).clamp(1, u128::from(u32::MAX));
        let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
        let sql = if self.is_mariadb() {
            format!("SET SESSION max_statement_time = {seconds}.{rest:03}")
        } else {
            format!("SET SESSION max_execution_time = {milliseconds}")
        };
        self.execute("set the time limit", &sql).await
    }

    async fn run(&mut self, statement: &Statement, rows: &mut Rows) -> Result<Ran> {
        let live = self.live()?;
        match live.prep(statement.text.as_str()).await {
            Ok(prepared) => {
                if usize::from(prepared.num_params()) != statement.parameters.len() {
                    return Err(Error::new(
                        ErrorKind::InvalidQuery,
                        "the number of values is not that of the parameters",
                    )
                    .with("parameters", prepared.num_params())
                    .with("values", statement.parameters.len()));
                }
                let values: Vec<mysql_async::Value> = statement.parameters.iter().map(values::bound).collect();
                let parameters = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
                let found: QueryResult<'_, '_, BinaryProtocol> = live
                    .exec_iter(prepared, parameters)
                    .await
                    .map_err(|error| query_error(error, "run the statement"))?;
                deliver!(found, rows)
            }
            // Not every statement can be prepared. That it is only one, the server has seen by now.
            Err(mysql_async::Error::Server(error)) if error.code == 1295 && statement.parameters.is_empty() => {
                let found: QueryResult<'_, '_, TextProtocol> = live
                    .query_iter(statement.text.as_str())
                    .await
                    .map_err(|error| query_error(error, "run the statement"))?;
                deliver!(found, rows)
            }
            Err(error) => {
                let error = query_error(error, "prepare");
                // Where quotes do not match, what seems to be a name may be a piece of a text.
                let is_lost = has_code(&error, &[1064]) && is_open(&statement.text);
                Err(if is_lost { of_kind(&error, error.kind(), "syntax error: is a quote missing?") } else { error })
            }
        }
    }

    async fn control(&mut self, control: Control) -> Result<()> {
        self.execute("end the transaction", &control.in_sql(ident)).await
    }

    fn stop(&self) -> Box<dyn Stop> {
        Box::new(Kill { settings: self.settings.clone(), number: self.number })
    }

    async fn give_back(mut self) {
        // The pool takes it as it is dropped.
        drop(self.connection.take());
    }

    async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            end(connection, &self.settings, self.number).await;
        }
    }
}

/// A connection that may have rows left to read is not closed by asking it: its server is told.
async fn end(connection: Conn, settings: &MysqlSettings, number: Numbered) {
    let asked = tokio::time::timeout(Duration::from_millis(500), connection.disconnect()).await;
    if !matches!(asked, Ok(Ok(()))) {
        let _ = tokio::time::timeout(PATIENCE, settings.end(number)).await;
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let (Some(connection), Ok(runtime)) = (self.connection.take(), tokio::runtime::Handle::try_current()) {
            let (settings, number) = (self.settings.clone(), self.number);
            runtime.spawn(async move { end(connection, &settings, number).await });
        }
    }
}

/// Ends a statement by way of another connection, which is none of the pool's.
struct Kill {
    settings: Arc<MysqlSettings>,
    number: Numbered,
}

#[async_trait]
impl Stop for Kill {
    async fn stop(&self) -> Result<()> {
        let mut session = self.settings.open().await?;
        if !self.number.is_ours(&mut session.connection).await? {
            // It has ended with its server.
            session.close().await;
            return Ok(());
        }
        let told = session.run("end a statement", &format!("KILL QUERY {}", self.number.id)).await;
        session.close().await;
        match told {
            // It has ended by itself.
            Err(error) if has_code(&error, &[1094]) => Ok(()),
            told => told,
        }
    }
}

/// An error with the kind that callers of the service branch on.
pub(super) fn query_error(error: mysql_async::Error, what: &'static str) -> Error {
    let code = match &error {
        mysql_async::Error::Server(server) => server.code,
        _ => return failed(error, what),
    };
    let error = failed(error, what);
    let kind = match code {
        1054 | 1064 | 1065 | 1066 | 1052 | 1055 | 1056 | 1140 | 1210 | 1222 | 1248 | 1295 | 1318 => {
            ErrorKind::InvalidQuery
        }
        1305 | 1630 => ErrorKind::NotFound,
        1290 | 1792 | 1836 => ErrorKind::PermissionDenied,
        _ => return error,
    };
    let mapped = of_kind(&error, kind, error.message());
    if code == 1792 { mapped.with("hint", TO_WRITE) } else { mapped }
}
