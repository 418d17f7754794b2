//! SQLite: consistent backups of live files, and restores that never leave half a file.
//!
//! A dump holds one read transaction on each file from beginning to end and reads the pages with
//! SQLite's own backup API. Writers in WAL mode go on; should the log grow too far because the
//! reader is slow, the rest is copied to a local file and the transaction ended. A database in
//! rollback mode is copied first, always, as a reader holds up its writers.

mod begin;
mod check;
mod content;
mod dump;
mod error;
mod ffi;
mod header;
#[cfg(feature = "inspect")]
pub(crate) mod inspect;
mod look;
mod open;
mod order;
mod outlet;
mod page_file;
mod restore;
mod settings;
mod snapshot;
mod source;
mod spool;
mod swap;
mod target;
mod write_out;

#[cfg(feature = "inspect")]
pub use inspect::SqliteDatabase;
pub use settings::{SqlitePlace, SqliteSettings};
pub use source::SqliteSource;
