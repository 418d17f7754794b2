//! One file on its way into the storage: written aside, synced, then put into place in one step.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use kronos_core::{Error, ErrorKind, PutOutcome, Result, Timestamp};

use crate::connection::{Connection, Open};
use crate::directories::parent;
use crate::failure::{Failure, if_there};
use crate::file::File;
use crate::server::Server;

/// How an object appears.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Over what has the name.
    Rename,
    /// Only where nothing has it.
    Link,
}

/// A file in the staging directory; it is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Staged {
    server: Arc<Server>,
    path: String,
    length: u64,
    /// The server was asked to put it into place: if it is gone, it may be there.
    asked: bool,
    is_gone: bool,
}

impl Staged {
    /// Makes an empty one.
    pub(crate) async fn new(server: Arc<Server>) -> Result<(Self, File)> {
        // In a task of its own: if the caller goes, what was made is dropped, and so removed.
        let made = tokio::spawn(Self::make(server)).await;
        made.unwrap_or_else(|e| Err(Error::new(ErrorKind::Internal, "making a file failed").with_source(e)))
    }

    async fn make(server: Arc<Server>) -> Result<(Self, File)> {
        let connection = server.connection().await?;
        let staging = server.directories.staging();
        server.directories.ensure(&connection, &staging).await?;
        // Other machines write here too: by chance and time the name is used once.
        let now = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        let path = format!("{staging}/{now:x}-{:016x}", RandomState::new().build_hasher().finish());
        let mut opened = connection.open(&path, Open::New).await;
        if opened.as_ref().is_err_and(Failure::is_missing) {
            // The directory was removed since it was last seen.
            server.directories.forget();
            server.directories.ensure(&connection, &staging).await?;
            opened = connection.open(&path, Open::New).await;
        }
        match opened {
            Ok(file) => Ok((Self { server, path, length: 0, asked: false, is_gone: false }, file)),
            Err(failure) => Err(server.refused(&connection, failure, "a file could not be made", &path).await),
        }
    }

    /// A whole one, in one go.
    pub(crate) async fn holding(server: Arc<Server>, bytes: &Bytes) -> Result<Self> {
        let (mut staged, file) = Self::new(server).await?;
        let connection = staged.server.connection().await?;
        staged.fill(&connection, file, bytes).await?;
        Ok(staged)
    }

    /// Adds bytes at the end, durably: the server that gets the next ones may have been started anew in
    /// between. After a failure the same bytes can be written again.
    pub(crate) async fn append(&mut self, bytes: &Bytes) -> Result<()> {
        let connection = self.server.connection().await?;
        match connection.open(&self.path, Open::Write).await {
            Ok(file) => self.fill(&connection, file, bytes).await,
            Err(failure) => {
                Err(self.server.refused(&connection, failure, "a file could not be opened", &self.path).await)
            }
        }
    }

    async fn fill(&mut self, connection: &Connection, file: File, bytes: &Bytes) -> Result<()> {
        let mut written = file.write(bytes, self.length).await;
        if written.is_ok() {
            written = file.sync().await;
        }
        match written {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(failure) => {
                Err(self.server.refused(connection, failure, "a file could not be written", &self.path).await)
            }
        }
    }

    /// Puts the file into place, over what may be there.
    pub(crate) async fn replace(&mut self, target: &str) -> Result<()> {
        let connection = self.server.connection().await?;
        let asked_before = std::mem::replace(&mut self.asked, true);
        if let Err(failure) = self.publish(&connection, target, Step::Rename).await? {
            let done = asked_before && failure.is_missing() && self.is_in_place(&connection, target).await?;
            if !done {
                let message = "an object could not be put into place";
                return Err(self.server.refused(&connection, failure, message, target).await);
            }
        }
        self.is_gone = true;
        self.sync_parent(&connection, target).await
    }

