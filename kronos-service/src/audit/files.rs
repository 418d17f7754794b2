//! The files of the audit log: the current one, older ones, the head beside them, and the lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kronos_core::{Digest, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::failure::of_file;
use crate::locks;

use super::entry::{Mark, sealed, unsealed};

/// Where the log stood when it was last written to. It lies beside the log, so that one which lost
/// its end is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) entry: Digest,
    /// The number in the name of the newest of the older files, 0 without one.
    pub(super) older: u64,
    /// The length of the current file.
    pub(super) length: u64,
}

impl Head {
    pub(super) fn mark(&self) -> Mark {
        Mark { seq: self.seq, hash: self.entry }
    }
}

/// What was found where the head should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Damaged,
    Head(Head),
}

#[derive(Debug, Clone)]
pub(super) struct Files {
    directory: PathBuf,
}

impl Files {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(super) fn current(&self) -> PathBuf {
        self.directory.join("audit.jsonl")
    }

    /// Older files carry the number of their last entry.
    pub(super) fn older(&self, last: u64) -> PathBuf {
        self.directory.join(format!("audit-{last:012}.jsonl"))
    }

    /// The older files, oldest first, with the number of the last entry of each.
    pub(super) fn all_older(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(e) => return Err(of_file(e, "the directory of the audit log could not be read", &self.directory)),
        };
        for entry in entries {
            let entry =
                entry.map_err(|e| of_file(e, "the directory of the audit log could not be read", &self.directory))?;
            let name = entry.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse().ok());
            if let Some(number) = number {
                found.push((number, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Held by whoever writes; readers share it.
    pub(super) fn lock(&self) -> Result<File> {
        make_directory(&self.directory)?;
        let path = self.directory.join("audit.lock");
        let file = private().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|e| of_file(e, "the lock of the audit log could not be opened", &path))?;
        locks::lock(&file).map_err(|e| of_file(e, "the audit log could not be locked", &path))?;
        Ok(file)
    }

    /// The lock of a reader, who may have no right to make the file. Without one there was no
    /// writer yet.
    pub(super) fn lock_shared(&self) -> Result<Option<File>> {
        let path = self.directory.join("audit.lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(of_file(e, "the lock of the audit log could not be opened", &path)),
        };
        locks::lock_shared(&file).map_err(|e| of_file(e, "the audit log could not be locked", &path))?;
        Ok(Some(file))
    }

    /// The bytes of a file; none if it is not there. What is no file might keep a reader waiting for ever.
    pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
        Self::is_file(path)?;
        match fs::read(path) {
            Ok(bytes) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(of_file(e, "the audit log could not be read", path)),
        }
    }

    fn is_file(path: &Path) -> Result<()> {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => {
                Err(Error::new(ErrorKind::Io, "the audit log could not be opened: it is not a file")
                    .with("path", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Appends to the current file, durably; tells its length then.
    pub(super) fn append(&self, bytes: &[u8]) -> Result<u64> {
        let path = self.current();
        let new = !path.exists();
        Self::is_file(&path)?;
        let write = || {
            let mut file = private().append(true).create(true).open(&path)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            if new {
                self.sync()?;
            }
            Ok(file.metadata()?.len())
        };
        write().map_err(|e| of_file(e, "the audit log could not be written", &path))
    }

    /// Puts the current file aside.
    pub(super) fn rotate(&self, last: u64) -> Result<()> {
        let (from, to) = (self.current(), self.older(last));
        if to.exists() {
            let error = Error::new(ErrorKind::AlreadyExists, "the audit log cannot be put aside: that file is there");
            return Err(error.with("path", to.display()).with("hint", "run `kronos audit verify`"));
        }
        fs::rename(&from, &to)
            .and_then(|()| self.sync())
            .map_err(|e| of_file(e, "the audit log could not be put aside", &to))
    }

    pub(super) fn head(&self) -> Result<Found> {
        let bytes = Self::read(&self.directory.join("audit.head"))?;
        if bytes.is_empty() {
            return Ok(Found::Nothing);
        }
        let head = bytes.strip_suffix(b"\n").and_then(unsealed::<Head>);
        Ok(head.map_or(Found::Damaged, |(head, _)| Found::Head(head)))
    }

    pub(super) fn write_head(&self, head: &Head) -> Result<()> {
        let (path, new) = (self.directory.join("audit.head"), self.directory.join("audit.head.new"));
        let (text, _) = sealed(head)?;
        let write = || {
            let mut file = private().write(true).create(true).truncate(true).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            fs::rename(&new, &path)?;
            self.sync()
        };
        write().map_err(|e| of_file(e, "the head of the audit log could not be written", &path))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

/// Files that only their owner reads.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_directory(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|e| of_file(e, "the directory of the audit log could not be made", path))
}
