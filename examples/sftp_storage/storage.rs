//! The storage: every object is a file on the server, named as its key. The layout is that of a local
//! directory, which is how the server itself can open the repository.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use kronos_core::{Atomicity, Error, ErrorKind, Key, ObjectMeta, PutOutcome, Result, Storage, Timestamp, Upload};

use crate::address::Address;
use crate::connection::{Connection, Open};
use crate::directories::parent;
use crate::failure::{Failure, if_there};
use crate::file::File;
use crate::listing::{self, meta};
use crate::server::Server;
use crate::staged::{self, Staged};
use crate::upload::SftpUpload;

/// How many objects are removed at a time.
const AT_A_TIME: usize = 32;

/// A directory on a server that is reached by `ssh`.
#[derive(Debug)]
pub(crate) struct Sftp(Arc<Server>);

impl Sftp {
    /// The storage there. The first call connects.
    pub(crate) fn at(address: Address) -> Arc<dyn Storage> {
        Arc::new(Self(Server::new(address)))
    }

    /// An object's file and its size.
    async fn open(&self, key: &Key) -> Result<(File, u64)> {
        let (connection, path) = (self.0.connection().await?, self.0.path(key));
        let opened = async {
            let file = connection.open(&path, Open::Read).await?;
            let found = file.attributes().await?;
            Ok((file, found))
        };
        match if_there(opened.await, "an object could not be read", &path)? {
            // A directory can be opened like a file.
            Some((file, found)) if !found.file_type().is_dir() => Ok((file, found.size.unwrap_or(0))),
            _ => Err(not_found(key)),
        }
    }

    async fn read(&self, key: &Key, file: &File, range: Range<u64>) -> Result<Bytes> {
        let read = file.read(range.clone()).await;
        let bytes = read.map_err(|failure| failure.into_error("an object could not be read", &self.0.path(key)))?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(too_short(key, &range).with("read", bytes.len()));
        }
        Ok(bytes)
    }
}

fn not_found(key: &Key) -> Error {
    Error::new(ErrorKind::NotFound, "no such object").with("object", key)
}

fn too_short(key: &Key, range: &Range<u64>) -> Error {
    let error = Error::new(ErrorKind::Corrupt, "the object is shorter than it should be").with("object", key);
    error.with("range", format!("{range:?}"))
}

/// Removes a file; one that is not there is fine, and a directory of that name is no object.
async fn remove(connection: &Connection, path: &str) -> Result<()> {
    let Err(failure) = connection.remove(path).await else { return Ok(()) };
    if failure.is_missing()
        || matches!(failure, Failure::Refused(..)) && connection.is_directory(path).await.is_ok_and(|is| is)
    {
        return Ok(());
    }
    Err(failure.into_error("an object could not be removed", path))
}

/// Does all of them, some at a time; the first failure is the answer.
async fn in_turn(steps: Vec<impl Future<Output = Result<()>>>) -> Result<()> {
    let mut steps = stream::iter(steps).buffered(AT_A_TIME);
    let mut all = Ok(());
    while let Some(one) = steps.next().await {
        all = all.and(one);
    }
    all
}

#[async_trait]
impl Storage for Sftp {
    fn describe(&self) -> String {
        self.0.address.to_string()
    }

    fn atomicity(&self) -> Atomicity {
        // A hard link is atomic in the server's file system; which one that is, nobody tells.
        Atomicity::Unproven
    }

    fn notices(&self) -> Vec<String> {
        let lost =
            "the server cannot sync directories: what was stored or removed last may come undone if it loses power";
        self.0.directories.is_unsynced().then(|| lost.to_owned()).into_iter().collect()
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        let mut staged = Staged::holding(Arc::clone(&self.0), &bytes).await?;
        staged.replace(&self.0.path(key)).await
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        let staged = Staged::holding(Arc::clone(&self.0), &bytes).await?;
        staged.place(&self.0.path(key)).await
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        Ok(Box::new(SftpUpload::begin(Arc::clone(&self.0), key).await?))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let (file, size) = self.open(key).await?;
        self.read(key, &file, 0..size).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let (file, size) = self.open(key).await?;
        if range.start > range.end || range.end > size {
            return Err(too_short(key, &range).with("size", size));
        }
        self.read(key, &file, range).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let (connection, path) = (self.0.connection().await?, self.0.path(key));
        match if_there(connection.look(&path).await, "an object could not be looked at", &path)? {
            Some(found) if !found.file_type().is_dir() => Ok(meta(key.clone(), &found)),
            _ => Err(not_found(key)),
        }
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        let connection = self.0.connection().await?;
        listing::page(&connection, &self.0.address.root, prefix, after).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        let connection = self.0.connection().await?;
        let paths: Vec<String> = keys.iter().map(|key| self.0.path(key)).collect();
        let removed = in_turn(paths.iter().map(|path| remove(&connection, path)).collect()).await;
        // Also of what was gone: an earlier removal may not have been made durable.
        let parents: BTreeSet<&str> = paths.iter().filter_map(|path| parent(path)).collect();
        let directories = &self.0.directories;
        let synced = in_turn(parents.iter().map(|parent| directories.sync(&connection, parent)).collect()).await;
        removed.and(synced)
    }

    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        staged::remove_leftovers(&self.0, before).await
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        let connection = self.0.connection().await?;
        // The root may not be there yet, but then something above it is.
        let mut place = Some(self.0.address.root.as_str());
        while let Some(path) = place {
            let path = if path.is_empty() { "/" } else { path };
            if let Some(found) = if_there(connection.free_space(path).await, "no free space is known", path)? {
                return Ok(found);
            }
            place = parent(path);
        }
        Ok(None)
    }
}
