//! One connection out of a pool, and a statement on it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use kronos_core::inspect::{ResultColumn, Value};
use kronos_core::{Error, ErrorKind, Result};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{AssertSqlSafe, Column, Either, Executor, Row, SqlSafeStr, Statement as _, TypeInfo};

use super::super::error::failed;
use super::super::names::{ident, literal};
use super::super::settings::PostgresSettings;
use super::values;
use crate::hidden::is_open;
use crate::inspect::{Connection, Control, One, Ran, Rows, Statement, Stop, TO_WRITE, of_kind, used_up};

/// How long it may take to hand a connection back, or to close it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Statements with parameters that a connection keeps prepared.
const PREPARED: i64 = 50;

/// A connection that is closed when it is dropped without being given back.
#[derive(Debug)]
pub(crate) struct Pooled {
    connection: Option<PoolConnection<Postgres>>,
    _active: One,
    settings: Arc<PostgresSettings>,
    database: String,
    pid: i32,
}

impl Pooled {
    /// Takes it over; `None` when the server has ended it.
    pub(super) async fn new(
        connection: PoolConnection<Postgres>,
        active: One,
        settings: Arc<PostgresSettings>,
        database: &str,
    ) -> Result<Option<Self>> {
        let mut pooled =
            Self { connection: Some(connection), _active: active, settings, database: database.to_owned(), pid: 0 };
        match pooled.row::<(i32,)>("ask for the connection's process", "SELECT pg_catalog.pg_backend_pid()").await {
            Ok((pid,)) => pooled.pid = pid,
            Err(error) if error.kind() == ErrorKind::ConnectionFailed => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(pooled))
    }

    fn live(&mut self) -> Result<&mut PoolConnection<Postgres>> {
        self.connection.as_mut().ok_or_else(used_up)
    }

    /// Runs statements of our own.
    pub(super) async fn execute(&mut self, what: &'static str, sql: &str) -> Result<()> {
        let live = self.live()?;
        let done = (&mut **live).execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        done.map(drop).map_err(|error| query_error(error, what))
    }

    /// The rows of a query of our own, which is kept prepared.
    pub(super) async fn rows<T>(&mut self, what: &'static str, sql: &'static str, binds: &[&str]) -> Result<Vec<T>>
    where
        T: for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut query = sqlx::query_as(sql);
        for bind in binds {
            query = query.bind((*bind).to_owned());
        }
        query.fetch_all(&mut **self.live()?).await.map_err(|error| query_error(error, what))
    }

    /// The only row of a query of our own.
    pub(super) async fn row<T>(&mut self, what: &'static str, sql: &'static str) -> Result<T>
    where
        T: for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin,
    {
        sqlx::query_as(sql).fetch_one(&mut **self.live()?).await.map_err(|error| query_error(error, what))
    }

    /// A number out of a statement that was put together.
    pub(super) async fn number(&mut self, what: &'static str, sql: String) -> Result<i64> {
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false);
        query.fetch_one(&mut **self.live()?).await.map_err(|error| query_error(error, what))
    }

    /// The text that runs a statement with its parameters. They are literals of an `EXECUTE`: the
    /// statement itself is parsed without them, and the result comes as text, exact for every type.
    async fn with_parameters(&mut self, statement: &Statement) -> Result<String> {
        let hash = blake3::hash(statement.text.as_bytes()).to_hex();
        let name = ident(&format!("kronos_{}", &hash[..32]));
        let known: (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE name = $1) FROM pg_catalog.pg_prepared_statements \
             WHERE name LIKE 'kronos\\_%'",
        )
        .bind(format!("kronos_{}", &hash[..32]))
        .fetch_one(&mut **self.live()?)
        .await
        .map_err(|error| query_error(error, "look for the statement"))?;
        if known.0 > PREPARED {
            self.forget().await?;
        }
        if known.1 == 0 || known.0 > PREPARED {
            let text = format!("PREPARE {name} AS {}", statement.text);
            // The extended protocol takes one statement, never two.
            let prepare = sqlx::query(AssertSqlSafe(text)).persistent(false).execute(&mut **self.live()?).await;
            prepare.map_err(|error| not_understood(query_error(error, "prepare the statement"), &statement.text))?;
        }
        let values: Result<Vec<String>> = statement.parameters.iter().map(written).collect();
        Ok(format!("EXECUTE {name} ({})", values?.join(", ")))
    }

    /// Makes room for other statements.
    async fn forget(&mut self) -> Result<()> {
        let names: Vec<(String,)> = self
            .rows(
                "list the statements",
                "SELECT name FROM pg_catalog.pg_prepared_statements WHERE name LIKE 'kronos\\_%'",
                &[],
            )
            .await?;
        let all: Vec<String> = names.iter().map(|(name,)| format!("DEALLOCATE {}", ident(name))).collect();
        self.execute("forget statements", &all.join(";")).await
    }
}

/// A value as a literal of no type, which gets that of the parameter.
fn written(value: &Value) -> Result<String> {
    let text = match value {
        Value::Null => return Ok("NULL".to_owned()),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(value) | Value::Json(value) => value.clone(),
        Value::Bytes(value) => format!("\\x{}", hex::encode(value)),
    };
    if text.contains('\0') {
        return Err(Error::new(ErrorKind::InvalidQuery, "PostgreSQL takes no text with a NUL in it"));
    }
    Ok(literal(&text))
}

