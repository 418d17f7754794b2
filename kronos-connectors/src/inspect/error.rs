//! Errors that the pools of all engines have, and how long they wait.

use std::time::Duration;

use kronos_core::inspect::PoolSettings;
use kronos_core::{Error, ErrorKind, Retry};

/// What to do where a session that only reads has refused.
pub(crate) const TO_WRITE: &str = "--write, in a program `Query::writing`, opens a session that may write";

/// No connection became free.
pub(crate) fn exhausted(bounds: &PoolSettings) -> Error {
    Error::new(ErrorKind::PoolExhausted, "no connection became free in time")
        .with("connections", bounds.max_connections)
        .with("after", format!("{:.1} s", bounds.acquire_timeout.as_secs_f64()))
        .with_retry(Retry::Later)
}

/// The pool has been closed.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::ConnectionFailed, "the pool of connections is closed")
}

/// A connection was used after it had been given back.
pub(crate) fn used_up() -> Error {
    Error::new(ErrorKind::Internal, "a connection was used after its end")
}

/// The same error in these words, of the kind that callers of the service branch on.
pub(crate) fn of_kind(error: &Error, kind: ErrorKind, message: &str) -> Error {
    let same = Error::new(kind, message).with_retry(error.retry());
    error.contexts().fold(same, |same, (key, value)| same.with(key, value))
}

/// How long a connection out of a pool is waited for to say something: there is time for another one.
pub(crate) fn patience(bounds: &PoolSettings) -> Duration {
    bounds.acquire_timeout / 4
}

/// Nothing was heard of the server.
pub(crate) fn unanswered(server: impl std::fmt::Display, after: Duration) -> Error {
    Error::new(ErrorKind::Timeout, "the server did not answer in time")
        .with("server", server)
        .with("after", format!("{:.1} s", after.as_secs_f64()))
        .with_retry(Retry::Later)
}
