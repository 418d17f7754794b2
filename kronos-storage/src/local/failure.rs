//! Turns errors of the operating system into errors with a kind.

use std::io;
use std::path::Path;

use kronos_core::{Error, ErrorKind, Key, Retry};

/// An error while writing, or one that has nothing to do with a single object.
pub(super) fn failed(message: &str, path: &Path, error: io::Error) -> Error {
    use io::ErrorKind as E;
    let (kind, retry) = match error.kind() {
        // Something that is not ours stands where a directory or a file belongs.
        E::NotADirectory | E::IsADirectory | E::InvalidInput | E::InvalidFilename => (ErrorKind::Config, Retry::Never),
        E::TimedOut => (ErrorKind::Timeout, Retry::Later),
        E::Interrupted | E::WouldBlock | E::ResourceBusy | E::StaleNetworkFileHandle => (ErrorKind::Io, Retry::Later),
        // All files that the process or the machine may have are open.
        _ if matches!(
            rustix::io::Errno::from_io_error(&error),
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
        ) =>
        {
            (ErrorKind::Io, Retry::Later)
        }
        known => (ErrorKind::from(known), Retry::Never),
    };
    Error::new(kind, message).with_retry(retry).with("path", path.display()).with_source(error)
}

/// An error while reading an object. A directory in its place, or a file in the place of one of
/// its directories, means that there is no such object.
pub(super) fn unreadable(key: &Key, path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Error::new(ErrorKind::NotFound, "no such object").with("object", key).with_source(error)
        }
        // It was cut off between looking at its size and reading it.
        io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Corrupt, "the object is shorter than it should be").with("object", key)
        }
        _ => failed("an object could not be read", path, error).with("object", key),
    }
}
