//! How time passes: behind a trait, so that a simulation can let a year pass in seconds.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::{Clock, Timestamp};

/// A sleep is never longer, so that a clock that was set, or a machine that slept, is noticed.
const LONGEST: Duration = Duration::from_mins(1);

/// Lets time pass.
#[async_trait]
pub trait Timer: std::fmt::Debug + Send + Sync {
    /// Waits until the clock shows `at`. It may come back earlier, and does so after a minute at
    /// the latest, for clocks are set and machines sleep.
    async fn sleep_until(&self, at: Timestamp);

    /// Waits for so long, whatever the clock shows.
    async fn sleep(&self, duration: Duration);
}

/// The time of the machine, by tokio's timers.
#[derive(Debug, Clone)]
pub struct WallTimer {
    clock: Arc<dyn Clock>,
}

impl WallTimer {
    /// Compares with this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

#[async_trait]
impl Timer for WallTimer {
    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(at.since(self.clock.now()).min(LONGEST)).await;
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
