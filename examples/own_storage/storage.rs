//! The storage. An object is a row with a name, and its bytes are the parts that point to that row;
//! what has no name yet is still being uploaded. That one transaction gives a name is all that
//! makes `put_if_absent` and uploads atomic.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{
    Atomicity, Error, ErrorKind, Key, ObjectMeta, PutOutcome, Result, Retry, Storage, Timestamp, Upload,
};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, ffi, params};

use crate::upload::SingleFileUpload;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    -- Durable means: after a loss of power as well. WAL mode alone does not promise that.
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    CREATE TABLE IF NOT EXISTS objects (id INTEGER PRIMARY KEY, name TEXT UNIQUE, size INTEGER NOT NULL, time INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS parts (object INTEGER NOT NULL REFERENCES objects ON DELETE CASCADE,
                                      start INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (object, start));";

/// A storage in one SQLite file. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SingleFile {
    name: String,
    database: Arc<Mutex<Connection>>,
}

impl SingleFile {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Arc<dyn Storage>> {
        let name = format!("single:{}", path.as_ref().display());
        let database = Connection::open(path).and_then(|database| {
            database.busy_timeout(std::time::Duration::from_secs(10))?;
            database.execute_batch(SCHEMA)?;
            Ok(database)
        });
        let database = Arc::new(Mutex::new(database.map_err(|e| failed(e).with("storage", &name))?));
        Ok(Arc::new(Self { name, database }))
    }

    /// Runs one transaction on a thread that may wait for the disk.
    pub(crate) async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let database = Arc::clone(&self.database);
        let done = tokio::task::spawn_blocking(move || {
            let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
            // At once for writing: two that read first and write then would end in a deadlock.
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        done.await
            .map_err(|e| Error::new(ErrorKind::Internal, "a worker thread failed").with_source(e))?
            .map_err(failed)
    }

    /// The size of an object and a range of its bytes; of the whole, if none is named. Size and
    /// bytes come from one transaction: the object may be replaced at any time.
    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<(u64, Bytes)> {
        let name = key.clone();
        let read = move |transaction: &Transaction<'_>| {
            let Some(meta) = find(transaction, &name)? else { return Ok(None) };
            let range = range.unwrap_or(0..meta.size);
            let sql = "SELECT substr(bytes, max(?2 - start, 0) + 1, min(?3, start + length(bytes)) - max(?2, start))
                       FROM parts WHERE object = (SELECT id FROM objects WHERE name = ?1)
                       AND start < ?3 AND start + length(bytes) > ?2 ORDER BY start";
            let mut parts = transaction.prepare(sql)?;
            let parts =
                parts.query_map(params![name.as_str(), number(range.start), number(range.end)], |row| row.get(0))?;
            let parts: Vec<Vec<u8>> = parts.collect::<Result<_, _>>()?;
            Ok(Some((meta.size, Bytes::from(parts.concat()))))
        };
        self.transact(read).await?.ok_or_else(|| not_found(key))
    }
}

/// What went wrong, as the kind on which callers branch, and whether it passes by itself.
fn failed(error: rusqlite::Error) -> Error {
    let (kind, retry) = match error.sqlite_error_code() {
        Some(ffi::ErrorCode::DatabaseBusy | ffi::ErrorCode::DatabaseLocked) => (ErrorKind::Locked, Retry::Later),
        Some(ffi::ErrorCode::DiskFull) => (ErrorKind::StorageFull, Retry::Never),
        Some(ffi::ErrorCode::DatabaseCorrupt | ffi::ErrorCode::NotADatabase) => (ErrorKind::Corrupt, Retry::Never),
        Some(ffi::ErrorCode::PermissionDenied | ffi::ErrorCode::ReadOnly) => {
            (ErrorKind::PermissionDenied, Retry::Never)
        }
        _ => (ErrorKind::Io, Retry::Never),
    };
    Error::new(kind, "the storage's database failed").with_retry(retry).with_source(error)
}

