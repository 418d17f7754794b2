//! What the connectors of database servers have in common.

pub(crate) mod error;
pub(crate) mod options;
pub(crate) mod stderr;
