//! An object that comes part by part: a row without a name, which gets it at the end.

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{Key, Result, Upload};
use rusqlite::params;

use crate::storage::{SingleFile, now, number, remove};

/// Dropped, it leaves the nameless row and its parts, which `remove_leftovers` takes away later.
#[derive(Debug)]
pub(crate) struct SingleFileUpload {
    storage: SingleFile,
    key: Key,
    id: i64,
    length: u64,
}

impl SingleFileUpload {
    pub(crate) async fn begin(storage: SingleFile, key: Key) -> Result<Self> {
        let sql = "INSERT INTO objects (name, size, time) VALUES (NULL, 0, ?1)";
        let begin = move |transaction: &rusqlite::Transaction<'_>| {
            transaction.execute(sql, [now()])?;
            Ok(transaction.last_insert_rowid())
        };
        let id = storage.transact(begin).await?;
        Ok(Self { storage, key, id, length: 0 })
    }
}

#[async_trait]
impl Upload for SingleFileUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        let (id, start, length) = (self.id, number(self.length), part.len() as u64);
        let sql = "INSERT INTO parts (object, start, bytes) VALUES (?1, ?2, ?3)";
        self.storage.transact(move |transaction| transaction.execute(sql, params![id, start, &part[..]])).await?;
        self.length += length;
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        let (key, id, length) = (self.key.clone(), self.id, number(self.length));
        let name = move |transaction: &rusqlite::Transaction<'_>| {
            remove(transaction, &key)?;
            let sql = "UPDATE objects SET name = ?1, size = ?2, time = ?3 WHERE id = ?4";
            transaction.execute(sql, params![key.as_str(), length, now(), id]).map(drop)
        };
        self.storage.transact(name).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let id = self.id;
        let remove = move |transaction: &rusqlite::Transaction<'_>| {
            transaction.execute("DELETE FROM objects WHERE id = ?1", [id]).map(drop)
        };
        self.storage.transact(remove).await
    }
}
