//! Remembers which repository lies where, to notice when another is put in its place.
//!
//! The file is a convenience of this machine: where it cannot be read or written, nothing is
//! remembered, and that is no failure.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kronos_core::{Error, ErrorKind, Repository, RepositoryIdentity, Result};

type Entries = BTreeMap<String, RepositoryIdentity>;

/// The repositories that this machine has seen.
#[derive(Debug)]
pub(crate) struct Known {
    file: Option<PathBuf>,
    accept_new: bool,
    /// Several jobs of one process do not write at the same time.
    writing: Mutex<()>,
}

impl Known {
    /// Those in the user's state directory.
    pub(crate) fn of_user(accept_new: bool) -> Self {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Self { file: state.map(|state| state.join("kronos/known.json")), accept_new, writing: Mutex::new(()) }
    }

    /// Compares a repository with the one that lay there before, and remembers it.
    pub(crate) fn check(&self, repository: &Repository) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, identity) = (repository.describe(), repository.identity());
        let mut entries = read(file);
        match entries.get(&place) {
            Some(known) if *known == identity => return Ok(()),
            Some(_) if !self.accept_new => {
                let message = "another repository lies where a known one was";
                let hint = "if you made a new one there, say so once with --accept-new-repository; \
                            else someone may have replaced it: give it no backups";
                return Err(Error::new(ErrorKind::Conflict, message).with("storage", place).with("hint", hint));
            }
            _ => {}
        }
        entries.insert(place, identity);
        // See the head of this file.
        let _ = write(file, &entries);
        Ok(())
    }

    /// Refuses an empty storage on which a repository was known: a disk may not be mounted.
    pub(crate) fn check_gone(&self, place: &str) -> Result<()> {
        let known = self.file.as_deref().map(read).unwrap_or_default();
        if self.accept_new || !known.contains_key(place) {
            return Ok(());
        }
        let hint = "check that its disk is mounted; --accept-new-repository makes a new one";
        let message = "the repository that was there is gone";
        Err(Error::new(ErrorKind::Conflict, message).with("storage", place).with("hint", hint))
    }
}

fn read(file: &Path) -> Entries {
    fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn write(file: &Path, entries: &Entries) -> std::io::Result<()> {
    let directory = file.parent().unwrap_or(file);
    fs::create_dir_all(directory)?;
    let staged = directory.join(format!(".known.{}", std::process::id()));
    let text = serde_json::to_vec_pretty(entries)?;
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
    let written = out.write_all(&text).and_then(|()| out.sync_all()).and_then(|()| fs::rename(&staged, file));
    if written.is_err() {
        let _ = fs::remove_file(&staged);
    }
    written
}
