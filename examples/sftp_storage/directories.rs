//! The directories on the server: made when they are needed, for the owner alone, durably.
//!
//! SFTP has no word for making a directory's entries durable. But OpenSSH's server opens a directory
//! like a file and syncs what it has opened.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kronos_core::{Error, ErrorKind, Result, Retry};
use russh_sftp::protocol::StatusCode;

use crate::connection::{Connection, Open};
use crate::failure::Failure;

#[derive(Debug)]
pub(crate) struct Directories {
    root: String,
    /// Those that are known to survive a loss of power.
    durable: Mutex<HashSet<String>>,
    /// The server would not sync a directory.
    unsynced: AtomicBool,
}

impl Directories {
    pub(crate) fn new(root: String) -> Self {
        Self { root, durable: Mutex::default(), unsynced: AtomicBool::new(false) }
    }

    /// Where files are written before they are put into place. No part of a key holds a `#`.
    pub(crate) fn staging(&self) -> String {
        format!("{}/#staging", self.root)
    }

    /// Whether it has turned out that names may be lost with the server's power.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Relaxed)
    }

    /// Makes a directory and those above it.
    pub(crate) async fn ensure(&self, connection: &Arc<Connection>, directory: &str) -> Result<()> {
        let failed = |failure: Failure| failure.into_error("a directory could not be looked at", directory);
        let mut steps = Vec::new();
        let mut next = Some(directory).filter(|path| !path.is_empty());
        while let Some(place) = next.filter(|place| !self.durable().contains(*place)) {
            steps.push(place);
            // What stood above the root before us is not ours, and perhaps not readable.
            if !self.is_inside(place) && connection.is_directory(place).await.map_err(failed)? {
                break;
            }
            next = parent(place);
        }
        for place in steps.into_iter().rev() {
            let made = make(connection, place).await?;
            if made || self.is_inside(place) {
                self.sync(connection, parent(place).unwrap_or("/")).await?;
            }
            self.durable().insert(place.to_owned());
        }
        Ok(())
    }

    /// Forgets what is known of the directories: someone removed one of them.
    pub(crate) fn forget(&self) {
        self.durable().clear();
    }

    /// Makes what was changed in a directory durable.
    pub(crate) async fn sync(&self, connection: &Arc<Connection>, directory: &str) -> Result<()> {
        let failed = |failure: Failure| failure.into_error("a directory could not be synced", directory);
        let opened = match connection.open(directory, Open::Read).await {
            Ok(opened) => opened,
            // Nothing was ever there, or it is gone as a whole.
            Err(failure) if failure.is_missing() => return Ok(()),
            Err(Failure::Refused(..)) => return self.cannot_sync(),
            Err(failure) => return Err(failed(failure)),
        };
        match opened.sync().await {
            Err(Failure::Refused(StatusCode::BadMessage | StatusCode::OpUnsupported, _)) => self.cannot_sync(),
            // The change itself was made, so that nothing speaks against trying again.
            Err(failure) => Err(failed(failure).with_retry(Retry::Later)),
            Ok(()) => Ok(()),
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "what is told of it is a notice, not an error")]
    fn cannot_sync(&self) -> Result<()> {
        self.unsynced.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn is_inside(&self, directory: &str) -> bool {
        directory.len() > self.root.len()
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a directory; tells whether it was not there before.
async fn make(connection: &Connection, directory: &str) -> Result<bool> {
    let Err(failure) = connection.make_directory(directory).await else { return Ok(true) };
    match connection.look(directory).await {
        Ok(found) if found.file_type().is_dir() => Ok(false),
        Ok(_) => {
            let error = Error::new(ErrorKind::Config, "a file stands where a directory belongs");
            Err(error.with("path", directory))
        }
        Err(_) => Err(failure.into_error("a directory could not be made", directory)),
    }
}

/// The directory of a path; none above `/`.
pub(crate) fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/') {
        Some(("", "")) | None => None,
        Some(("", _)) => Some("/"),
        Some((parent, _)) => Some(parent),
    }
}
