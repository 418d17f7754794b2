//! `[pool]`: connections for looking into databases.

use std::time::Duration;

use kronos_core::Result;

use super::section::{Keys, Section};

pub(super) const KEYS: Keys = Keys {
    known: &["max_connections", "min_connections", "acquire_timeout", "idle_timeout", "max_lifetime", "query_timeout"],
    later: &[],
};

/// The bounds of a pool; `None` is the default of `kronos_core::inspect::PoolSettings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pool {
    /// The most connections.
    pub max_connections: Option<u32>,
    /// Connections that are kept.
    pub min_connections: Option<u32>,
    /// How long a caller waits for one.
    pub acquire_timeout: Option<Duration>,
    /// How long one may be idle.
    pub idle_timeout: Option<Duration>,
    /// How old one may be.
    pub max_lifetime: Option<Duration>,
    /// How long a statement may take that does not say so itself.
    pub query_timeout: Option<Duration>,
}

impl Pool {
    pub(super) fn from_section(section: &Section<'_>) -> Result<Self> {
        Ok(Self {
            max_connections: section.number("max_connections", 1)?,
            min_connections: section.number("min_connections", 0)?,
            acquire_timeout: section.duration("acquire_timeout")?,
            idle_timeout: section.duration("idle_timeout")?,
            max_lifetime: section.duration("max_lifetime")?,
            query_timeout: section.duration("query_timeout")?,
        })
    }
}
