//! A storage whose requests are timed and counted.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{Atomicity, Clock, ErrorKind, Key, ObjectMeta, PutOutcome, Result, Storage, Timestamp, Upload};

use super::Metrics;

/// Hands every request on to another storage, and tells the metrics how long it took, whether it
/// failed, and how many bytes went. An object that is not there is an answer, not a failure.
#[derive(Debug)]
pub struct MeasuredStorage {
    inner: Arc<dyn Storage>,
    meter: Meter,
}

impl MeasuredStorage {
    /// Measures a storage under its name in the configuration.
    pub fn new(inner: Arc<dyn Storage>, name: &str, metrics: Metrics, clock: Arc<dyn Clock>) -> Self {
        Self { inner, meter: Meter { name: name.into(), metrics, clock } }
    }
}

#[derive(Clone)]
struct Meter {
    name: Arc<str>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Meter {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Notes a request with what it sent; tells its result on.
    fn note<T>(&self, request: &str, began: Timestamp, sent: usize, result: Result<T>) -> Result<T> {
        let failed = result.as_ref().is_err_and(|e| e.kind() != ErrorKind::NotFound);
        let took = self.clock.now().since(began);
        self.metrics.figures().with_storage(&self.name, |storage| {
            if !storage.requests.contains_key(request) {
                storage.requests.insert(request.to_owned(), super::latency::Latency::default());
            }
            if let Some(latency) = storage.requests.get_mut(request) {
                latency.add(took, failed);
            }
            if !failed {
                storage.sent += sent as u64;
            }
        });
        result
    }

    fn received(&self, result: Result<Bytes>) -> Result<Bytes> {
        if let Ok(bytes) = &result {
            self.metrics.figures().with_storage(&self.name, |storage| storage.received += bytes.len() as u64);
        }
        result
    }
}

#[async_trait]
impl Storage for MeasuredStorage {
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
        let (began, sent) = (self.meter.now(), bytes.len());
        self.meter.note("put", began, sent, self.inner.put(key, bytes).await)
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        let (began, sent) = (self.meter.now(), bytes.len());
        self.meter.note("put", began, sent, self.inner.put_if_absent(key, bytes).await)
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        let began = self.meter.now();
        let upload = self.meter.note("begin_upload", began, 0, self.inner.begin_upload(key).await)?;
        Ok(Box::new(MeasuredUpload { inner: upload, meter: self.meter.clone() }))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let began = self.meter.now();
        self.meter.received(self.meter.note("get", began, 0, self.inner.get(key).await))
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let began = self.meter.now();
        self.meter.received(self.meter.note("get", began, 0, self.inner.get_range(key, range).await))
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let began = self.meter.now();
        self.meter.note("head", began, 0, self.inner.head(key).await)
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        let began = self.meter.now();
        self.meter.note("list", began, 0, self.inner.list(prefix, after).await)
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        let began = self.meter.now();
        self.meter.note("delete", began, 0, self.inner.delete(keys).await)
    }

    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        self.inner.remove_leftovers(before).await
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        self.inner.free_space().await
    }
}

#[derive(Debug)]
struct MeasuredUpload {
    inner: Box<dyn Upload>,
    meter: Meter,
}

#[async_trait]
impl Upload for MeasuredUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        let (began, sent) = (self.meter.now(), part.len());
        self.meter.note("upload_part", began, sent, self.inner.write(part).await)
    }

    async fn finish(&mut self) -> Result<()> {
        let began = self.meter.now();
        self.meter.note("finish_upload", began, 0, self.inner.finish().await)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}
