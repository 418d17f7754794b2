//! One connection to a file, and a statement on it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use deadpool::managed::Object;
use kronos_core::inspect::{ResultColumn, Value};
use kronos_core::{Error, ErrorKind, Result};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, InterruptHandle};

use super::super::error;
use super::guard;
use super::pool::{Opener, Shared, blocking};
use crate::hidden::{is_open, near, without_values};
use crate::inspect::{Connection, Control, Ran, Rows, Statement, Stop, TO_WRITE, used_up};

/// Instructions of SQLite between two looks at whether to stop.
const STEPS: std::ffi::c_int = 10_000;

/// An open file.
pub(crate) struct Opened {
    live: Shared,
    interrupt: Arc<InterruptHandle>,
    /// What runs is to end. An interrupt alone would miss a statement that has not begun yet.
    stopped: Arc<AtomicBool>,
    path: PathBuf,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Opened {
    pub(crate) fn new(mut connection: rusqlite::Connection, path: &Path) -> rusqlite::Result<Self> {
        let (interrupt, stopped) = (Arc::new(connection.get_interrupt_handle()), Arc::new(AtomicBool::new(false)));
        let flag = stopped.clone();
        connection.progress_handler(STEPS, Some(move || flag.load(Ordering::Relaxed)))?;
        Ok(Self { live: Arc::new(Mutex::new(connection)), interrupt, stopped, path: path.to_owned() })
    }

    /// Works with it on a thread that may block.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (live, path) = (self.live.clone(), self.path.clone());
        blocking(move || {
            let mut connection = live.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection).map_err(|error| query_error(error, &path))
        })
        .await
    }

    /// What it may do from now on.
    pub(crate) async fn permit(&self, write: bool) -> Result<()> {
        self.with(move |live| {
            // To take the guard away takes it away, and to set the pragma takes that.
            live.authorizer(None::<fn(rusqlite::hooks::AuthContext<'_>) -> rusqlite::hooks::Authorization>)?;
            live.pragma_update(None, "query_only", !write)?;
            if write { Ok(()) } else { live.authorizer(Some(guard::reading)) }
        })
        .await
    }

    pub(crate) async fn begin(&self, write: bool) -> Result<()> {
        self.permit(write).await?;
        self.with(move |live| live.execute_batch(if write { "BEGIN IMMEDIATE" } else { "BEGIN" })).await
    }

    pub(crate) async fn run(&self, statement: &Statement, rows: &Rows) -> Result<Ran> {
        // The thread outlives a caller that goes; it ends with its reader, or is interrupted.
        let (statement, mut rows) = (statement.clone(), rows.clone());
        let (live, path) = (self.live.clone(), self.path.clone());
        blocking(move || {
            let connection = live.lock().unwrap_or_else(PoisonError::into_inner);
            run(&connection, &statement, &mut rows, &path)
        })
        .await
    }

    pub(crate) async fn control(&self, control: Control) -> Result<()> {
        if matches!(control, Control::Rollback) {
            // A statement that failed may have ended it.
            return self.with(|live| if live.is_autocommit() { Ok(()) } else { live.execute_batch("ROLLBACK") }).await;
        }
        self.with(move |live| live.execute_batch(&control.in_sql(ident))).await
    }

    pub(crate) fn stop(&self) -> Interrupt {
        Interrupt { handle: self.interrupt.clone(), stopped: self.stopped.clone() }
    }
}

/// A connection out of the pool; closed when it is dropped without being given back.
#[derive(Debug)]
pub(crate) struct Pooled(Option<Object<Opener>>);

impl Pooled {
    pub(super) fn new(object: Object<Opener>) -> Self {
        Self(Some(object))
    }

    pub(super) fn opened(&self) -> Result<&Opened> {
        self.0.as_deref().ok_or_else(used_up)
    }
}

#[async_trait]
impl Connection for Pooled {
    async fn ping(&mut self) -> Result<()> {
        self.opened()?.with(|live| live.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))).await
    }

    async fn writing(&mut self) -> Result<()> {
        self.opened()?.permit(true).await
    }

    async fn begin(&mut self, write: bool) -> Result<()> {
        self.opened()?.begin(write).await
    }

    /// There is no server that would; the statement is interrupted.
    async fn limit(&mut self, _: Duration) -> Result<()> {
        Ok(())
    }

    async fn run(&mut self, statement: &Statement, rows: &mut Rows) -> Result<Ran> {
        self.opened()?.run(statement, rows).await
    }

    async fn control(&mut self, control: Control) -> Result<()> {
        self.opened()?.control(control).await
    }

    fn stop(&self) -> Box<dyn Stop> {
        match &self.0 {
            Some(opened) => Box::new(opened.stop()),
            None => Box::new(Nothing),
        }
    }

    async fn give_back(mut self) {
        drop(self.0.take());
    }

    async fn close(self) {}
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            // Out of the pool, and closed with the last who holds it.
            drop(Object::take(object));
        }
    }
}

/// Ends what runs on a connection, and whatever would run on it later.
pub(crate) struct Interrupt {
    handle: Arc<InterruptHandle>,
    stopped: Arc<AtomicBool>,
}

