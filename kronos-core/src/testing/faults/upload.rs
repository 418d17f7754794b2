//! An upload whose every step may fail.

use async_trait::async_trait;
use bytes::Bytes;

use super::FaultStorage;
use super::state::{Fate, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Key, Upload};

#[derive(Debug)]
pub(super) struct FaultUpload {
    pub(super) storage: FaultStorage,
    pub(super) key: Key,
    pub(super) inner: Box<dyn Upload>,
    /// What was written so far, kept for a torn object only.
    pub(super) written: Vec<Bytes>,
    /// It is there, and its maker does not know.
    pub(super) ended: bool,
}

impl FaultUpload {
    /// The object as a store that is not atomic shows it after a crash.
    async fn tear_at_crash(&mut self, fate: Fate) {
        if matches!(fate, Fate::Crash { torn: true, .. }) {
            self.storage.tear(&self.key, &self.written.concat()).await;
        }
    }
}

#[async_trait]
impl Upload for FaultUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        let operation = self.storage.begin("upload part", Kind::Other, Some(&self.key)).await?;
        self.tear_at_crash(operation.fate).await;
        // What is told to have failed must not have been taken: it comes again.
        if operation.fate == Fate::ErrorAfter {
            return self.storage.run(operation, &self.key, async { Err::<(), _>(self.storage.fault(&self.key)) }).await;
        }
        self.storage.run(operation, &self.key, self.inner.write(part.clone())).await?;
        self.written.push(part);
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        let operation = self.storage.begin("upload finish", Kind::Other, Some(&self.key)).await?;
        self.tear_at_crash(operation.fate).await;
        // Whose answer was lost finds the upload gone when it asks again.
        if std::mem::replace(&mut self.ended, operation.fate == Fate::ErrorAfter) {
            let gone = Error::new(ErrorKind::NotFound, "injected: there is no such upload any more");
            return self.storage.run(operation, &self.key, async { Err::<(), _>(gone) }).await;
        }
        self.storage.run(operation, &self.key, self.inner.finish()).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { storage, key, inner, .. } = *self;
        let operation = storage.begin("upload abort", Kind::Other, Some(&key)).await?;
        storage.run(operation, &key, inner.abort()).await
    }
}
