//! A storage in a local directory: every object is a file of its own, named as its key.
//!
//! Everything is written to a staging file first, synced, and then put into place by a rename or
//! a hard link, so that a reader sees a whole object or none. Files are for the owner alone from
//! their first moment on. What a kill leaves behind lies in the staging directory, whose name no
//! key can have. Nothing is made before the first write.

mod directories;
mod failure;
mod listing;
mod staged;
mod upload;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{Atomicity, Error, ErrorKind, Key, ObjectMeta, PutOutcome, Result, Storage, Timestamp, Upload};

use directories::Directories;
use failure::{failed, unreadable};
use staged::Staged;
use upload::LocalUpload;

/// The storage in a local directory, which need not exist yet.
pub fn local(path: impl AsRef<Path>) -> Result<Arc<dyn Storage>> {
    let given = path.as_ref();
    // Absolute, so that it stays the same place when the process changes its directory.
    let root = std::path::absolute(given).map_err(|e| failed("not a path", given, e))?;
    if fs::metadata(&root).is_ok_and(|found| !found.is_dir()) {
        return Err(
            Error::new(ErrorKind::Config, "the storage is a file, not a directory").with("path", root.display())
        );
    }
    Ok(Arc::new(Local { directories: Arc::new(Directories::new(root)) }))
}

/// So much memory is taken for a range before it is known to be there.
const LARGEST_ROOM: usize = 8 << 20;

#[derive(Debug)]
struct Local {
    directories: Arc<Directories>,
}

impl Local {
    fn path(&self, key: &Key) -> PathBuf {
        self.directories.root().join(key.as_str())
    }

    /// Runs work on a file on a blocking thread. Work that was begun comes to its end even if
    /// nobody waits for it any more.
    async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, "a worker thread failed").with_source(e))?
    }
}

#[async_trait]
impl Storage for Local {
    fn describe(&self) -> String {
        self.directories.root().display().to_string()
    }

    fn atomicity(&self) -> Atomicity {
        // An object is made by a hard link: where a file system has none, that is an error.
        Atomicity::Proven
    }

    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        let (directories, path) = (Arc::clone(&self.directories), self.path(key));
        Self::blocking(move || {
            let staged = Staged::new(directories)?;
            staged.write(&bytes, 0)?;
            staged.replace(&path)
        })
        .await
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        let (directories, path) = (Arc::clone(&self.directories), self.path(key));
        Self::blocking(move || {
            if staged::is_taken(&path)? {
                // Whoever wrote it may not have come so far as to make it durable.
                directories.sync_parent(&path)?;
                return Ok(PutOutcome::Exists);
            }
            let staged = Staged::new(directories)?;
            staged.write(&bytes, 0)?;
            staged.place(&path)
        })
        .await
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        let (directories, path) = (Arc::clone(&self.directories), self.path(key));
        let staged = Self::blocking(move || Staged::new(directories)).await?;
        Ok(Box::new(LocalUpload::new(staged, path)))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let (path, key) = (self.path(key), key.clone());
        Self::blocking(move || fs::read(&path).map(Bytes::from).map_err(|e| unreadable(&key, &path, e))).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let (path, key) = (self.path(key), key.clone());
        // Memory from here rather than from the thread that reads: where each thread has a store of its own,
        // as in glibc, dozens of threads that take and leave megabytes keep hundreds of them.
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let room = Vec::with_capacity(wanted.min(LARGEST_ROOM));
        Self::blocking(move || read_range(&key, &path, range, room)).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let (path, key) = (self.path(key), key.clone());
        Self::blocking(move || match fs::metadata(&path) {
            Ok(found) if found.is_file() => Ok(meta(key, &found)),
            Ok(_) => Err(unreadable(&key, &path, io::ErrorKind::IsADirectory.into())),
            Err(e) => Err(unreadable(&key, &path, e)),
        })
        .await
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        let directories = Arc::clone(&self.directories);
        let (prefix, after) = (prefix.cloned(), after.cloned());
        Self::blocking(move || listing::page(directories.root(), prefix.as_ref(), after.as_ref())).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        let directories = Arc::clone(&self.directories);
        let paths: Vec<PathBuf> = keys.iter().map(|key| self.path(key)).collect();
        Self::blocking(move || {
            let removed = paths.iter().map(|path| match fs::remove_file(path) {
                Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    Err(failed("an object could not be removed", path, e))
                }
                _ => Ok(()),
            });
            let removed = removed.fold(Ok(()), Result::and);
            // Also of what was gone: an earlier removal may not have been made durable.
            let parents: BTreeMap<_, &PathBuf> = paths.iter().map(|path| (path.parent(), path)).collect();
            for path in parents.values() {
                directories.leave_probe(path);
            }
            let synced = parents.values().map(|path| directories.sync_parent(path)).fold(Ok(()), Result::and);
            removed.and(synced)
        })
        .await
    }

    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        let directories = Arc::clone(&self.directories);
        Self::blocking(move || staged::remove_leftovers(&directories.staging(), before)).await
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        let directories = Arc::clone(&self.directories);
        Self::blocking(move || directories.free_space().map(Some)).await
    }
}

fn read_range(key: &Key, path: &Path, range: Range<u64>, mut bytes: Vec<u8>) -> Result<Bytes> {
    let file = File::open(path).map_err(|e| unreadable(key, path, e))?;
    let found = file.metadata().map_err(|e| unreadable(key, path, e))?;
    if found.is_dir() {
        return Err(unreadable(key, path, io::ErrorKind::IsADirectory.into()));
    }
    let length = range.end.checked_sub(range.start).and_then(|length| usize::try_from(length).ok());
    let Some(length) = length.filter(|_| range.end <= found.len()) else {
        return Err(Error::new(ErrorKind::Corrupt, "the object is shorter than it should be")
            .with("object", key)
            .with("size", found.len())
            .with("range", format!("{range:?}")));
    };
    bytes.resize(length, 0);
    file.read_exact_at(&mut bytes, range.start).map_err(|e| unreadable(key, path, e))?;
    Ok(bytes.into())
}

fn meta(key: Key, found: &fs::Metadata) -> ObjectMeta {
    ObjectMeta { key, size: found.len(), modified: found.modified().ok().map(timestamp) }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(0).plus(since)
}