#[async_trait]
impl Connection for Pooled {
    async fn ping(&mut self) -> Result<()> {
        self.execute("ask for a sign of life", "SELECT 1").await
    }

    /// Outside of a transaction that only reads, it may.
    async fn writing(&mut self) -> Result<()> {
        Ok(())
    }

    async fn begin(&mut self, write: bool) -> Result<()> {
        self.execute("begin", if write { "BEGIN READ WRITE" } else { "BEGIN READ ONLY" }).await
    }

    async fn limit(&mut self, time: Duration) -> Result<()> {
        // A little less than ours, so that the server is the first and the connection stays in order.
        let milliseconds = (time.as_millis().saturating_mul(19) / 20).clamp(1, i32::MAX as u128);
        self.execute("set the time limit", &format!("SET statement_timeout = {milliseconds}")).await
    }

    async fn run(&mut self, statement: &Statement, rows: &mut Rows) -> Result<Ran> {
        let text = AssertSqlSafe(statement.text.clone()).into_sql_str();
        // The server's own parser says whether it is one statement, and of what types its columns are.
        let prepared = (&mut **self.live()?).prepare(text).await;
        let prepared = prepared.map_err(|error| not_understood(query_error(error, "prepare"), &statement.text))?;
        let columns: Vec<ResultColumn> = prepared
            .columns()
            .iter()
            .map(|column| ResultColumn {
                name: column.name().to_owned(),
                data_type: values::type_name(column.type_info().name()),
            })
            .collect();
        let kinds: Vec<values::Kind> =
            prepared.columns().iter().map(|column| values::kind(column.type_info().name())).collect();
        if !columns.is_empty() {
            rows.columns(columns).await;
        }
        let plain = statement.parameters.is_empty();
        let sql = if plain { statement.text.clone() } else { self.with_parameters(statement).await? };
        let mut found = (&mut **self.live()?).fetch_many(sqlx::raw_sql(AssertSqlSafe(sql)));
        let mut affected = None;
        while let Some(item) = found.try_next().await.map_err(|error| query_error(error, "run the statement"))? {
            match item {
                Either::Left(done) => affected = Some(done.rows_affected()),
                Either::Right(row) => {
                    let values: Result<Vec<Value>> = (0..row.len()).map(|at| values::of(&row, at, &kinds)).collect();
                    if !rows.row(values?).await {
                        return Ok(Ran::Enough);
                    }
                }
            }
        }
        if affected.is_none() {
            return Err(Error::new(ErrorKind::InvalidQuery, "there is no statement"));
        }
        Ok(Ran::Whole(affected))
    }

    async fn control(&mut self, control: Control) -> Result<()> {
        self.execute("end the transaction", &control.in_sql(ident)).await
    }

    fn stop(&self) -> Box<dyn Stop> {
        Box::new(Cancel { settings: self.settings.clone(), database: self.database.clone(), pid: self.pid })
    }

    async fn give_back(mut self) {
        if let Some(mut connection) = self.connection.take() {
            let _ = tokio::time::timeout(PATIENCE, connection.return_to_pool()).await;
        }
    }

    async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            // Whether it can still say so or not, it is gone.
            let _ = tokio::time::timeout(PATIENCE, connection.close()).await;
        }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

/// Ends a statement by way of another connection, which is none of the pool's.
struct Cancel {
    settings: Arc<PostgresSettings>,
    database: String,
    pid: i32,
}

#[async_trait]
impl Stop for Cancel {
    async fn stop(&self) -> Result<()> {
        let mut session = self.settings.open(&self.database).await?;
        let told =
            session.run("cancel a statement", &format!("SELECT pg_catalog.pg_cancel_backend({})", self.pid)).await;
        session.close().await;
        told
    }
}

/// An error that shows nothing of the statement where its quotes do not match.
fn not_understood(error: Error, statement: &str) -> Error {
    let is_lost = error.context("sqlstate") == Some("42601") && is_open(statement);
    if is_lost { of_kind(&error, error.kind(), "syntax error: is a quote missing?") } else { error }
}

/// An error with the kind that callers of the service branch on.
pub(super) fn query_error(error: sqlx::Error, what: &'static str) -> Error {
    let error = failed(error, what);
    let state = error.context("sqlstate").map(str::to_owned);
    let kind = match state.as_deref() {
        Some("42P01" | "3F000" | "42704" | "42883") => ErrorKind::NotFound,
        Some(state) if state.starts_with("42") && error.kind() == ErrorKind::QueryFailed => ErrorKind::InvalidQuery,
        Some("22P02") => ErrorKind::InvalidQuery,
        Some("25006") => ErrorKind::PermissionDenied,
        _ => return error,
    };
    let several = state.as_deref() == Some("42601") && error.message().contains("multiple commands");
    let mapped = of_kind(&error, kind, if several { "one statement at a time" } else { error.message() });
    if state.as_deref() == Some("25006") { mapped.with("hint", TO_WRITE) } else { mapped }
}
