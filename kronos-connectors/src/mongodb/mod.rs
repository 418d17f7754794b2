//! MongoDB, 6.0 and newer.
//!
//! A backup reads documents as they come from the wire, large collections in ranges of their `_id`s;
//! options and indexes as the server lists them; and what is written from before the first read to after
//! the last one, so that all of it becomes one point in time. A restore makes collections beside what is there,
//! reads them back, compares, applies what was written meanwhile, and renames them into their places.

mod archive;
mod begin;
mod bounds;
mod building;
mod catalog;
mod changes;
mod comparing;
mod config_file;
mod connect;
mod content;
mod dump;
mod error;
mod export;
mod insert;
#[cfg(feature = "inspect")]
mod inspect;
mod journal;
mod json;
mod locked;
mod long_command;
mod names;
mod pace;
mod placing;
mod plan;
mod preflight;
mod read_documents;
mod reading;
mod replay;
mod replayed;
mod restore;
mod settings;
mod source;
mod swap;
mod target;
mod tool_dump;
pub(crate) mod tools;
mod unpack;
mod users;

#[cfg(feature = "inspect")]
pub use inspect::MongodbDatabase;
pub use settings::{Changes, Check, Method, MongodbSettings, Tls, TlsMode};
pub use source::MongodbSource;
