//! What the operating system says of files.

use std::path::Path;

use kronos_core::{Error, ErrorKind};

/// An error of the operating system at `path`.
pub(crate) fn io(error: std::io::Error, path: &Path) -> Error {
    // What is looked for below a file is not there either.
    let kind = match error.kind() {
        std::io::ErrorKind::NotADirectory => ErrorKind::NotFound,
        other => other.into(),
    };
    let message = match kind {
        ErrorKind::StorageFull => "no room left on the disk",
        ErrorKind::PermissionDenied => "no permission",
        ErrorKind::NotFound => "no such file or directory",
        ErrorKind::AlreadyExists => "exists already",
        _ => "reading or writing failed",
    };
    Error::new(kind, message).with("path", path.display()).with("system", &error).with_source(error)
}
