//! Opens a database that someone else may be using, and leaves no trace when it is closed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{error, ffi};

/// How long a lock of another program is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// An open database. Dropping it ends its transaction and closes it.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
    /// The `-shm` file is ours to remove: a log was there, but nobody who used it.
    remove_shared_memory: bool,
}

impl Database {
    /// Opens an existing database for reading.
    ///
    /// Read-write where that is allowed: only then does SQLite remove the side files again that it
    /// makes for a cleanly closed WAL database. Where a log is there already, closing must not
    /// touch it, nor copy it into the main file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (connection, path, remove_shared_memory) = connect(path)?;
        connection
            .execute_batch("PRAGMA query_only=ON; PRAGMA mmap_size=0; PRAGMA trusted_schema=OFF")
            .map_err(|e| error::sqlite(e, &path))?;
        Ok(Self { connection, path, remove_shared_memory })
    }

    /// The connection.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where the file really is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a read transaction and makes sure that the snapshot is taken now, not later.
    pub(super) fn begin(&self) -> Result<()> {
        self.connection
            .execute_batch("BEGIN")
            .and_then(|()| self.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))
            .map_err(|e| error::sqlite(e, &self.path))
    }

    /// The value of a pragma that gives one.
    pub(super) fn pragma<T: rusqlite::types::FromSql>(&self, name: &str) -> Result<T> {
        self.connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| error::sqlite(e, &self.path))
    }

    /// Ends the read transaction. An error if it was not open any more: then what was read in it
    /// was no snapshot.
    pub(super) fn end(&self) -> Result<()> {
        if self.connection.is_autocommit() {
            return Err(error::internal("the read transaction ended early").with("path", self.path.display()));
        }
        self.connection.execute_batch("COMMIT").map_err(|e| error::sqlite(e, &self.path))
    }
}

/// A connection to an existing database, the real path of its file, and whether there was a log that
/// nobody used. Closing it leaves a log that was there as it is.
pub(super) fn connect(path: &Path) -> Result<(Connection, PathBuf, bool)> {
    // An absolute path is never taken for a URI, and side files lie beside the real file.
    let path = fs::canonicalize(path).map_err(|e| error::io(e, path))?;
    let found = fs::metadata(&path).map_err(|e| error::io(e, &path))?;
    if found.is_dir() {
        return Err(Error::new(ErrorKind::Config, "a directory, not a SQLite database").with("path", path.display()));
    }
    if !found.is_file() {
        return Err(Error::new(ErrorKind::Config, "not a regular file").with("path", path.display()));
    }
    let log = fs::metadata(side_file(&path, "-wal")).ok();
    // SQLite would delete the log: it may be all that is left of the data.
    if found.size() == 0 && log.as_ref().is_some_and(|log| log.size() > 0) {
        return Err(Error::new(ErrorKind::Corrupt, "the database is empty, but its write-ahead log is not")
            .with("path", path.display()));
    }
    let is_unused = log.is_some() && !side_file(&path, "-shm").exists();
    let failed = |e| error::sqlite(e, &path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
    if log.is_some() {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    }
    connection.busy_timeout(BUSY).map_err(failed)?;
    Ok((connection, path, is_unused))
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() && self.connection.execute_batch("ROLLBACK").is_err() {
            return;
        }
        if self.remove_shared_memory {
            // A file too many is no failure of the backup: SQLite makes and removes it by itself.
            let _ = ffi::remove_shared_memory(&self.connection);
        }
    }
}

/// The path of a file beside the database: `-wal`, `-shm`, `-journal`.
pub(super) fn side_file(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
