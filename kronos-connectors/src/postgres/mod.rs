//! PostgreSQL, 12 and newer.
//!
//! A backup reads one snapshot over several connections: the schema by `pg_dump`, the one program
//! that gets it right, and the rows by `COPY`, large tables in ranges of their blocks. Or `pg_dump`
//! reads all of it (`method = "tool"`).

mod begin;
mod building;
mod catalog;
mod connect;
mod dump;
mod error;
mod export;
mod globals;
mod holder;
#[cfg(feature = "inspect")]
mod inspect;
mod large_objects;
mod names;
mod own_sql;
mod plan;
mod preflight;
mod read_rows;
mod reading;
mod restore;
mod settings;
mod source;
mod statements;
mod target;
mod toc;
pub(crate) mod tools;
mod workers;
mod write_rows;

#[cfg(feature = "inspect")]
pub use inspect::PostgresDatabase;
pub use settings::{Method, PostgresSettings, Tls, TlsMode};
pub use source::PostgresSource;
