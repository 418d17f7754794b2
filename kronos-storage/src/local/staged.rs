//! One file on its way into the storage: written aside, synced, then put into place in one step.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kronos_core::{Error, ErrorKind, PutOutcome, Result, Timestamp};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::directories::Directories;
use super::failure::failed;
use super::timestamp;

/// A file in the staging directory; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Staged {
    directories: Arc<Directories>,
    path: PathBuf,
    file: File,
}

impl Staged {
    pub(super) fn new(directories: Arc<Directories>) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let staging = directories.staging();
        directories.ensure(&staging)?;
        // The directory may have been removed since it was last seen; made anew, it gets one more try.
        let mut lost = false;
        loop {
            // Other machines may write here under the same process number: `create_new` decides.
            // The time keeps a name from being used again after a clean-up took the file away.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
            let name = format!("{}-{}-{now:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = staging.join(name);
            // 0600 from the first moment; a umask can only take more away.
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok(Self { directories, path, file }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound && !lost => {
                    lost = true;
                    directories.forget();
                    directories.ensure(&staging)?;
                }
                Err(e) => return Err(failed("a file could not be made", &path, e)),
            }
        }
    }

    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|e| failed("a file could not be written", &self.path, e))
    }

    /// Puts the file into place, over what may be there.
    pub(super) fn replace(&self, target: &Path) -> Result<()> {
        self.sync()?;
        self.publish(target, || fs::rename(&self.path, target))?
            .map_err(|e| failed("an object could not be put into place", target, e))
    }

    /// Puts the file into place unless something is there.
    pub(super) fn place(&self, target: &Path) -> Result<PutOutcome> {
        self.sync()?;
        match self.publish(target, || self.link(target))? {
            Ok(()) => Ok(PutOutcome::Created),
            // A network file system that repeats a request whose answer was lost finds its own link.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.has_two_names() => Ok(PutOutcome::Created),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.directories.sync_parent(target)?;
                Ok(PutOutcome::Exists)
            }
            Err(e) => Err(failed("an object could not be put into place", target, e)),
        }
    }

    /// Runs a step that makes the object appear, in a directory that exists, and makes it durable.
    fn publish(&self, target: &Path, step: impl Fn() -> io::Result<()>) -> Result<io::Result<()>> {
        let parent = target.parent().unwrap_or(self.directories.root());
        self.directories.ensure(parent)?;
        let mut done = step();
        if done.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            self.directories.forget();
            self.directories.ensure(parent)?;
            done = step();
        }
        if done.is_ok() {
            self.directories.sync_parent(target)?;
        }
        Ok(done)
    }

    /// Gives the file its second name, which fails when there is a file of that name. File systems
    /// without hard links can rename under the same condition.
    fn link(&self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.path, target) {
            Err(e)
                if matches!(
                    Errno::from_io_error(&e),
                    Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK)
                ) =>
            {
                Ok(renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE)?)
            }
            done => done,
        }
    }

    fn has_two_names(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() == 2)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| failed("a file could not be synced", &self.path, e))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already after a rename; and what stays is found by `remove_leftovers`.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether there is an object at `path`.
pub(super) fn is_taken(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(Error::new(ErrorKind::Config, "a directory stands where a file belongs").with("path", path.display()))
        }
        Ok(_) => Ok(true),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(e) => Err(failed("an object could not be looked at", path, e)),
    }
}

/// Removes what was last written before `before`.
pub(super) fn remove_leftovers(staging: &Path, before: Timestamp) -> Result<u64> {
    let entries = match fs::read_dir(staging) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(failed("the staging directory could not be read", staging, e)),
    };
    let mut removed = 0;
    for entry in entries {
        let path = entry.map_err(|e| failed("the staging directory could not be read", staging, e))?.path();
        let old = match fs::symlink_metadata(&path).and_then(|found| Ok((found.is_file(), found.modified()?))) {
            Ok((is_file, modified)) => is_file && timestamp(modified) < before,
            // Its writer is done with it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(failed("a file left behind could not be looked at", &path, e)),
        };
        if old {
            match fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed("a file left behind could not be removed", &path, e)),
            }
        }
    }
    Ok(removed)
}