fn not_found(key: &Key) -> Error {
    Error::new(ErrorKind::NotFound, "no such object").with("object", key)
}

/// A number as SQLite has it; objects are far smaller than what could be lost here.
pub(crate) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) fn now() -> i64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// What a row says of an object. Names that are no keys are not ours.
fn meta(row: &Row<'_>) -> rusqlite::Result<Option<ObjectMeta>> {
    let (name, size, time): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (size, modified) = (size.unsigned_abs(), Some(Timestamp::from_micros(time)));
    Ok(Key::new(name).ok().map(|key| ObjectMeta { key, size, modified }))
}

fn find(transaction: &Transaction<'_>, key: &Key) -> rusqlite::Result<Option<ObjectMeta>> {
    let sql = "SELECT name, size, time FROM objects WHERE name = ?1";
    transaction.query_row(sql, [key.as_str()], meta).optional().map(Option::flatten)
}

fn put(transaction: &Transaction<'_>, key: &Key, bytes: &Bytes) -> rusqlite::Result<PutOutcome> {
    let sql = "INSERT OR IGNORE INTO objects (name, size, time) VALUES (?1, ?2, ?3)";
    if transaction.execute(sql, params![key.as_str(), number(bytes.len() as u64), now()])? == 0 {
        return Ok(PutOutcome::Exists);
    }
    let sql = "INSERT INTO parts (object, start, bytes) VALUES (?1, 0, ?2)";
    transaction.execute(sql, params![transaction.last_insert_rowid(), &bytes[..]])?;
    Ok(PutOutcome::Created)
}

pub(crate) fn remove(transaction: &Transaction<'_>, key: &Key) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM objects WHERE name = ?1", [key.as_str()]).map(drop)
}

#[async_trait]
impl Storage for SingleFile {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn atomicity(&self) -> Atomicity {
        // SQLite's transactions.
        Atomicity::Proven
    }

    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        let key = key.clone();
        let replace = move |transaction: &Transaction<'_>| {
            remove(transaction, &key)?;
            put(transaction, &key, &bytes).map(drop)
        };
        self.transact(replace).await
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        let key = key.clone();
        self.transact(move |transaction| put(transaction, &key, &bytes)).await
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        Ok(Box::new(SingleFileUpload::begin(self.clone(), key.clone()).await?))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.read(key, None).await.map(|(_, bytes)| bytes)
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let (size, bytes) = self.read(key, Some(range.clone())).await?;
        if range.start > range.end || range.end > size {
            let error = Error::new(ErrorKind::Corrupt, "the object is shorter than it should be").with("object", key);
            return Err(error.with("size", size).with("range", format!("{range:?}")));
        }
        Ok(bytes)
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let name = key.clone();
        self.transact(move |transaction| find(transaction, &name)).await?.ok_or_else(|| not_found(key))
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        // Whole parts only: below `a` are names from `a/` up to, but not with, `a0`, for `0` follows `/`.
        let (from, to) = prefix.map_or((String::new(), "\u{7f}".to_owned()), |p| (format!("{p}/"), format!("{p}0")));
        let after = after.map_or(String::new(), Key::to_string);
        let found: Vec<Option<ObjectMeta>> = self
            .transact(move |transaction| {
                let sql = "SELECT name, size, time FROM objects
                           WHERE name >= ?1 AND name < ?2 AND name > ?3 ORDER BY name LIMIT 1000";
                transaction.prepare(sql)?.query_map([from, to, after], meta)?.collect()
            })
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        let keys = keys.to_vec();
        self.transact(move |transaction| keys.iter().try_for_each(|key| remove(transaction, key))).await
    }

    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM objects WHERE name IS NULL AND time < ?1";
        let removed = self.transact(move |transaction| transaction.execute(sql, [before.as_micros()])).await?;
        Ok(removed as u64)
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        // The disk's, which this file shares with others: nothing it could promise.
        Ok(None)
    }
}
