//! A storage in memory, with doors for tests to look at it and to damage it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Atomicity, Key, ObjectMeta, PutOutcome, Storage, Upload};
use crate::time::Timestamp;

type Objects = BTreeMap<Key, Bytes>;

/// Objects in memory. A clone shares them; [`snapshot`](Self::snapshot) copies them.
#[derive(Clone)]
pub struct MemoryStorage {
    objects: Arc<Mutex<Objects>>,
    page: usize,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStorage {
    /// An empty one, with listings in pages of 1000.
    pub fn new() -> Self {
        Self { objects: Arc::default(), page: 1000 }
    }

    /// The same objects, listed in pages of another size.
    #[must_use]
    pub fn with_page(mut self, page: usize) -> Self {
        self.page = page.max(1);
        self
    }

    /// A copy that goes its own way from here on.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self { objects: Arc::new(Mutex::new(self.lock().clone())), page: self.page }
    }

    /// Everything that is stored.
    pub fn objects(&self) -> BTreeMap<Key, Bytes> {
        self.lock().clone()
    }

    /// The names of all objects, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.lock().keys().cloned().collect()
    }

    /// The content of an object.
    pub fn read(&self, key: &Key) -> Option<Bytes> {
        self.lock().get(key).cloned()
    }

    /// Sets the content of an object behind everybody's back.
    pub fn overwrite(&self, key: &Key, bytes: impl Into<Bytes>) {
        self.lock().insert(key.clone(), bytes.into());
    }

    /// Removes an object behind everybody's back; tells whether it was there.
    pub fn remove(&self, key: &Key) -> bool {
        self.lock().remove(key).is_some()
    }

    /// Cuts an object off after `length` bytes; tells whether it was longer.
    pub fn truncate(&self, key: &Key, length: usize) -> bool {
        self.lock().get_mut(key).is_some_and(|bytes| {
            let longer = bytes.len() > length;
            bytes.truncate(length);
            longer
        })
    }

    /// Flips one bit of an object, counted from its first byte's lowest; tells whether it is there.
    pub fn flip(&self, key: &Key, bit: usize) -> bool {
        self.lock().get_mut(key).is_some_and(|bytes| {
            let mut changed = bytes.to_vec();
            let Some(byte) = changed.get_mut(bit / 8) else { return false };
            *byte ^= 1 << (bit % 8);
            *bytes = changed.into();
            true
        })
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        // A test that panicked elsewhere leaves the map whole: each change is a single step.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStorage").field("objects", &self.lock().len()).finish_non_exhaustive()
    }
}

fn not_found(key: &Key) -> Error {
    Error::new(ErrorKind::NotFound, "no such object").with("object", key)
}

#[async_trait]
impl Storage for MemoryStorage {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn atomicity(&self) -> Atomicity {
        Atomicity::Proven
    }

    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        self.lock().insert(key.clone(), bytes);
        Ok(())
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        let mut objects = self.lock();
        if objects.contains_key(key) {
            return Ok(PutOutcome::Exists);
        }
        objects.insert(key.clone(), bytes);
        Ok(PutOutcome::Created)
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        Ok(Box::new(MemoryUpload { storage: self.clone(), key: key.clone(), parts: Vec::new() }))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.read(key).ok_or_else(|| not_found(key))
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let bytes = self.read(key).ok_or_else(|| not_found(key))?;
        if range.start > range.end || range.end > bytes.len() as u64 {
            return Err(Error::corrupt("the object is shorter than it should be")
                .with("object", key)
                .with("size", bytes.len())
                .with("range", format!("{range:?}")));
        }
        let place = |n: u64| usize::try_from(n).expect("it lies within the object");
        Ok(bytes.slice(place(range.start)..place(range.end)))
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let bytes = self.read(key).ok_or_else(|| not_found(key))?;
        Ok(ObjectMeta { key: key.clone(), size: bytes.len() as u64, modified: None })
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        let below = prefix.map(|p| format!("{p}/")).unwrap_or_default();
        Ok(self
            .lock()
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(&below) && after.is_none_or(|after| *key > after))
            .take(self.page)
            .map(|(key, bytes)| ObjectMeta { key: key.clone(), size: bytes.len() as u64, modified: None })
            .collect())
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        let mut objects = self.lock();
        for key in keys {
            objects.remove(key);
        }
        Ok(())
    }

    async fn remove_leftovers(&self, _: Timestamp) -> Result<u64> {
        Ok(0)
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

#[derive(Debug)]
struct MemoryUpload {
    storage: MemoryStorage,
    key: Key,
    parts: Vec<Bytes>,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        // Stores of the S3 family refuse parts of different sizes; here it shows without one.
        if let (Some(first), Some(last)) = (self.parts.first(), self.parts.last())
            && (last.len() != first.len() || part.len() > first.len())
        {
            return Err(Error::internal("only the last part of an upload may be smaller").with("object", &self.key));
        }
        self.parts.push(part);
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.storage.lock().insert(self.key.clone(), self.parts.concat().into());
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_done_where_it_is_asked_for() {
        let (storage, key) = (MemoryStorage::new(), Key::new("a/b").unwrap());
        assert!(!storage.flip(&key, 0));
        storage.overwrite(&key, &b"abc"[..]);
        let before = storage.snapshot();
        assert!(storage.flip(&key, 9) && !storage.flip(&key, 24));
        assert_eq!(storage.read(&key).unwrap(), b"a`c"[..]);
        assert!(storage.truncate(&key, 1) && storage.remove(&key) && storage.keys().is_empty());
        assert_eq!(before.read(&key).unwrap(), b"abc"[..]);
    }
}
