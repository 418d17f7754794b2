//! Makes a storage of any store of the crate `object_store`; with what is below it, the only file
//! that knows that crate.
//!
//! Local directories don't go through here. Its local store creates files with the permissions
//! of the umask, so that others could read them, and does not make removals durable. Nothing is
//! tried again here either, for that is the core's: its events tell the user, and its pauses heed
//! what a store asks for.

use std::fmt::{Debug, Display};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use kronos_core::{
    Atomicity, Error, ErrorKind, Key, ObjectMeta, PutOutcome, Result, Retry, Storage, Timestamp, Upload,
};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error as StoreError, MultipartId, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload,
};
use tokio::sync::OnceCell;

#[cfg(feature = "cloud")]
use crate::cloud::{Checksums, Failure, Http, Receiving, Recipe, chain};
use crate::parts::{Parts, PartsUpload, WholeParts};
use crate::words::Words;

/// How many objects a page of a listing has.
const PAGE: usize = 1000;

/// A storage in memory, for tests and trials; `name` is shown to people.
#[cfg(feature = "memory")]
pub fn memory(name: &str) -> Arc<dyn Storage> {
    Arc::new(Adapter {
        store: OnceCell::new_with(Some(Stores::one(object_store::memory::InMemory::new()))),
        make: None,
        name: format!("memory:{name}"),
        prefix: None,
        classes: [None, None],
        whole_packs: false,
        atomicity: Atomicity::Proven,
        degrades: false,
        degraded: AtomicBool::new(false),
        #[cfg(feature = "cloud")]
        http: None,
    })
}

/// What is needed of a store.
#[async_trait]
trait Store: ObjectStore + MultipartStore {
    #[cfg(feature = "cloud")]
    /// The signed address of a list of uploads that were begun and not ended, where there is one.
    async fn unfinished(&self, _: Vec<(&'static str, String)>) -> Option<object_store::Result<String>> {
        None
    }
}

#[cfg(feature = "memory")]
impl Store for object_store::memory::InMemory {}

/// The store, and the same without checksums where they can be left out.
#[derive(Debug, Clone)]
struct Stores {
    first: Arc<dyn Store>,
    plain: Option<Arc<dyn Store>>,
}

impl Stores {
    fn one(store: impl Store) -> Self {
        Self { first: Arc::new(store), plain: None }
    }
}

type Make = dyn Fn() -> futures::future::BoxFuture<'static, Result<Stores>> + Send + Sync;

struct Adapter {
    /// Made at the first use when something must be asked for first, such as the region of a profile.
    store: OnceCell<Stores>,
    make: Option<Box<Make>>,
    name: String,
    prefix: Option<Path>,
    /// Of packs, and of the rest.
    classes: [Option<String>; 2],
    /// The store takes a class only with an object that is sent at once.
    whole_packs: bool,
    atomicity: Atomicity,
    /// Checksums may be left out once the store refuses them.
    degrades: bool,
    degraded: AtomicBool,
    #[cfg(feature = "cloud")]
    http: Option<Http>,
}

impl Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Adapter {
    async fn store(&self) -> Result<Arc<dyn Store>> {
        let make = async || match &self.make {
            Some(make) => make().await,
            None => Err(Error::new(ErrorKind::Internal, "a storage has nothing it could be made of")),
        };
        let stores = self.store.get_or_try_init(make).await?;
        Ok(Arc::clone(match &stores.plain {
            Some(plain) if self.degraded.load(Ordering::Relaxed) => plain,
            _ => &stores.first,
        }))
    }

    /// Whether a refusal may be one of checksums: then the same is worth a try without them.
    fn may_degrade(&self, error: &Error) -> bool {
        let refused = matches!(error.context("status"), Some("400" | "501" | "405"));
        self.degrades && refused && !self.degraded.load(Ordering::Relaxed)
    }

    async fn put_as(&self, key: &Key, bytes: &Bytes, mode: PutMode) -> Result<std::result::Result<(), StoreError>> {
        let path = self.path(key)?;
        let options = || PutOptions { mode: mode.clone(), attributes: self.attributes(key), ..PutOptions::default() };
        let put = |store: Arc<dyn Store>| {
            let (path, payload, options) = (path.clone(), PutPayload::from(bytes.clone()), options());
            async move { store.put_opts(&path, payload, options).await.map(drop) }
        };
        let answer = put(self.store().await?).await;
        let Err(error) = &answer else { return Ok(answer) };
        if !self.may_degrade(&failed(error, key)) {
            return Ok(answer);
        }
        let plain = self.store.get().and_then(|stores| stores.plain.clone());
        let Some(plain) = plain else { return Ok(answer) };
        let second = put(plain).await;
        if second.is_ok() || matches!(second, Err(StoreError::AlreadyExists { .. })) {
            self.degraded.store(true, Ordering::Relaxed);
            return Ok(second);
        }
        Ok(answer)
    }

