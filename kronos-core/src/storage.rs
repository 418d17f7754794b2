//! Where objects live: the trait every storage implements, and the conveniences on top of it.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

/// The name of an object: parts of plain ASCII joined by `/`.
///
/// Parts are made of letters, digits and `. _ - % =`; none is empty, `.` or `..`, so that a
/// key is safe as a path below any directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The longest part a key may have, in bytes: what file systems hold.
    pub const MAX_PART: usize = 240;

    /// Checks a name and makes a key of it.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        let good = |part: &str| {
            !part.is_empty()
                && part.len() <= Self::MAX_PART
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-%=".contains(&b))
        };
        if name.split('/').all(good) {
            Ok(Self(name.into()))
        } else {
            Err(Error::new(ErrorKind::Config, "not a valid object name").with("object", name))
        }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of the name.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Compares two names part by part: what lies below `a` comes before `a-b`. As whole names it is the other
    /// way round, for `-` sorts before `/`.
    pub fn cmp_parts(&self, other: &Self) -> Ordering {
        self.0.split('/').cmp(other.0.split('/'))
    }

    /// Whether it comes after another in one of the two orders that storages list in.
    pub fn follows(&self, other: &Self) -> bool {
        self > other || self.cmp_parts(other).is_gt()
    }

    /// Whether an object of this name is a pack of data: the bulk of a repository, and read for
    /// restores alone, so that it may lie where storing is cheap and reading is not.
    pub fn is_data_pack(&self) -> bool {
        let mut parts = self.0.split('/');
        parts.next() == Some("jobs") && parts.nth(1) == Some("packs")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a storage knows of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its name.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, if the storage knows. Shown, never trusted.
    pub modified: Option<Timestamp>,
}

/// What became of a conditional put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object was not there and is now.
    Created,
    /// An object of this name was there; nothing was changed.
    Exists,
}

/// Whether of several writers that make one new object at the same moment just one is told that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Atomicity {
    /// By the nature of the storage.
    Proven,
    /// The other side says so. Kronos puts it to the test before it commits anything there.
    Unproven,
    /// It need not be: the user vouches that nobody else ever writes there at the same time.
    SingleWriter,
}

/// A place that holds objects.
///
/// Every implementation passes `kronos_core::testing::storage_conformance`. An error whose
/// retry is [`Retry::Later`](crate::Retry::Later) may or may not have had its effect.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync {
    /// Names the place for people, without secrets.
    fn describe(&self) -> String;
    /// Whether [`put_if_absent`](Self::put_if_absent) can be relied on when several write.
    fn atomicity(&self) -> Atomicity;
    /// What the user should know of how the storage is used, as far as it has turned out: one line
    /// each, such as that it refuses checksums and is used without them.
    fn notices(&self) -> Vec<String>;
    /// Writes an object whole, durably, replacing one of the same name in a single step.
    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()>;
    /// Writes an object durably if none of its name exists; of several callers one wins.
    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome>;
    /// Begins an object that is written part by part and appears at once at its end.
    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>>;
    /// Reads an object whole. `NotFound` when there is none.
    async fn get(&self, key: &Key) -> Result<Bytes>;
    /// Reads a range of bytes; one that reaches past the end is an error of kind `Corrupt`.
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes>;
    /// Size and time of an object. `NotFound` when there is none.
    async fn head(&self, key: &Key) -> Result<ObjectMeta>;
    /// One page of the objects below a prefix (whole parts; `None` is everything) that come after
    /// `after`, which need not exist. An empty page is the end. Their order is that of their names,
    /// compared as a whole or [part by part](Key::cmp_parts): the same always.
    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>>;
    /// Removes objects durably; those that are not there are fine. Every one is tried, also after
    /// a failure, and the first failure is the answer.
    async fn delete(&self, keys: &[Key]) -> Result<()>;
    /// Removes what this storage itself left behind (parts of broken uploads, temporary files)
    /// before `before`; tells how many.
    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64>;
    /// Free space in bytes, where the storage knows it.
    async fn free_space(&self) -> Result<Option<u64>>;
}

/// An object being written part by part. Dropping it leaves no object.
///
/// A call that fails with [`Retry::Later`](crate::Retry::Later) has not taken its part, and may be
/// made again with the same one. After any other failure the object can never be whole. Parts may
/// be on their way after a call has returned: then a later call tells that they failed.
#[async_trait]
pub trait Upload: fmt::Debug + Send {
    /// Appends a part. All parts but the last have the same size, 5 MiB or more.
    async fn write(&mut self, part: Bytes) -> Result<()>;
    /// Makes the object appear, durably.
    async fn finish(&mut self) -> Result<()>;
    /// Gives the object up and removes its parts.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// Conveniences for every storage.
#[async_trait]
pub trait StorageExt: Storage {
    /// Reads an object whole, or `None` when there is none.
    async fn get_if_there(&self, key: &Key) -> Result<Option<Bytes>> {
        match self.get(key).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes one object durably; one that is not there is fine.
    async fn delete_one(&self, key: &Key) -> Result<()> {
        self.delete(std::slice::from_ref(key)).await
    }

    /// Every object below a prefix, page after page, in the order of their names.
    async fn list_all(&self, prefix: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        self.list_from(prefix, None).await
    }

    /// The same after a name.
    async fn list_from(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        let mut all: Vec<ObjectMeta> = Vec::new();
        let mut after = after.cloned();
        loop {
            let page = self.list(prefix, after.as_ref()).await?;
            let last = last_of(&page);
            all.extend(page);
            // A store that breaks the order must not keep this from coming to an end.
            match last {
                Some(last) if after.as_ref().is_none_or(|after| last.follows(after)) => after = Some(last),
                _ => {
                    all.sort_by(|a, b| a.key.cmp(&b.key));
                    all.dedup_by(|a, b| a.key == b.key);
                    return Ok(all);
                }
            }
        }
    }
}

/// The name after which a listing goes on.
fn last_of(page: &[ObjectMeta]) -> Option<Key> {
    let ordered = page.is_sorted_by(|a, b| a.key.cmp_parts(&b.key).is_lt());
    let last = if ordered { page.last() } else { page.iter().max_by(|a, b| a.key.cmp(&b.key)) };
    last.map(|last| last.key.clone())
}

impl<S: Storage + ?Sized> StorageExt for S {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_leave_their_directory() {
        for bad in ["", "/a", "a/", "a//b", "../a", "a/./b", "a b", "a\\b", "a\0", "ü"] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Key::new("jobs/a%20b/log/0001").unwrap().file_name(), "0001");
    }

    #[test]
    fn packs_of_data_are_told_from_the_rest() {
        let is = |name: &str| Key::new(name).unwrap().is_data_pack();
        assert!(is("jobs/packs/packs/ab/abcd"));
        assert!(!is("jobs/packs/meta/ab") && !is("jobs/a/log/packs") && !is("keys/a/packs/b") && !is("packs"));
    }

    #[test]
    fn both_orders_are_known() {
        let key = |name: &str| Key::new(name).unwrap();
        assert!(key("a/b") > key("a-b/c") && key("a/b").cmp_parts(&key("a-b/c")).is_lt());
        assert!(key("a/b").follows(&key("a-b")) && key("a-b").follows(&key("a/b")));
        assert!(!key("a/b").follows(&key("a/b")) && !key("a/b").follows(&key("a/c")));
    }
}
