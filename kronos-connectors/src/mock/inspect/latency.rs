//! How long calls take.

use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result};

use super::call::MockOperation;
use super::errors::chance;

/// How long calls take, by tokio's clock: a test that pauses that waits for nothing. The connection
/// is in use meanwhile, and the time for a statement counts. Several add up.
#[derive(Debug, Clone)]
pub struct MockLatency {
    least: Duration,
    most: Duration,
    seed: u64,
    on: Vec<MockOperation>,
}

impl MockLatency {
    /// Always as long.
    pub fn new(time: Duration) -> Self {
        Self::between(time, time)
    }

    /// Between these two by chance.
    pub fn between(least: Duration, most: Duration) -> Self {
        Self { least, most, seed: 0, on: Vec::new() }
    }

    /// What comes by chance comes by this seed. Default 0.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Only at this operation. May be given several times.
    #[must_use]
    pub fn on(mut self, operation: MockOperation) -> Self {
        self.on.push(operation);
        self
    }

    /// What the call with this number waits.
    pub(super) fn of(&self, operation: MockOperation, number: u64) -> Duration {
        if !self.on.is_empty() && !self.on.contains(&operation) {
            return Duration::ZERO;
        }
        self.least + self.most.saturating_sub(self.least).mul_f64(chance(self.seed, 0, number))
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.least > self.most {
            return Err(Error::new(ErrorKind::Config, "the least latency is more than the most"));
        }
        Ok(())
    }
}

impl From<Duration> for MockLatency {
    fn from(time: Duration) -> Self {
        Self::new(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_in_its_bounds() {
        let (least, most) = (Duration::from_millis(10), Duration::from_millis(30));
        let latency = MockLatency::between(least, most).on(MockOperation::Query);
        let times: Vec<Duration> = (0..100).map(|number| latency.of(MockOperation::Query, number)).collect();
        assert!(times.iter().all(|time| (least..most).contains(time)), "{times:?}");
        assert!(times.iter().any(|time| *time < Duration::from_millis(15)), "{times:?}");
        assert_eq!(times[7], latency.of(MockOperation::Query, 7));
        assert_eq!(latency.of(MockOperation::Commit, 7), Duration::ZERO);
        assert_eq!(MockLatency::new(most).of(MockOperation::Commit, 7), most);
        assert!(MockLatency::between(most, least).validate().is_err());
    }
}