    fn path(&self, key: &Key) -> Result<Path> {
        // Parsed, not converted: a conversion would escape the `%` that a key may hold.
        let path = match &self.prefix {
            None => Path::parse(key.as_str()),
            Some(prefix) => Path::parse(format!("{prefix}/{key}")),
        };
        path.map_err(|e| {
            let message = "the store cannot hold an object of this name";
            Error::new(ErrorKind::Config, message).with("object", key).with_source(e)
        })
    }

    /// The key of an object; what is not named as Kronos names objects is not ours.
    fn key(&self, path: &Path) -> Option<Key> {
        let name = match &self.prefix {
            None => path.as_ref(),
            Some(prefix) => path.as_ref().strip_prefix(prefix.as_ref())?.strip_prefix('/')?,
        };
        Key::new(name).ok()
    }

    fn class(&self, key: &Key) -> Option<&String> {
        self.classes[usize::from(!key.is_data_pack())].as_ref()
    }

    fn attributes(&self, key: &Key) -> Attributes {
        let class = self.class(key).map(|class| (Attribute::StorageClass, class.clone()));
        class.into_iter().collect()
    }

    /// Why a range could not be read whole: it reaches past the end, or what the store says.
    async fn why_not(&self, key: &Key, range: &Range<u64>, error: Option<Error>) -> Error {
        let size = match self.head(key).await {
            Ok(meta) => meta.size,
            Err(e) => return e,
        };
        match error {
            Some(error) if range.start <= range.end && range.end <= size => error,
            None if range.end <= size => Error::new(ErrorKind::Io, "the store's answer was cut short")
                .with("object", key)
                .with_retry(Retry::Later),
            _ => Error::new(ErrorKind::Corrupt, "the object is shorter than it should be")
                .with("object", key)
                .with("size", size)
                .with("range", format!("{range:?}")),
        }
    }
}

fn meta(found: &object_store::ObjectMeta, key: Key) -> ObjectMeta {
    let modified = Some(Timestamp::from_micros(found.last_modified.timestamp_micros()));
    ObjectMeta { key, size: found.size, modified }
}

fn failed(error: &StoreError, object: impl Display) -> Error {
    use StoreError as E;
    #[cfg(feature = "cloud")]
    if let Some(failure) = chain(error).find_map(|error| error.downcast_ref::<Failure>()) {
        return failure.to_error(object);
    }
    // An answer to a request for several objects, of which some are refused.
    #[cfg(feature = "cloud")]
    if let E::Generic { .. } = error
        && let Some(failure) = Failure::of_words(&error.to_string())
    {
        return failure.to_error(object);
    }
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
    Error::new(kind, message).with_retry(retry).with("object", object).with_source(Words::of(error))
}

#[async_trait]
impl Storage for Adapter {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn atomicity(&self) -> Atomicity {
        self.atomicity
    }

