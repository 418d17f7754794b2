//! MySQL, 8.0 and newer, and MariaDB, 10.6 and newer.
//!
//! A backup reads several snapshots that were opened while commits were held back for a moment, so
//! that they are one: definitions by `SHOW CREATE`, rows by `SELECT` in the format of `LOAD DATA`,
//! large tables in ranges of their primary keys. The place in the binary log is of the same moment.

mod allowed;
mod begin;
mod building;
mod catalog;
mod code;
mod comments;
mod connect;
mod ddl;
mod dump;
mod error;
mod export;
mod globals;
mod globals_file;
mod guard;
mod insert;
#[cfg(feature = "inspect")]
mod inspect;
mod journal;
mod lines;
mod load;
mod login;
mod moment;
mod names;
mod numbered;
mod objects;
mod option_file;
mod place;
mod placing;
mod plan;
mod preflight;
mod ranges;
mod read_rows;
mod reading;
mod restore;
mod rewrite;
mod script;
mod script_file;
mod sections;
mod settings;
mod source;
mod swap;
mod target;
mod tool_dump;
pub(crate) mod tools;
mod watch;
mod workers;
mod write_rows;
mod writing;

#[cfg(feature = "inspect")]
pub use inspect::MysqlDatabase;
pub use settings::{Check, Consistency, Method, MysqlSettings, Tls, TlsMode};
pub use source::MysqlSource;
