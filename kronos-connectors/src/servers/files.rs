//! Plain files in a directory: what an export makes.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result, TargetReport};

use crate::system::io;

/// Looks at a directory; it must not exist, or be empty.
pub(crate) fn inspect(directory: &Path, needed: u64) -> Result<TargetReport> {
    let is_empty = match std::fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
        Err(e) => return Err(io(e, directory)),
    };
    let existing = if is_empty { Vec::new() } else { vec![format!("{} is not empty", directory.display())] };
    Ok(TargetReport { existing, needed, free: None, obstacles: Vec::new() })
}

/// A directory that is being filled, and is emptied again unless it becomes whole.
#[derive(Debug)]
pub(crate) struct Filling {
    path: PathBuf,
    is_whole: bool,
}

impl Filling {
    /// Makes a directory that has nothing yet.
    pub(crate) fn begin(directory: &Path) -> Result<Self> {
        if let Some(existing) = inspect(directory, 0)?.existing.first() {
            return Err(Error::new(ErrorKind::AlreadyExists, existing));
        }
        std::fs::create_dir_all(directory).map_err(|e| io(e, directory))?;
        Ok(Self { path: directory.to_owned(), is_whole: false })
    }

    /// What is in it stays.
    pub(crate) fn keep(&mut self) {
        self.is_whole = true;
    }
}

impl Deref for Filling {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        if self.is_whole {
            return;
        }
        let Ok(entries) = std::fs::read_dir(&self.path) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            // What cannot be removed is seen by the next export, which refuses.
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
    }
}

/// The name of a database as that of a directory or a file.
pub(crate) fn folder(database: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut name = String::new();
    for c in database.chars() {
        if is_plain(c) {
            name.push(c);
        } else {
            name.extend(c.to_string().bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_never_leads_elsewhere() {
        assert_eq!(
            (folder("shop"), folder("../x"), folder("a b")),
            ("shop".into(), "%2E%2E%2Fx".into(), "a%20b".into())
        );
    }
}
