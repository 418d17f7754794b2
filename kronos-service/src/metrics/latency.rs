//! How long requests took, counted by how long: a histogram.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper ends in seconds. A store nearby answers in milliseconds, a part of a pack over a slow line
/// takes half a minute.
pub(super) const BUCKETS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, f64::INFINITY];

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Latency {
    /// How many lie in each bucket, and in none before.
    pub(super) counts: [u64; BUCKETS.len()],
    /// Seconds, all together.
    pub(super) sum: f64,
    pub(super) failed: u64,
}

impl Latency {
    pub(super) fn add(&mut self, took: Duration, failed: bool) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|end| seconds <= *end).unwrap_or(BUCKETS.len() - 1);
        self.counts[bucket] += 1;
        self.sum += seconds;
        self.failed += u64::from(failed);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}
