//! What the connectors of database servers have in common.

pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod options;
#[cfg(any(feature = "mongodb", feature = "mysql"))]
pub(crate) mod output;
pub(crate) mod program;
pub(crate) mod restoring;
#[cfg_attr(
    not(any(feature = "mongodb", feature = "mysql")),
    allow(dead_code, reason = "PostgreSQL's programs get passwords by their environment")
)]
pub(crate) mod secret_file;
pub(crate) mod streams;
