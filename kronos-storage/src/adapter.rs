//! Makes a storage of any store of the crate `object_store`; the only file that knows that crate.
//!
//! Local directories don't go through here. Its local store creates files with the permissions
//! of the umask, so that others could read them, and does not make removals durable.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use kronos_core::{Error, ErrorKind, Key, ObjectMeta, PutOutcome, Result, Retry, Storage, Timestamp, Upload};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

/// How many objects a page of a listing has.
const PAGE: usize = 1000;

/// A storage in memory, for tests and trials; `name` is shown to people.
pub fn memory(name: &str) -> Arc<dyn Storage> {
    Arc::new(Adapter { store: Arc::new(InMemory::new()), name: format!("memory:{name}") })
}

#[derive(Debug)]
struct Adapter {
    /// It must list in the order of names, as all that we know do; `list` checks it.
    store: Arc<dyn ObjectStore>,
    name: String,
}

impl Adapter {
    /// Why a range could not be read whole: it reaches past the end, or what the store says.
    async fn why_not(&self, key: &Key, range: &Range<u64>, error: Option<Error>) -> Error {
        let size = match self.head(key).await {
            Ok(meta) => meta.size,
            Err(e) => return e,
        };
        match error {
            Some(error) if range.start <= range.end && range.end <= size => error,
            _ => Error::new(ErrorKind::Corrupt, "the object is shorter than it should be")
                .with("object", key)
                .with("size", size)
                .with("range", format!("{range:?}")),
        }
    }
}

fn path(key: &Key) -> Result<Path> {
    // Parsed, not converted: a conversion would escape the `%` that a key may hold.
    Path::parse(key.as_str()).map_err(|e| {
        Error::new(ErrorKind::Config, "the store cannot hold an object of this name").with("object", key).with_source(e)
    })
}

fn meta(found: &object_store::ObjectMeta, key: Key) -> ObjectMeta {
    let modified = Some(Timestamp::from_micros(found.last_modified.timestamp_micros()));
    ObjectMeta { key, size: found.size, modified }
}

fn failed(error: object_store::Error, object: impl std::fmt::Display) -> Error {
    use object_store::Error as E;
    let (kind, message, retry) = match &error {
        E::NotFound { .. } => (ErrorKind::NotFound, "no such object", Retry::Never),
        E::AlreadyExists { .. } => (ErrorKind::AlreadyExists, "the object exists already", Retry::Never),
        E::Precondition { .. } => (ErrorKind::Conflict, "the object was changed meanwhile", Retry::Never),
        E::PermissionDenied { .. } => (ErrorKind::PermissionDenied, "the store does not allow it", Retry::Never),
        E::Unauthenticated { .. } => (ErrorKind::Authentication, "the store refuses the login", Retry::Never),
        E::NotSupported { .. } | E::NotImplemented { .. } => {
            (ErrorKind::Unsupported, "the store cannot do it", Retry::Never)
        }
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => {
            (ErrorKind::Config, "the store does not take it", Retry::Never)
        }
        // The rest is what came over a network: nothing speaks against trying again.
        _ => (ErrorKind::Io, "the store failed", Retry::Later),
    };
    Error::new(kind, message).with_retry(retry).with("object", object).with_source(error)
}

#[async_trait]
impl Storage for Adapter {
    fn describe(&self) -> String {
        self.name.clone()
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        self.store.put(&path(key)?, PutPayload::from(bytes)).await.map_err(|e| failed(e, key))?;
        Ok(())
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        match self.store.put_opts(&path(key)?, PutPayload::from(bytes), PutMode::Create.into()).await {
            Ok(_) => Ok(PutOutcome::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(PutOutcome::Exists),
            Err(e) => Err(failed(e, key)),
        }
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        let path = path(key)?;
        let inner = self.store.put_multipart(&path).await.map_err(|e| failed(e, key))?;
        let store = Arc::clone(&self.store);
        Ok(Box::new(AdapterUpload { store, path, key: key.clone(), inner, parts: 0, broken: false }))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let found = self.store.get(&path(key)?).await.map_err(|e| failed(e, key))?;
        found.bytes().await.map_err(|e| failed(e, key))
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            // Stores refuse empty ranges.
            let size = self.head(key).await?.size;
            if range.start == range.end && range.end <= size {
                return Ok(Bytes::new());
            }
            return Err(self.why_not(key, &range, None).await);
        }
        match self.store.get_range(&path(key)?, range.clone()).await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(_) => Err(self.why_not(key, &range, None).await),
            Err(e) => {
                let error = failed(e, key);
                // Each store has its own way to say that a range reaches past the end.
                if error.kind() == ErrorKind::Io {
                    Err(self.why_not(key, &range, Some(error)).await)
                } else {
                    Err(error)
                }
            }
        }
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let found = self.store.head(&path(key)?).await.map_err(|e| failed(e, key))?;
        Ok(meta(&found, key.clone()))
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        let below = prefix.map(path).transpose()?;
        let found = match after {
            Some(after) => self.store.list_with_offset(below.as_ref(), &path(after)?),
            None => self.store.list(below.as_ref()),
        };
        let page: Vec<ObjectMeta> = found
            .try_filter_map(async |found| {
                // What is not named as Kronos names objects is not ours.
                Ok(Key::new(found.location.as_ref()).ok().map(|key| meta(&found, key)))
            })
            .take(PAGE)
            .try_collect()
            .await
            .map_err(|e| failed(e, prefix.map_or("", Key::as_str)))?;
        if !page.is_sorted_by(|a, b| a.key < b.key) {
            return Err(Error::new(ErrorKind::Unsupported, "the store does not list in the order of names")
                .with("storage", &self.name));
        }
        Ok(page)
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        match self.store.delete(&path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed(e, key)),
        }
    }

    async fn remove_leftovers(&self, _: Timestamp) -> Result<u64> {
        Ok(0)
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

#[derive(Debug)]
struct AdapterUpload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    key: Key,
    inner: Box<dyn MultipartUpload>,
    parts: usize,
    /// A part failed or was given up half way: the object could never be whole.
    broken: bool,
}

#[async_trait]
impl Upload for AdapterUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(broken(&self.key));
        }
        self.inner.put_part(PutPayload::from(part)).await.map_err(|e| failed(e, &self.key))?;
        self.parts += 1;
        self.broken = false;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        if self.broken {
            return Err(broken(&self.key));
        }
        if self.parts == 0 {
            // Stores of the S3 family refuse an upload without parts.
            self.inner.abort().await.map_err(|e| failed(e, &self.key))?;
            self.store.put(&self.path, PutPayload::new()).await.map_err(|e| failed(e, &self.key))?;
        } else {
            self.inner.complete().await.map_err(|e| failed(e, &self.key))?;
        }
        Ok(())
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.inner.abort().await.map_err(|e| failed(e, &self.key))
    }
}

fn broken(key: &Key) -> Error {
    Error::new(ErrorKind::Io, "an earlier part of the upload failed").with("object", key)
}