    /// Puts the file into place unless something is there. When the answer is lost, so is the answer to
    /// who has won: that is for the caller to find out by reading.
    pub(crate) async fn place(mut self, target: &str) -> Result<PutOutcome> {
        let connection = self.server.connection().await?;
        let outcome = match self.publish(&connection, target, Step::Link).await? {
            Ok(()) => PutOutcome::Created,
            Err(failure @ Failure::Lost(_)) => {
                return Err(failure.into_error("an object could not be put into place", target));
            }
            // The server has one word for all that can go wrong: what lies there decides.
            Err(failure) => {
                match if_there(connection.look(target).await, "an object could not be looked at", target)? {
                    Some(found) if found.file_type().is_dir() => {
                        let error = Error::new(ErrorKind::Config, "a directory stands where a file belongs");
                        return Err(error.with("path", target));
                    }
                    Some(_) => PutOutcome::Exists,
                    None => {
                        let message = "an object could not be put into place";
                        let error = self.server.refused(&connection, failure, message, target).await;
                        return Err(error.with("hint", "the server's file system must have hard links"));
                    }
                }
            }
        };
        // Whoever wrote what exists may not have come so far as to make it durable.
        self.sync_parent(&connection, target).await?;
        self.remove(&connection).await;
        Ok(outcome)
    }

    /// Takes it away.
    pub(crate) async fn give_up(mut self) -> Result<()> {
        let connection = self.server.connection().await?;
        self.remove(&connection).await;
        Ok(())
    }

    /// Makes the object appear, in a directory that exists.
    async fn publish(&self, connection: &Arc<Connection>, target: &str, step: Step) -> Result<Result<(), Failure>> {
        let (directories, parent) = (&self.server.directories, parent(target).unwrap_or("/"));
        let mut lost = false;
        loop {
            directories.ensure(connection, parent).await?;
            let done = match step {
                Step::Rename => connection.rename(&self.path, target).await,
                Step::Link => connection.link(&self.path, target).await,
            };
            if lost || !done.as_ref().is_err_and(Failure::is_missing) {
                return Ok(done);
            }
            // The directory may have been removed since it was last seen.
            lost = true;
            directories.forget();
        }
    }

    /// Whether an earlier rename was done and only its answer lost.
    async fn is_in_place(&self, connection: &Connection, target: &str) -> Result<bool> {
        let found = if_there(connection.look(target).await, "an object could not be looked at", target)?;
        Ok(found.is_some_and(|found| found.size == Some(self.length)))
    }

    async fn sync_parent(&self, connection: &Arc<Connection>, target: &str) -> Result<()> {
        self.server.directories.sync(connection, parent(target).unwrap_or("/")).await
    }

    async fn remove(&mut self, connection: &Connection) {
        // What stays is found by `remove_leftovers`.
        self.is_gone = connection.remove(&self.path).await.is_ok();
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_gone {
            return;
        }
        let (server, path) = (Arc::clone(&self.server), std::mem::take(&mut self.path));
        runtime.spawn(async move {
            // What stays is found by `remove_leftovers`.
            if let Ok(connection) = server.connection().await {
                let _ = connection.remove(&path).await;
            }
        });
    }
}

/// Removes what was last written before `before`.
pub(crate) async fn remove_leftovers(server: &Server, before: Timestamp) -> Result<u64> {
    let (connection, staging) = (server.connection().await?, server.directories.staging());
    let entries = async { connection.open(&staging, Open::Entries).await?.entries().await }.await;
    let mut removed = 0;
    for entry in if_there(entries, "the staging directory could not be read", &staging)?.unwrap_or_default() {
        let Some(modified) = entry.attrs.mtime else { continue };
        // The server rounds down to seconds.
        let after = Timestamp::from_micros(i64::from(modified).saturating_add(1).saturating_mul(1_000_000));
        if entry.attrs.file_type().is_file() && after <= before {
            let path = format!("{staging}/{}", entry.filename);
            // One that is gone has been removed by its writer.
            let gone = if_there(connection.remove(&path).await, "a file left behind could not be removed", &path)?;
            removed += u64::from(gone.is_some());
        }
    }
    Ok(removed)
}
