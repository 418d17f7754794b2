//! One file under a read transaction: its description, and its pages.

use std::path::PathBuf;

use kronos_core::{Cutting, Error, ErrorKind, Result, StreamInfo};
use tokio_util::sync::CancellationToken;

use super::header::{HEADER, PageOne};
use super::look::Look;
use super::open::{Database, side_file};
use super::order::{PageOrder, PageOut};
use super::{error, ffi};

/// A database under a read transaction. Dropping it releases the database.
#[derive(Debug)]
pub(super) struct Snapshot {
    database: Database,
    page_size: u32,
    pages: u32,
    one: PageOne,
    in_wal_mode: bool,
    log: LogWatch,
}

/// Watches how far the write-ahead log has grown since the snapshot was taken: as long as it is
/// held, the log cannot start over.
#[derive(Debug, Clone)]
pub(super) struct LogWatch {
    path: PathBuf,
    limit: u64,
}

impl LogWatch {
    fn new(path: PathBuf, wal_limit: u64) -> Self {
        let limit = length(&path).saturating_add(wal_limit);
        Self { path, limit }
    }

    /// Whether the log has outgrown its limit.
    pub(super) fn is_exceeded(&self) -> bool {
        length(&self.path) > self.limit
    }
}

fn length(path: &std::path::Path) -> u64 {
    // No log, no growth.
    std::fs::metadata(path).map_or(0, |found| found.len())
}

impl Snapshot {
    /// Describes a database whose read transaction has begun; `before` was seen before that.
    pub(super) fn describe(
        database: Database,
        name: &str,
        before: &Look,
        wal_limit: u64,
    ) -> Result<(Self, StreamInfo, Look)> {
        let page_size: u32 = database.pragma("page_size")?;
        let pages: u32 = database.pragma("page_count")?;
        let journal_mode: String = database.pragma("journal_mode")?;
        let cookie: i64 = database.pragma("schema_version")?;
        let mode = {
            use std::os::unix::fs::MetadataExt;
            let path = database.path();
            std::fs::metadata(path).map_err(|e| error::io(e, path))?.mode() & 0o7777
        };
        let header: Option<[u8; HEADER]> =
            ffi::read_main_file(database.connection()).map_err(|e| error::sqlite(e, database.path()))?;

        let mut info = StreamInfo::new(name);
        info.cutting = Cutting::Pages(page_size.max(4096));
        info.size_hint = Some(u64::from(page_size) * u64::from(pages));
        let mut put = |key: &str, value: String| info.attributes.insert(key.to_owned(), value);
        put("page_size", page_size.to_string());
        put("pages", pages.to_string());
        put("mode", format!("{mode:o}"));
        put("journal_mode", journal_mode.clone());
        put("application_id", database.pragma::<i64>("application_id")?.to_string());
        put("user_version", database.pragma::<i64>("user_version")?.to_string());
        put("schema_version", cookie.to_string());
        let after = Look::at(database.path())?;
        let empty = [0; 0];
        let shown = header.as_ref().map(<[u8; HEADER]>::as_slice).or((pages == 0).then_some(&empty[..]));
        Look::record(before, &after, shown, &mut info);

        let snapshot = Self {
            page_size,
            pages,
            one: PageOne::new(cookie_bits(cookie), header.as_ref()),
            in_wal_mode: journal_mode.eq_ignore_ascii_case("wal"),
            log: LogWatch::new(side_file(database.path(), "-wal"), wal_limit),
            database,
        };
        Ok((snapshot, info, after))
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        u64::from(self.page_size) * u64::from(self.pages)
    }

    /// Whether writers can go on while it is held.
    pub(super) fn in_wal_mode(&self) -> bool {
        self.in_wal_mode
    }

    /// Watches its write-ahead log.
    pub(super) fn log(&self) -> &LogWatch {
        &self.log
    }

    /// Where the file really is.
    pub(super) fn path(&self) -> &std::path::Path {
        self.database.path()
    }

    /// Hands all pages to `out`, proves that the snapshot was held so long, and releases it.
    pub(super) fn copy(self, out: &mut dyn PageOut, stop: &CancellationToken) -> Result<()> {
        if self.pages > 0 {
            let proceed = || if stop.is_cancelled() { Err(error::cancelled()) } else { Ok(()) };
            let mut order = PageOrder::new(out, self.page_size, self.pages);
            ffi::copy_pages(self.database.connection(), self.database.path(), &mut order, &proceed)?;
            order.finish(&self.one)?;
        }
        self.database.end()
    }
}

/// The pragma shows 32 bits as a signed number.
fn cookie_bits(cookie: i64) -> u32 {
    u32::from_ne_bytes(i32::try_from(cookie).unwrap_or_default().to_ne_bytes())
}

/// The page size that a stream's description names.
pub(super) fn page_size(info: &StreamInfo) -> Result<u32> {
    info.attributes
        .get("page_size")
        .and_then(|size| size.parse().ok())
        .filter(|size: &u32| size.is_power_of_two() && (512..=65536).contains(size))
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a SQLite stream without a page size").with("stream", &info.name))
}
