//! A storage in memory that breaks down, or is slow.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::testing::MemoryStorage;
use kronos_core::{Atomicity, Error, ErrorKind, Key, ObjectMeta, PutOutcome, Result, Storage, Timestamp, Upload};

/// What is the matter with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// The operation of this number fails, and none else.
    At(u64),
    /// From the operation of this number on all fail.
    From(u64),
    /// The operation of this number has its effect, and its answer is lost; from then on all fail.
    Silent(u64),
    /// From the operation of this number on none ever ends.
    Hangs(u64),
    /// Each operation takes so long.
    Slow(Duration),
}

/// A memory storage in trouble. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Troubled {
    pub inner: MemoryStorage,
    name: String,
    trouble: Trouble,
    operations: Arc<AtomicU64>,
}

impl Troubled {
    pub(crate) fn new(name: &str, inner: &MemoryStorage, trouble: Trouble) -> Self {
        Self { inner: inner.clone(), name: name.to_owned(), trouble, operations: Arc::default() }
    }

    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::SeqCst)
    }

    async fn trouble<T>(&self, effect: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let number = self.operations.fetch_add(1, Ordering::SeqCst) + 1;
        let broken = || Error::new(ErrorKind::Io, "the disk is broken").with("operation", number);
        match self.trouble {
            Trouble::At(at) if number == at => Err(broken()),
            Trouble::From(from) if number >= from => Err(broken()),
            Trouble::Silent(from) if number > from => Err(broken()),
            Trouble::Silent(at) if number == at => effect.await.and(Err(broken())),
            Trouble::Hangs(from) if number >= from => std::future::pending().await,
            Trouble::Slow(pause) => {
                tokio::time::sleep(pause).await;
                effect.await
            }
            _ => effect.await,
        }
    }
}

#[async_trait]
impl Storage for Troubled {
    fn describe(&self) -> String {
        self.name.clone()
    }
    fn atomicity(&self) -> Atomicity {
        self.inner.atomicity()
    }
    fn notices(&self) -> Vec<String> {
        self.inner.notices()
    }
    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        self.trouble(self.inner.put(key, bytes)).await
    }
    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        self.trouble(self.inner.put_if_absent(key, bytes)).await
    }
    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        let inner = self.trouble(self.inner.begin_upload(key)).await?;
        Ok(Box::new(TroubledUpload { storage: self.clone(), inner }))
    }
    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.trouble(self.inner.get(key)).await
    }
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        self.trouble(self.inner.get_range(key, range)).await
    }
    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        self.trouble(self.inner.head(key)).await
    }
    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        self.trouble(self.inner.list(prefix, after)).await
    }
    async fn delete(&self, keys: &[Key]) -> Result<()> {
        self.trouble(self.inner.delete(keys)).await
    }
    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        self.trouble(self.inner.remove_leftovers(before)).await
    }
    async fn free_space(&self) -> Result<Option<u64>> {
        self.trouble(self.inner.free_space()).await
    }
}

#[derive(Debug)]
struct TroubledUpload {
    storage: Troubled,
    inner: Box<dyn Upload>,
}

#[async_trait]
impl Upload for TroubledUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        let Self { storage, inner } = self;
        storage.trouble(inner.write(part)).await
    }
    async fn finish(&mut self) -> Result<()> {
        let Self { storage, inner } = self;
        storage.trouble(inner.finish()).await
    }
    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { storage, inner } = *self;
        storage.trouble(inner.abort()).await
    }
}
