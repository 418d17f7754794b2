//! Errors that connectors of every database server have.

use kronos_core::{Error, ErrorKind, Retry};

/// What the server adds to its message is shown up to so many characters.
const MOST: usize = 300;

/// Whether the connection is gone, so that the same may be tried over a new one.
pub(crate) fn is_lost(error: &Error) -> bool {
    error.kind() == ErrorKind::ConnectionFailed && error.retry() == Retry::Later
}

/// A promise inside this connector was broken.
pub(crate) fn internal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, message)
}

/// The run was stopped.
pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was cancelled")
}

/// A second error that says the same: one goes into the stream, one to whoever finishes the dump.
pub(crate) fn echo(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).with_retry(error.retry());
    error.contexts().fold(copy, |copy, (key, value)| copy.with(key, value))
}

pub(crate) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
