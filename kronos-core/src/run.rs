//! What every operation is handed: observer, cancellation, clock, randomness and limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::event::{Event, Observer, Silent};
use crate::time::{Clock, SystemClock, Timestamp};

/// Gives random bytes for names, salts and keys.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        SystemRandom::new().fill(buffer).expect("the operating system's random source does not fail once it is up");
    }
}

/// How much of the machine an operation may use.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Memory of the operation in bytes. Default 256 MiB.
    pub memory: u64,
    /// Streams read or written at a time. Default 4.
    pub parallel: usize,
    /// Threads that hash, compress and seal. Default: as many as the machine has.
    pub threads: usize,
    /// How often what is transient is tried. Default 8: with the pauses between, some 10 s, in which
    /// a store may start again.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles each time, up to `backoff_max`. Default 100 ms.
    pub backoff: Duration,
    /// The longest pause between attempts. Default 30 s.
    pub backoff_max: Duration,
    /// How long a doomed pack is kept for slow writers. Default 24 h.
    pub grace: Duration,
    /// Do all work on the calling thread, in a fixed order: for reproducible tests.
    pub single_threaded: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            parallel: 4,
            threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            attempts: 8,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            grace: Duration::from_hours(24),
            single_threaded: false,
        }
    }
}

/// What an operation is handed; cheap to clone.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// Where events go.
    pub observer: Arc<dyn Observer>,
    /// Stops the operation when cancelled.
    pub cancel: CancellationToken,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// How much may be used.
    pub limits: Limits,
    /// Bytes in each part of an upload but the last.
    pub(crate) part: usize,
    pub(crate) bugs: crate::bugs::Bugs,
}

/// The least that S3 takes, for three of them are in memory at a time.
const PART: usize = 5 << 20;

impl Default for RunContext {
    fn default() -> Self {
        Self {
            observer: Arc::new(Silent),
            cancel: CancellationToken::new(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            limits: Limits::default(),
            part: PART,
            bugs: crate::bugs::Bugs::default(),
        }
    }
}

impl RunContext {
    /// The system's clock and randomness, default limits, no observer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another observer.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Tells the observer.
    pub fn emit(&self, event: &Event) {
        self.observer.on_event(event);
    }

    /// An error of kind `Cancelled` once the run has been cancelled.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// Runs CPU-bound work off the async threads.
    pub(crate) async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        if self.limits.single_threaded {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("a worker thread failed").with_source(e))
    }
}
