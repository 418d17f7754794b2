//! An object that is uploaded in parts, several on their way at a time.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{Error, ErrorKind, Key, Result, Retry, Upload};
use tokio::task::JoinSet;

/// Parts on their way at a time, for one object: with the one being filled they are what an upload
/// takes of memory.
const AT_A_TIME: usize = 3;

/// An upload that a store has begun.
#[async_trait]
pub(crate) trait Parts: Debug + Send + Sync + 'static {
    /// Sends a part; gives the store's name for it.
    async fn send(&self, number: usize, bytes: Bytes) -> Result<String>;
    /// Makes the object of all parts, in their order.
    async fn complete(&self, parts: Vec<String>) -> Result<()>;
    /// Makes an empty object: stores of the S3 family refuse an upload without parts.
    async fn complete_empty(&self) -> Result<()>;
    /// Gives all parts up.
    async fn abort(&self) -> Result<()>;
}

/// The upload. A part that failed and may be tried again is kept, and goes with the next call.
#[derive(Debug)]
pub(crate) struct PartsUpload {
    parts: Arc<dyn Parts>,
    key: Key,
    next: usize,
    under_way: JoinSet<(usize, Bytes, Result<String>)>,
    again: Vec<(usize, Bytes)>,
    done: BTreeMap<usize, String>,
    /// A part failed for good: the object could never be whole.
    broken: bool,
    /// It has come to its end, one way or the other.
    over: bool,
}

impl PartsUpload {
    pub(crate) fn new(parts: Arc<dyn Parts>, key: Key) -> Self {
        let (under_way, again, done) = (JoinSet::new(), Vec::new(), BTreeMap::new());
        Self { parts, key, next: 0, under_way, again, done, broken: false, over: false }
    }

    fn send(&mut self, number: usize, bytes: Bytes) {
        let parts = Arc::clone(&self.parts);
        self.under_way.spawn(async move {
            let sent = parts.send(number, bytes.clone()).await;
            (number, bytes, sent)
        });
    }

    /// Waits until no more than so many parts are on their way.
    async fn wait(&mut self, most: usize) -> Result<()> {
        if self.broken {
            return Err(Error::new(ErrorKind::Io, "an earlier part of the upload failed").with("object", &self.key));
        }
        for (number, bytes) in std::mem::take(&mut self.again) {
            self.send(number, bytes);
        }
        let mut failed = None;
        while self.under_way.len() > most {
            let Some(ended) = self.under_way.join_next().await else { break };
            let (number, bytes, sent) = ended.map_err(|e| {
                self.broken = true;
                Error::new(ErrorKind::Internal, "a part's task failed").with_source(e)
            })?;
            match sent {
                Ok(id) => {
                    self.done.insert(number, id);
                }
                Err(e) => {
                    self.again.push((number, bytes));
                    self.broken |= e.retry() != Retry::Later;
                    failed = Some(e);
                    // The others first: they are on their way already.
                    if self.broken {
                        break;
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Upload for PartsUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        self.wait(AT_A_TIME - 1).await?;
        self.send(self.next, part);
        self.next += 1;
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.wait(0).await?;
        if self.next == 0 {
            self.parts.complete_empty().await?;
        } else {
            self.parts.complete(self.done.values().cloned().collect()).await?;
        }
        self.over = true;
        Ok(())
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.over = true;
        // One that arrives later would bring the upload back to life.
        self.under_way.shutdown().await;
        self.parts.abort().await
    }
}

impl Drop for PartsUpload {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // What nobody waits for is given up in the background, if there is still one.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (parts, mut under_way) = (Arc::clone(&self.parts), std::mem::take(&mut self.under_way));
            runtime.spawn(async move {
                under_way.shutdown().await;
                let _ = parts.abort().await;
            });
        }
    }
}

type PutWhole = dyn Fn(Vec<Bytes>) -> futures::future::BoxFuture<'static, Result<()>> + Send + Sync;

/// Parts that are kept until all are there, and then sent as one object.
pub(crate) struct WholeParts {
    put: Box<PutWhole>,
    parts: Mutex<BTreeMap<usize, Bytes>>,
}

impl WholeParts {
    pub(crate) fn new(
        put: impl Fn(Vec<Bytes>) -> futures::future::BoxFuture<'static, Result<()>> + Send + Sync + 'static,
    ) -> Self {
        Self { put: Box::new(put), parts: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Bytes>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for WholeParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WholeParts").finish_non_exhaustive()
    }
}

#[async_trait]
impl Parts for WholeParts {
    async fn send(&self, number: usize, bytes: Bytes) -> Result<String> {
        self.lock().insert(number, bytes);
        Ok(String::new())
    }

    async fn complete(&self, _: Vec<String>) -> Result<()> {
        let whole = self.lock().values().cloned().collect();
        (self.put)(whole).await
    }

    async fn complete_empty(&self) -> Result<()> {
        (self.put)(Vec::new()).await
    }

    async fn abort(&self) -> Result<()> {
        Ok(())
    }
}
