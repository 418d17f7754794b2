//! Tries again, as Kronos does.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, Result, Retry};
use crate::storage::{Atomicity, Key, ObjectMeta, PutOutcome, Storage, Upload};
use crate::time::Timestamp;

/// How often, and with which pause.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);

/// A storage over another one, each call of which is made again when it fails with
/// [`Retry::Later`]: for tests on real servers, which now and then break a connection.
#[derive(Debug, Clone)]
pub struct PatientStorage(Arc<dyn Storage>);

impl PatientStorage {
    /// Wraps a storage.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self(inner)
    }
}

/// What to do about the error of an attempt: pause and go on, or give up.
async fn pause(error: Error, attempt: u32) -> Result<()> {
    if error.retry() != Retry::Later || attempt == ATTEMPTS {
        return Err(error);
    }
    tokio::time::sleep(PAUSE * attempt).await;
    Ok(())
}

async fn again<T, F: Future<Output = Result<T>>>(mut call: impl FnMut() -> F) -> Result<T> {
    let mut attempt = 1;
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => pause(error, attempt).await?,
        }
        attempt += 1;
    }
}

#[async_trait]
impl Storage for PatientStorage {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn atomicity(&self) -> Atomicity {
        self.0.atomicity()
    }

    fn notices(&self) -> Vec<String> {
        self.0.notices()
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        again(|| self.0.put(key, bytes.clone())).await
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        let mut attempt = 1;
        loop {
            match self.0.put_if_absent(key, bytes.clone()).await {
                // The answer to the first attempt may be all that was lost.
                Ok(PutOutcome::Exists) if attempt > 1 && self.get(key).await? == bytes => {
                    return Ok(PutOutcome::Created);
                }
                Ok(outcome) => return Ok(outcome),
                Err(error) => pause(error, attempt).await?,
            }
            attempt += 1;
        }
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        Ok(Box::new(PatientUpload(again(|| self.0.begin_upload(key)).await?)))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        again(|| self.0.get(key)).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        again(|| self.0.get_range(key, range.clone())).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        again(|| self.0.head(key)).await
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        again(|| self.0.list(prefix, after)).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        again(|| self.0.delete(keys)).await
    }

    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        again(|| self.0.remove_leftovers(before)).await
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        again(|| self.0.free_space()).await
    }
}

#[derive(Debug)]
struct PatientUpload(Box<dyn Upload>);

#[async_trait]
impl Upload for PatientUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        let mut attempt = 1;
        while let Err(error) = self.0.write(part.clone()).await {
            pause(error, attempt).await?;
            attempt += 1;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        let mut attempt = 1;
        while let Err(error) = self.0.finish().await {
            pause(error, attempt).await?;
            attempt += 1;
        }
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.0.abort().await
    }
}