    fn notices(&self) -> Vec<String> {
        let degraded = self.degraded.load(Ordering::Relaxed);
        degraded
            .then(|| {
                format!("{} refuses checksums: it is written without them (checksum=off says so beforehand)", self.name)
            })
            .into_iter()
            .collect()
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        self.put_as(key, &bytes, PutMode::Overwrite).await?.map_err(|e| failed(&e, key))
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        if self.atomicity == Atomicity::SingleWriter {
            // Whether the store knows conditions or only says so, nobody else is there to come between.
            match self.head(key).await {
                Ok(_) => return Ok(PutOutcome::Exists),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
            return self.put(key, bytes).await.map(|()| PutOutcome::Created);
        }
        match self.put_as(key, &bytes, PutMode::Create).await? {
            Ok(()) => Ok(PutOutcome::Created),
            Err(StoreError::AlreadyExists { .. }) => Ok(PutOutcome::Exists),
            Err(e) => Err(failed(&e, key)),
        }
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        let (store, path, attributes) = (self.store().await?, self.path(key)?, self.attributes(key));
        if self.whole_packs && !attributes.is_empty() {
            let put = move |parts: Vec<Bytes>| {
                let (store, path, attributes) = (Arc::clone(&store), path.clone(), attributes.clone());
                let options = PutOptions { attributes, ..PutOptions::default() };
                async move { store.put_opts(&path, parts.into_iter().collect(), options).await.map(drop) }
            };
            let object = key.clone();
            let whole = WholeParts::new(move |parts| {
                Box::pin(put(parts).map_err({
                    let object = object.clone();
                    move |e| failed(&e, object)
                }))
            });
            return Ok(Box::new(PartsUpload::new(Arc::new(whole), key.clone())));
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let begun = if options.attributes.is_empty() {
            store.create_multipart(&path).await
        } else {
            store.create_multipart_opts(&path, options).await
        };
        let id = begun.map_err(|e| failed(&e, key))?;
        let parts = StoreParts { store, path, key: key.clone(), id };
        Ok(Box::new(PartsUpload::new(Arc::new(parts), key.clone())))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let found = self.store().await?.get(&self.path(key)?).await.map_err(|e| failed(&e, key))?;
        let size = found.meta.size;
        let bytes = found.bytes().await.map_err(|e| failed(&e, key))?;
        if bytes.len() as u64 != size {
            return Err(self.why_not(key, &(0..size), None).await);
        }
        Ok(bytes)
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
        match self.store().await?.get_range(&self.path(key)?, range.clone()).await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(_) => Err(self.why_not(key, &range, None).await),
            Err(e) => {
                let error = failed(&e, key);
                // Each store has its own way to say that a range reaches past the end.
                if error.kind() == ErrorKind::Io && error.context("status").is_none() {
                    Err(self.why_not(key, &range, Some(error)).await)
                } else {
                    Err(error)
                }
            }
        }
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let (store, path) = (self.store().await?, self.path(key)?);
        match store.head(&path).await {
            Ok(found) => Ok(meta(&found, key.clone())),
            Err(e) => {
                let error = failed(&e, key);
                // An answer to HEAD has no words; one to GET tells what is refused.
                if error.context("status") == Some("403") && error.context("code").is_none() {
                    return Err(store.get_range(&path, 0..1).await.err().map_or(error, |e| failed(&e, key)));
                }
                Err(error)
            }
        }
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        let below = prefix.map(|prefix| self.path(prefix)).transpose()?.or_else(|| self.prefix.clone());
        let store = self.store().await?;
        let found = match after {
            Some(after) => store.list_with_offset(below.as_ref(), &self.path(after)?),
            None => store.list(below.as_ref()),
        };
        let page: Vec<ObjectMeta> = found
            .try_filter_map(|found| std::future::ready(Ok(self.key(&found.location).map(|key| meta(&found, key)))))
            // Some emulators begin at the beginning nevertheless.
            .try_filter(|found| std::future::ready(after.is_none_or(|after| found.key.follows(after))))
            .take(PAGE)
            .try_collect()
            .await
            .map_err(|e| failed(&e, prefix.map_or("", Key::as_str)))?;
        // SeaweedFS goes through its directories, part by part.
        if !page.is_sorted_by(|a, b| a.key < b.key) && !page.is_sorted_by(|a, b| a.key.cmp_parts(&b.key).is_lt()) {
            return Err(Error::new(ErrorKind::Unsupported, "the store does not list in the order of names")
                .with("storage", &self.name));
        }
        Ok(page)
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        let mut paths = Vec::with_capacity(keys.len());
        for key in keys {
            paths.push(self.path(key)?);
        }
        let store = self.store().await?;
        if let [path] = &paths[..] {
            return gone(store.delete(path).await).map_err(|e| failed(&e, &keys[0]));
        }
        let mut answers = store.delete_stream(futures::stream::iter(paths.into_iter().map(Ok)).boxed());
        let mut first = None;
        while let Some(answer) = answers.next().await {
            if let Err(e) = gone(answer.map(drop)) {
                first.get_or_insert_with(|| failed(&e, keys.first().map_or("", Key::as_str)));
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        #[cfg(feature = "cloud")]
        if let Some(http) = &self.http {
            return made::remove_leftovers(self, http, before).await;
        }
        // What is in memory alone is gone when it is given up.
        let _ = before;
        Ok(0)
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// What is not there any more need not be removed.
fn gone(answer: object_store::Result<()>) -> object_store::Result<()> {
    match answer {
        Err(StoreError::NotFound { .. }) => Ok(()),
        answer => answer,
    }
}

/// An upload as the store knows it.
#[derive(Debug)]
struct StoreParts {
    store: Arc<dyn Store>,
    path: Path,
    key: Key,
    id: MultipartId,
}

#[async_trait]
impl Parts for StoreParts {
    async fn send(&self, number: usize, bytes: Bytes) -> Result<String> {
        let sent = self.store.put_part(&self.path, &self.id, number, PutPayload::from(bytes)).await;
        sent.map(|part| part.content_id).map_err(|e| failed(&e, &self.key))
    }

    async fn complete(&self, parts: Vec<String>) -> Result<()> {
        let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
        self.store.complete_multipart(&self.path, &self.id, parts).await.map(drop).map_err(|e| failed(&e, &self.key))
    }

    async fn complete_empty(&self) -> Result<()> {
        self.abort().await?;
        self.store.put(&self.path, PutPayload::new()).await.map(drop).map_err(|e| failed(&e, &self.key))
    }

    async fn abort(&self) -> Result<()> {
        gone(self.store.abort_multipart(&self.path, &self.id).await).map_err(|e| failed(&e, &self.key))
    }
}

#[cfg(feature = "cloud")]
mod made;

#[cfg(feature = "azure")]
pub(crate) use made::azure;
#[cfg(feature = "gcs")]
pub(crate) use made::gcs;
#[cfg(feature = "s3")]
pub(crate) use made::s3;
