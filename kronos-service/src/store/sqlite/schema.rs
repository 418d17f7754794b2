//! The tables of the job store, and how a file of an older version becomes one of this.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, Retry};
use rusqlite::{Connection, TransactionBehavior};

use super::failed;
use crate::failure::of_file;

/// Each step leads from the version of its place to the next one. Steps are only ever added.
const STEPS: [&str; 1] = ["
CREATE TABLE tasks (
    job TEXT NOT NULL,
    operation TEXT NOT NULL,
    rule TEXT NOT NULL,
    handled INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    paused INTEGER,
    retired INTEGER NOT NULL,
    PRIMARY KEY (job, operation)
) STRICT, WITHOUT ROWID;
-- seq is taken anew when a run ends: the order in which runs ended.
CREATE TABLE runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    job TEXT NOT NULL,
    operation TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    \"trigger\" TEXT NOT NULL,
    due INTEGER,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'ended')),
    moment INTEGER NOT NULL,
    until INTEGER,
    owner TEXT,
    owner_name TEXT,
    begun INTEGER NOT NULL,
    outcome TEXT
) STRICT;
CREATE UNIQUE INDEX one_queued ON runs (job, operation) WHERE state = 'queued';
CREATE UNIQUE INDEX one_running ON runs (job, operation) WHERE state = 'running';
CREATE INDEX runs_ended ON runs (job, operation, seq) WHERE state = 'ended';
CREATE INDEX runs_moment ON runs (moment);
CREATE TABLE skips (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    operation TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    made_up_by TEXT
) STRICT;
CREATE INDEX skips_of ON skips (job, operation, seq);
"];

/// How long another process's transaction is waited for; they take milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn open(path: &Path) -> Result<Connection> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let made = std::fs::create_dir_all(directory);
        made.map_err(|e| of_file(e, "the directory of the job store cannot be made", directory))?;
    }
    // Reports name people's databases and directories; what SQLite makes beside the file is as private.
    let private = File::options().create(true).append(true).mode(0o600).open(path);
    private.map_err(|e| of_file(e, "the job store cannot be opened for writing", path))?;
    let (connection, version) = migrated(path).map_err(|e| failed(e, path))?;
    if usize::try_from(version).is_ok_and(|version| version > STEPS.len()) {
        return Err(Error::new(ErrorKind::Unsupported, "the job store is of a newer Kronos")
            .with("path", path.display())
            .with("version", version)
            .with_retry(Retry::Never));
    }
    Ok(connection)
}

/// The file as this version knows it, and the version that it has now.
fn migrated(path: &Path) -> rusqlite::Result<(Connection, u32)> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A run that has ended must not be forgotten by a loss of power, or it would be made twice.
    connection.pragma_update(None, "synchronous", "full")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for step in STEPS.iter().skip(version as usize) {
        transaction.execute_batch(step)?;
        version += 1;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()?;
    Ok((connection, version))
}
