//! What the connectors of database servers have in common.

pub(crate) mod error;
pub(crate) mod options;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod program;
#[cfg(any(feature = "mysql", feature = "postgres"))]
#[cfg_attr(
    not(feature = "mysql"),
    allow(dead_code, reason = "PostgreSQL's programs get passwords by their environment")
)]
pub(crate) mod secret_file;
