//! An upload whose every step may fail.

use async_trait::async_trait;
use bytes::Bytes;

use super::FaultStorage;
use super::state::{Fate, Kind};
use crate::error::Result;
use crate::storage::{Key, Upload};

#[derive(Debug)]
pub(super) struct FaultUpload {
    pub(super) storage: FaultStorage,
    pub(super) key: Key,
    pub(super) inner: Box<dyn Upload>,
    /// What was written so far, kept for a torn object only.
    pub(super) written: Vec<Bytes>,
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
        self.written.push(part.clone());
        self.tear_at_crash(operation.fate).await;
        self.storage.run(operation, &self.key, self.inner.write(part)).await
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let operation = self.storage.begin("upload finish", Kind::Other, Some(&self.key)).await?;
        self.tear_at_crash(operation.fate).await;
        let Self { storage, key, inner, .. } = *self;
        storage.run(operation, &key, inner.finish()).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { storage, key, inner, .. } = *self;
        let operation = storage.begin("upload abort", Kind::Other, Some(&key)).await?;
        storage.run(operation, &key, inner.abort()).await
    }
}
