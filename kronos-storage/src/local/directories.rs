//! The directories of a local storage: made when they are needed, for the owner alone, durably.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kronos_core::{ErrorKind, Result, Retry};

use super::failure::failed;

#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    /// Those that are known to survive a loss of power. A directory that merely exists may have
    /// been made by another process a moment ago, and not be on the disk yet.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Directories {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, durable: Mutex::default() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where files are written before they are put into place. No part of a key holds a `#`.
    pub(super) fn staging(&self) -> PathBuf {
        self.root.join("#staging")
    }

    /// Makes a directory and those above it.
    pub(super) fn ensure(&self, directory: &Path) -> Result<()> {
        if self.durable().contains(directory) {
            return Ok(());
        }
        let made = self.make(directory)?;
        let inside = directory != self.root && directory.starts_with(&self.root);
        let Some(parent) = directory.parent() else { return Ok(()) };
        if inside {
            self.ensure(parent)?;
        }
        // What stood above the root before us is not ours, and perhaps not readable.
        if made || inside {
            sync(parent)?;
        }
        self.durable().insert(directory.to_owned());
        Ok(())
    }

    /// Makes a directory; tells whether it was not there before.
    fn make(&self, directory: &Path) -> Result<bool> {
        if directory.is_dir() {
            return Ok(false);
        }
        let create = || DirBuilder::new().mode(0o700).create(directory);
        let mut made = create();
        if let (Err(e), Some(parent)) = (&made, directory.parent())
            && e.kind() == io::ErrorKind::NotFound
        {
            self.ensure(parent)?;
            made = create();
        }
        match made {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(failed("a file stands where a directory belongs", directory, io::ErrorKind::NotADirectory.into()))
            }
            Err(e) => Err(failed("a directory could not be made", directory, e)),
        }
    }

    /// Forgets what is known of the directories: someone removed one of them.
    pub(super) fn forget(&self) {
        self.durable().clear();
    }

    /// Removes the directory of `path` if it is that of a probe and empty. Only those: each has a name that
    /// nobody else has, while one that others made anew might not be on the disk when they rely on it.
    pub(super) fn leave_probe(&self, path: &Path) {
        if let Some(directory) = path.parent().filter(|directory| directory.parent() == Some(&self.root.join("probe")))
        {
            let _ = std::fs::remove_dir(directory);
        }
    }

    /// Makes what was changed in the directory of `path` durable.
    pub(super) fn sync_parent(&self, path: &Path) -> Result<()> {
        let parent = path.parent().unwrap_or(&self.root);
        match sync(parent) {
            // Nothing was ever there, or it is gone as a whole.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// The room that is left where the root is or will be.
    pub(super) fn free_space(&self) -> Result<u64> {
        let mut place: &Path = &self.root;
        loop {
            match rustix::fs::statvfs(place) {
                Ok(found) => return Ok(found.f_bavail.saturating_mul(found.f_frsize)),
                Err(rustix::io::Errno::NOENT) => match place.parent() {
                    Some(parent) => place = parent,
                    None => return Err(failed("no free space is known", place, io::ErrorKind::NotFound.into())),
                },
                Err(e) => return Err(failed("no free space is known", place, e.into())),
            }
        }
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the entries of a directory durable. A failure is passing as far as anybody can tell,
/// because the entry itself was made.
fn sync(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|opened| opened.sync_all());
    match synced {
        // Some network and FUSE file systems have no such thing for directories.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(failed("no such directory", directory, io::ErrorKind::NotFound.into()))
        }
        Err(e) => Err(failed("a directory could not be synced", directory, e).with_retry(Retry::Later)),
        Ok(()) => Ok(()),
    }
}
