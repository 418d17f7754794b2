//! A limit on how fast a storage is written and read, for those that do not go over HTTP: an object
//! or part waits for its turn as a whole.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{Atomicity, Key, ObjectMeta, PutOutcome, Result, Storage, Timestamp, Upload};

use crate::pace::Pace;

#[derive(Debug)]
pub(crate) struct Paced {
    inner: Arc<dyn Storage>,
    up: Arc<Pace>,
    down: Pace,
}

impl Paced {
    /// So many bytes a second each way; `None` is as fast as it goes.
    pub(crate) fn storage(inner: Arc<dyn Storage>, up: Option<u64>, down: Option<u64>) -> Arc<dyn Storage> {
        if up.is_none() && down.is_none() {
            return inner;
        }
        Arc::new(Self { inner, up: Arc::new(Pace::new(up)), down: Pace::new(down) })
    }
}

#[async_trait]
impl Storage for Paced {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn atomicity(&self) -> Atomicity {
        self.inner.atomicity()
    }

    fn notices(&self) -> Vec<String> {
        self.inner.notices()
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        self.up.wait(bytes.len()).await;
        self.inner.put(key, bytes).await
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        self.up.wait(bytes.len()).await;
        self.inner.put_if_absent(key, bytes).await
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        Ok(Box::new(PacedUpload { inner: self.inner.begin_upload(key).await?, up: Arc::clone(&self.up) }))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let bytes = self.inner.get(key).await?;
        self.down.wait(bytes.len()).await;
        Ok(bytes)
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let bytes = self.inner.get_range(key, range).await?;
        self.down.wait(bytes.len()).await;
        Ok(bytes)
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        self.inner.list(prefix, after).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        self.inner.delete(keys).await
    }

    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        self.inner.remove_leftovers(before).await
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        self.inner.free_space().await
    }
}

#[derive(Debug)]
struct PacedUpload {
    inner: Box<dyn Upload>,
    up: Arc<Pace>,
}

#[async_trait]
impl Upload for PacedUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        self.up.wait(part.len()).await;
        self.inner.write(part).await
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner.finish().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}
