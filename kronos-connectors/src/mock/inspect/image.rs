//! The committed data: the bytes of a SQLite database in memory.
//!
//! Each connection works on a copy of its own, which it takes when its transaction begins and, if it
//! writes, puts back when it commits. So readers see one moment and hold up nobody, nothing that was
//! not committed is ever seen, and another database with the same data costs nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use kronos_core::{Error, Result};
use rusqlite::Connection;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use crate::sqlite::inspect::connection::query_error;

/// A database that is whole, and changes only by being replaced.
pub(super) type Bytes = Arc<[u8]>;

/// What was committed last.
#[derive(Debug)]
pub(super) struct Image {
    committed: Mutex<Bytes>,
    writer: Arc<Lock<()>>,
}

impl Image {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { committed: Mutex::new(bytes), writer: Arc::default() }
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Only whoever holds the right to write may replace them.
    pub(super) fn replace(&self, bytes: Bytes, _: &OwnedMutexGuard<()>) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    }

    /// The right to write, as one at a time has it.
    pub(super) async fn writer(&self) -> OwnedMutexGuard<()> {
        self.writer.clone().lock_owned().await
    }
}

/// An empty database in memory.
pub(super) fn open() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch("PRAGMA trusted_schema = OFF")?;
    Ok(connection)
}

/// Makes a connection's database the one of these bytes.
pub(super) fn load(connection: &mut Connection, bytes: &[u8]) -> rusqlite::Result<()> {
    connection.deserialize_read_exact("main", bytes, bytes.len(), false)
}

/// The bytes of a connection's database.
pub(super) fn store(connection: &mut Connection) -> rusqlite::Result<Bytes> {
    Ok(Bytes::from(&connection.serialize("main")?[..]))
}

/// The bytes of a database after `work` on it: on one of these bytes, or an empty one.
pub(super) fn make(name: &str, base: Option<Bytes>, work: impl FnOnce(&Connection) -> Result<()>) -> Result<Bytes> {
    let failed = |error| failed(error, name);
    let mut connection = open().map_err(failed)?;
    match base {
        Some(bytes) => load(&mut connection, &bytes).map_err(failed)?,
        // Without any page there would be no bytes.
        None => connection.execute_batch("CREATE TABLE kronos (a); DROP TABLE kronos; VACUUM").map_err(failed)?,
    }
    work(&connection)?;
    store(&mut connection).map_err(failed)
}

/// An error of SQLite, with the name of the database.
pub(super) fn failed(error: rusqlite::Error, name: &str) -> Error {
    query_error(error, Path::new(&place(name)))
}

/// How a database is named in messages.
pub(super) fn place(name: &str) -> String {
    format!("mock:{name}")
}