#[async_trait]
impl Stop for Interrupt {
    async fn stop(&self) -> Result<()> {
        self.stopped.store(true, Ordering::Relaxed);
        self.handle.interrupt();
        Ok(())
    }
}

/// Nothing runs on a connection that was given back.
struct Nothing;

#[async_trait]
impl Stop for Nothing {
    async fn stop(&self) -> Result<()> {
        Ok(())
    }
}

/// An identifier in SQL, always quoted.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn run(connection: &rusqlite::Connection, statement: &Statement, rows: &mut Rows, path: &Path) -> Result<Ran> {
    let failed = |error| query_error(error, path);
    let mut texts = Batch::new(connection, &statement.text);
    let Some(mut prepared) = texts.next().map_err(failed)? else {
        return Err(Error::new(ErrorKind::InvalidQuery, "there is no statement"));
    };
    // What comes after it need not be a statement that could run: that there is something is enough.
    if !matches!(texts.next(), Ok(None)) {
        return Err(Error::new(ErrorKind::InvalidQuery, "one statement at a time"));
    }
    if prepared.parameter_count() != statement.parameters.len() {
        return Err(Error::new(ErrorKind::InvalidQuery, "the number of values is not that of the parameters")
            .with("parameters", prepared.parameter_count())
            .with("values", statement.parameters.len()));
    }
    for (place, value) in (1..).zip(&statement.parameters) {
        bind(&mut prepared, place, value).map_err(failed)?;
    }
    let columns: Vec<ResultColumn> = prepared
        .columns()
        .map(|column| ResultColumn {
            name: column.name().to_owned(),
            data_type: column.decl_type().unwrap_or_default().to_owned(),
        })
        .collect();
    let (width, before) = (columns.len(), connection.total_changes());
    if width > 0 {
        rows.columns_blocking(columns);
    }
    let mut found = prepared.raw_query();
    while let Some(row) = found.next().map_err(failed)? {
        let values: rusqlite::Result<Vec<Value>> = (0..width).map(|at| row.get_ref(at).map(value)).collect();
        if !rows.row_blocking(values.map_err(failed)?) {
            return Ok(Ran::Enough);
        }
    }
    // What foreign keys and triggers changed with it is not its own; without any change, the number is
    // still that of the statement before.
    let affected = if connection.total_changes() == before { 0 } else { connection.changes() };
    Ok(Ran::Whole(Some(affected)))
}

fn bind(prepared: &mut rusqlite::Statement<'_>, place: usize, value: &Value) -> rusqlite::Result<()> {
    match value {
        Value::Null => prepared.raw_bind_parameter(place, rusqlite::types::Null),
        Value::Bool(value) => prepared.raw_bind_parameter(place, value),
        Value::Int(value) => prepared.raw_bind_parameter(place, value),
        // SQLite has no larger numbers; as text none of its digits is lost.
        Value::UInt(value) => match i64::try_from(*value) {
            Ok(value) => prepared.raw_bind_parameter(place, value),
            Err(_) => prepared.raw_bind_parameter(place, value.to_string()),
        },
        Value::Float(value) => prepared.raw_bind_parameter(place, value),
        Value::Text(value) | Value::Json(value) => prepared.raw_bind_parameter(place, value),
        Value::Bytes(value) => prepared.raw_bind_parameter(place, value),
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Float(value),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(bytes.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

/// A message of SQLite without what it quotes, but for a name at which a statement was not understood.
fn shown(message: &str, is_open: bool) -> String {
    match message.strip_prefix("near \"") {
        Some(_) if is_open => "syntax error: is a quote missing?".to_owned(),
        Some(rest) => format!("syntax error{}", near(rest)),
        // The path, with what may be a key in it.
        None if message.starts_with(UNABLE) => UNABLE.to_owned(),
        None => without_values(message),
    }
}

const UNABLE: &str = "unable to open database";

/// An error with the kind that callers of the service branch on.
pub(crate) fn query_error(error: rusqlite::Error, path: &Path) -> Error {
    use rusqlite::ErrorCode;
    // Without the statement, which may have secrets in it.
    let error = match error {
        rusqlite::Error::SqlInputError { error, msg, sql, .. } => {
            rusqlite::Error::SqliteFailure(error, Some(shown(&msg, is_open(&sql))))
        }
        rusqlite::Error::SqliteFailure(error, Some(text)) => {
            rusqlite::Error::SqliteFailure(error, Some(shown(&text, false)))
        }
        other => other,
    };
    let (code, text) = (error.sqlite_error_code(), error.to_string());
    let kind = match code {
        Some(ErrorCode::Unknown) if text.starts_with("no such table") => ErrorKind::NotFound,
        Some(ErrorCode::Unknown) => ErrorKind::InvalidQuery,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => ErrorKind::QueryFailed,
        Some(ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied) => {
            return Error::new(ErrorKind::PermissionDenied, "the session only reads")
                .with("path", path.display())
                .with("sqlite", text)
                .with("hint", TO_WRITE);
        }
        _ => return error::sqlite(error, path),
    };
    Error::new(kind, text.lines().next().unwrap_or_default()).with("path", path.display())
}
