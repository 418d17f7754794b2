//! `[pool]`: connections for looking into databases.

use std::time::Duration;

use super::schema::{Key, Kind, Table};
use super::section::Section;

const MOST: i64 = 10_000;

pub(super) static TABLE: Table = Table::new(
    "Connections for `kronos inspect` and `kronos query`. The variables MAX_DB_CONNECTIONS, MIN_DB_CONNECTIONS, \
     DB_ACQUIRE_TIMEOUT, DB_IDLE_TIMEOUT and DB_MAX_LIFETIME win.",
    &[
        Key::new("max_connections", Kind::Integer { least: 1, most: MOST }, "The most connections.").default("20"),
        Key::new("min_connections", Kind::Integer { least: 0, most: MOST }, "Connections that are kept.").default("2"),
        Key::new("acquire_timeout", Kind::Duration, "How long a caller waits for one.").default("\"5s\""),
        Key::new("idle_timeout", Kind::Duration, "How long one may be idle.").default("\"5m\""),
        Key::new("max_lifetime", Kind::Duration, "How old one may be.").default("\"30m\""),
        Key::new("query_timeout", Kind::Duration, "How long a statement may take that does not say so itself.")
            .default("\"30s\""),
    ],
);

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
    pub(super) fn from_section(section: &Section<'_>) -> Self {
        Self {
            max_connections: section.number("max_connections"),
            min_connections: section.number("min_connections"),
            acquire_timeout: section.duration("acquire_timeout"),
            idle_timeout: section.duration("idle_timeout"),
            max_lifetime: section.duration("max_lifetime"),
            query_timeout: section.duration("query_timeout"),
        }
    }
}

#[cfg(test)]
mod tests {
    use kronos_core::inspect::PoolSettings;

    use super::*;
    use crate::config::schema::assert_default;

    #[test]
    fn the_defaults_are_those_of_the_core() {
        let core = PoolSettings::default();
        let default = |name| TABLE.find(name).unwrap().0.default.unwrap();
        assert_eq!(default("max_connections"), core.max_connections.to_string());
        assert_eq!(default("min_connections"), core.min_connections.to_string());
        assert_default(&TABLE, "acquire_timeout", core.acquire_timeout);
        assert_default(&TABLE, "idle_timeout", core.idle_timeout);
        assert_default(&TABLE, "max_lifetime", core.max_lifetime);
        assert_default(&TABLE, "query_timeout", core.query_timeout);
    }
}
