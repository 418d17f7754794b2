//! Lets SQLite check a restored file, without changing it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use kronos_core::{Error, ErrorKind, PreviousStream, Result};
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags};

use super::error;

/// A restored file opened for its check.
pub(super) struct Check {
    connection: Connection,
}

/// What a check found, when it found nothing wrong.
pub(super) enum Verdict {
    /// All is well.
    Ok,
    /// Parts could not be looked at, for this reason: the database needs functions of its program.
    Partly(String),
}

/// Stops a check when it is dropped.
pub(super) struct StopOnDrop(InterruptHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

impl Check {
    /// Opens the file as one that nobody changes: so SQLite makes no file beside it, not even for a
    /// database in WAL mode.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |e| error::sqlite(e, path);
        let absolute = std::fs::canonicalize(path).map_err(|e| error::io(e, path))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(immutable_uri(&absolute), flags).map_err(failed)?;
        Ok(Self { connection })
    }

    /// Stops it from outside.
    pub(super) fn stop_on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.connection.get_interrupt_handle())
    }

    /// Compares the header with the backup's description, and runs `integrity_check`.
    pub(super) fn run(&self, stream: &PreviousStream) -> Result<Verdict> {
        let name = &stream.info.name;
        if stream.end.length > 0 {
            for key in ["page_size", "application_id", "user_version", "schema_version"] {
                self.compare(key, stream)?;
            }
            let size = self.pragma("page_size", name)? * self.pragma("page_count", name)?;
            if u64::try_from(size).ok() != Some(stream.end.length) {
                return Err(wrong(name, &format!("its header speaks of {size} bytes")));
            }
        }
        match self.integrity() {
            Ok(lines) if lines == ["ok"] => Ok(Verdict::Ok),
            Ok(lines) => Err(wrong(name, &lines.join("; "))),
            // The bytes are those of the source, so what SQLite lacks here the source's program has:
            // a collation, a function, a module.
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::Unknown) => Ok(Verdict::Partly(e.to_string())),
            Err(e) => Err(error::sqlite(e, Path::new(name))),
        }
    }

    fn compare(&self, key: &str, stream: &PreviousStream) -> Result<()> {
        let found = self.pragma(key, &stream.info.name)?;
        match stream.info.attributes.get(key) {
            Some(expected) if *expected != found.to_string() => {
                Err(wrong(&stream.info.name, &format!("{key} is {found}, not {expected}")))
            }
            _ => Ok(()),
        }
    }

    fn pragma(&self, key: &str, name: &str) -> Result<i64> {
        self.connection.pragma_query_value(None, key, |row| row.get(0)).map_err(|e| error::sqlite(e, Path::new(name)))
    }

    fn integrity(&self) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check(3)")?;
        statement.query_map([], |row| row.get(0))?.collect()
    }
}

fn wrong(name: &str, found: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "SQLite's check of the restored database failed")
        .with("stream", name)
        .with("found", found.replace('\n', " "))
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(byte)),
            _ => uri.extend(format!("%{byte:02X}").chars()),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_add_parameters() {
        assert_eq!(immutable_uri(Path::new("/a b/c?mode=rw#%.db")), "file:///a%20b/c%3Fmode%3Drw%23%25.db?immutable=1");
    }
}
