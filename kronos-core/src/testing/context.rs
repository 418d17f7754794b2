//! Time and randomness that a test decides, so that a history can be replayed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Prng;
use crate::run::{Entropy, Limits, RunContext};
use crate::time::{Clock, Timestamp};

/// Random bytes from a seed. Never for secrets.
#[derive(Debug, Clone)]
pub struct SeededEntropy(Arc<Mutex<Prng>>);

impl SeededEntropy {
    /// The bytes of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Prng::new(seed))))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut prng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            let bits = prng.bits().to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
    }
}

/// A clock that goes as a test sets it. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock at a time.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.as_micros())))
    }

    /// Sets it, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl RunContext {
    /// A run whose randomness comes from a seed, whose time from a clock of the test's, and which
    /// does everything on one thread: under a current-thread runtime with paused time, the same
    /// seed gives the same history.
    pub fn reproducible(seed: u64, clock: &ManualClock) -> Self {
        let limits = Limits { single_threaded: true, threads: 2, ..Limits::default() };
        let mut run = Self::new().with_limits(limits);
        run.clock = Arc::new(clock.clone());
        run.entropy = Arc::new(SeededEntropy::new(seed));
        run
    }

    /// The same with parts of uploads so small that tiny packs have several: for storages in memory, as
    /// others do not take them.
    #[must_use]
    pub fn with_tiny_parts(mut self) -> Self {
        self.part = 1 << 10;
        self
    }
}
