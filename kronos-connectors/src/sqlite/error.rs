//! Turns errors of SQLite into Kronos's, each with its path.

use std::path::Path;

use kronos_core::{Error, ErrorKind, Retry};
use rusqlite::ErrorCode;

pub(super) use crate::system::io;

/// An error of SQLite at `path`.
pub(super) fn sqlite(error: rusqlite::Error, path: &Path) -> Error {
    let (kind, message) = error.sqlite_error_code().map_or((ErrorKind::QueryFailed, "SQLite failed"), of_code);
    // SQLite says "cannot open" for a missing right too; the system knows better.
    let (kind, message) = match kind {
        ErrorKind::Io if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && !may_use(path) => {
            (ErrorKind::PermissionDenied, "no permission to read the database")
        }
        _ => (kind, message),
    };
    let retry = if kind == ErrorKind::Locked { Retry::Later } else { Retry::Never };
    Error::new(kind, message)
        .with("path", path.display())
        .with("sqlite", one_line(&error))
        .with_retry(retry)
        .with_source(error)
}

/// The run was stopped.
pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was cancelled")
}

/// A promise inside this connector was broken.
pub(super) fn internal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, message)
}

/// A second error that says the same: one goes into the stream, one to whoever finishes the dump.
pub(super) fn echo(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.message()).with_retry(error.retry());
    for key in ["path", "stream", "sqlite", "system"] {
        if let Some(value) = error.context(key) {
            copy = copy.with(key, value);
        }
    }
    copy
}

fn of_code(code: ErrorCode) -> (ErrorKind, &'static str) {
    match code {
        ErrorCode::NotADatabase => (ErrorKind::Config, "not a SQLite database"),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            (ErrorKind::Locked, "the database is locked by another program")
        }
        ErrorCode::DatabaseCorrupt => (ErrorKind::Corrupt, "the database is malformed"),
        ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied => {
            (ErrorKind::PermissionDenied, "no permission for the database or its directory")
        }
        ErrorCode::DiskFull => (ErrorKind::StorageFull, "no room left on the disk"),
        ErrorCode::OperationInterrupted | ErrorCode::OperationAborted => {
            (ErrorKind::Cancelled, "the work in SQLite was interrupted")
        }
        ErrorCode::CannotOpen => (ErrorKind::Io, "SQLite cannot open the file"),
        ErrorCode::SystemIoFailure => (ErrorKind::Io, "SQLite could not read or write"),
        _ => (ErrorKind::QueryFailed, "SQLite failed"),
    }
}

/// Whether this user may read the file and, for the side files of a WAL database, write beside it.
fn may_use(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    let beside = path.parent().unwrap_or(path);
    access(path, Access::READ_OK).is_ok() && access(beside, Access::READ_OK | Access::WRITE_OK).is_ok()
}

fn one_line(error: &rusqlite::Error) -> String {
    error.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_get_the_kinds_that_callers_branch_on() {
        assert_eq!(of_code(ErrorCode::NotADatabase), (ErrorKind::Config, "not a SQLite database"));
        assert_eq!(of_code(ErrorCode::ReadOnly).0, ErrorKind::PermissionDenied);
        assert_eq!(of_code(ErrorCode::DatabaseCorrupt).0, ErrorKind::Corrupt);
        assert_eq!(of_code(ErrorCode::DiskFull).0, ErrorKind::StorageFull);
    }

    #[test]
    fn a_lock_is_worth_another_try() {
        let busy = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
        let error = sqlite(busy, Path::new("/srv/app.db"));
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Locked, Retry::Later));
        assert_eq!(error.context("path"), Some("/srv/app.db"));
    }
}
