//! A pool of connections: its bounds, and how it does.

use std::time::Duration;

use serde::Serialize;

/// The bounds of a pool, and of what runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSettings {
    /// The most connections. Default 20.
    pub max_connections: u32,
    /// Connections that are kept once they were opened. Default 2.
    pub min_connections: u32,
    /// How long a caller waits for one before it gets `PoolExhausted`. Default 5 s.
    pub acquire_timeout: Duration,
    /// How long one may be idle beyond the least number. Default 300 s.
    pub idle_timeout: Duration,
    /// How old one may be. Default 1800 s.
    pub max_lifetime: Duration,
    /// How long a statement may take that does not say so itself. Default 30 s.
    pub query_timeout: Duration,
    /// A round trip that takes longer is slow. Default 500 ms.
    pub slow: Duration,
    /// For how long the answer of [`Inspect::health`](super::Inspect::health) is given again. Default 1 s.
    pub health_for: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max_connections: 20,
            min_connections: 2,
            acquire_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(5),
            max_lifetime: Duration::from_mins(30),
            query_timeout: Duration::from_secs(30),
            slow: Duration::from_millis(500),
            health_for: Duration::from_secs(1),
        }
    }
}

/// How a pool does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PoolStatistics {
    /// The most connections it may have.
    pub max: u32,
    /// Connections there are.
    pub size: u32,
    /// Of these, in use.
    pub active: u32,
    /// Of these, free.
    pub idle: u32,
    /// Callers that wait for one.
    pub waiting: u32,
}
