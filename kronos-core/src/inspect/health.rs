//! Whether a database can be worked with, and why not.

use std::time::Duration;

use serde::Serialize;

use super::pool::{PoolSettings, PoolStatistics};
use crate::error::{Error, ErrorKind};

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// It answers, and there are connections left.
    Healthy,
    /// It answers slowly, or nearly all connections are in use.
    Degraded,
    /// It does not answer.
    Unhealthy,
}

/// How a database does.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
    /// Why it is not healthy, in one line.
    pub reason: Option<String>,
    /// How long the round trip took, without the wait for a connection.
    #[serde(serialize_with = "milliseconds", rename = "latency_ms")]
    pub latency: Option<Duration>,
    /// How the pool does.
    pub pool: PoolStatistics,
}

#[expect(clippy::ref_option, reason = "serde hands it over so")]
fn milliseconds<S: serde::Serializer>(latency: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    latency.map(|latency| latency.as_secs_f64() * 1000.0).serialize(serializer)
}

impl Health {
    /// What a round trip, or its failure, says together with the state of the pool.
    pub fn of(trip: &Result<Duration, Error>, pool: PoolStatistics, settings: &PoolSettings) -> Self {
        let nearly = settings.max_connections.saturating_sub(settings.max_connections / 10).max(1);
        let crowded = (pool.active >= nearly && settings.max_connections > 1)
            .then(|| format!("{} of {} connections are in use, {} wait", pool.active, pool.max, pool.waiting));
        let (status, reason, latency) = match trip {
            Err(error) if error.kind() == ErrorKind::PoolExhausted => {
                (HealthStatus::Degraded, crowded.or_else(|| Some(error.to_string())), None)
            }
            Err(error) => (HealthStatus::Unhealthy, Some(error.to_string()), None),
            Ok(latency) if *latency > settings.slow => {
                let reason = format!("a round trip took {} ms", latency.as_millis());
                (HealthStatus::Degraded, Some(reason), Some(*latency))
            }
            Ok(latency) if crowded.is_some() => (HealthStatus::Degraded, crowded, Some(*latency)),
            Ok(latency) => (HealthStatus::Healthy, None, Some(*latency)),
        };
        Self { status, reason, latency, pool }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_crowded_and_silent_are_told_apart() {
        let settings = PoolSettings::default();
        let free = PoolStatistics { max: 20, size: 2, active: 1, idle: 1, waiting: 0 };
        let full = PoolStatistics { max: 20, size: 20, active: 18, idle: 2, waiting: 0 };
        let of = |trip, pool| Health::of(&trip, pool, &settings).status;
        assert_eq!(of(Ok(Duration::from_millis(3)), free), HealthStatus::Healthy);
        assert_eq!(of(Ok(Duration::from_millis(3)), full), HealthStatus::Degraded);
        assert_eq!(of(Ok(Duration::from_millis(501)), free), HealthStatus::Degraded);
        assert_eq!(of(Err(Error::new(ErrorKind::PoolExhausted, "none became free")), full), HealthStatus::Degraded);
        assert_eq!(of(Err(Error::new(ErrorKind::ConnectionFailed, "gone")), free), HealthStatus::Unhealthy);
    }
}
