//! Reads a page of a directory tree in the order of the whole names.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use kronos_core::{Key, ObjectMeta, Result};

use super::failure::failed;
use super::meta;

/// How many objects a page has. Large, because each page reads its directories anew.
const PAGE: usize = 5000;

/// One page of what lies below a prefix and after a name.
pub(super) fn page(root: &Path, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
    let mut page = Vec::new();
    let (directory, name) = match prefix {
        Some(prefix) => (root.join(prefix.as_str()), format!("{prefix}/")),
        None => (root.to_owned(), String::new()),
    };
    walk(&directory, &name, after.map_or("", Key::as_str), &mut page)?;
    Ok(page)
}

/// Adds what is in a directory whose objects' names begin with `name`.
fn walk(directory: &Path, name: &str, after: &str, page: &mut Vec<ObjectMeta>) -> Result<()> {
    for entry in entries(directory)? {
        let whole = format!("{name}{entry}");
        if let Some(below) = entry.strip_suffix('/') {
            // All names in it begin with `whole`: they come after `after`, before it, or on both sides.
            if whole.as_str() > after || after.starts_with(&whole) {
                walk(&directory.join(below), &whole, after, page)?;
            }
        } else if whole.as_str() > after {
            let path = directory.join(&entry);
            match (fs::metadata(&path), Key::new(&whole)) {
                (Ok(found), Ok(key)) => page.push(meta(key, &found)),
                // Removed since the directory was read.
                (Err(e), _) if e.kind() == io::ErrorKind::NotFound => {}
                (Err(e), _) => return Err(failed("an object could not be looked at", &path, e)),
                (_, Err(e)) => return Err(e),
            }
        }
        if page.len() >= PAGE {
            break;
        }
    }
    Ok(())
}

/// The names in a directory, those of directories with a `/` at their end: that puts them where
/// the names of their objects belong.
fn entries(directory: &Path) -> Result<Vec<String>> {
    let failed = |e| failed("a directory could not be read", directory, e);
    let read = match fs::read_dir(directory) {
        Ok(read) => read,
        // Nothing was stored there, or it is an object itself.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut names = Vec::new();
    for entry in read {
        let entry = entry.map_err(failed)?;
        // What is not named as Kronos names objects is not ours: the staging directory, strangers.
        let Some(mut name) = entry.file_name().to_str().filter(|name| Key::new(name).is_ok()).map(str::to_owned) else {
            continue;
        };
        match is_directory(&entry) {
            Ok(Some(true)) => name.push('/'),
            Ok(Some(false)) => {}
            Ok(None) => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(failed(e)),
        }
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether it is a directory or a file, followed through symbolic links; `None` is neither.
fn is_directory(entry: &DirEntry) -> io::Result<Option<bool>> {
    let mut kind = entry.file_type()?;
    if kind.is_symlink() {
        kind = fs::metadata(entry.path())?.file_type();
    }
    Ok(if kind.is_dir() {
        Some(true)
    } else if kind.is_file() {
        Some(false)
    } else {
        None
    })
}
