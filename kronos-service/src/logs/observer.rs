//! What a run tells, as lines of the log. Each kind has a name that stays, for machines: `event`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use kronos_core::{Clock, Event, Observer};
use tracing::{Span, debug, info, warn};

use super::TARGET;

/// Lines about progress are this far apart, or further.
const EVERY: Duration = Duration::from_secs(30);

/// Logs the events of one run.
#[derive(Debug)]
pub struct LogObserver {
    span: Span,
    clock: Arc<dyn Clock>,
    bytes: AtomicU64,
    stored: AtomicU64,
    /// When progress was last told, in microseconds.
    told: AtomicI64,
}

impl LogObserver {
    /// Logs within the span of a run, see [`run_span`](super::run_span).
    pub fn new(span: Span, clock: Arc<dyn Clock>) -> Self {
        let told = AtomicI64::new(clock.now().as_micros());
        Self { span, clock, bytes: AtomicU64::new(0), stored: AtomicU64::new(0), told }
    }

    fn progress(&self, bytes: u64, stored: u64) {
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let stored = self.stored.fetch_add(stored, Ordering::Relaxed) + stored;
        let (now, told) = (self.clock.now().as_micros(), self.told.load(Ordering::Relaxed));
        let due = now.saturating_sub(told) >= i64::try_from(EVERY.as_micros()).unwrap_or(i64::MAX);
        // Of several threads that find it due, one tells.
        if due && self.told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            info!(target: TARGET, parent: &self.span, event = "progress", bytes, stored, "at work");
        }
    }
}

impl Observer for LogObserver {
    fn on_event(&self, event: &Event) {
        let span = &self.span;
        match event {
            Event::Started { operation, subject } => {
                // What was counted is of the operation before.
                self.bytes.store(0, Ordering::Relaxed);
                self.stored.store(0, Ordering::Relaxed);
                info!(target: TARGET, parent: span, event = "operation.started", operation, subject, "{operation} of {subject} begins");
            }
            Event::Estimated { bytes } => {
                debug!(target: TARGET, parent: span, event = "operation.estimated", bytes, "about {bytes} bytes to read");
            }
            Event::StreamStarted { name } => {
                debug!(target: TARGET, parent: span, event = "stream.started", stream = name, "stream begins");
            }
            Event::StreamFinished { name, bytes } => {
                debug!(target: TARGET, parent: span, event = "stream.finished", stream = name, bytes, "stream is done");
            }
            Event::Chunked { chunks, new } => {
                debug!(target: TARGET, parent: span, event = "operation.chunked", chunks, new, "{new} of {chunks} chunks are new");
            }
            Event::Progress { bytes, stored } => self.progress(*bytes, *stored),
            Event::Retrying { what, attempt, error } => {
                warn!(target: TARGET, parent: span, event = "retrying", what, attempt, error, "failed and is tried again");
            }
            Event::StorageLost { storage, error } => {
                warn!(target: TARGET, parent: span, event = "storage.lost", storage, error, "a storage takes part no more");
            }
            Event::Notice { message } => info!(target: TARGET, parent: span, event = "notice", "{message}"),
            Event::Warning { message } => warn!(target: TARGET, parent: span, event = "warning", "{message}"),
            Event::Finished { operation, .. } => {
                let (bytes, stored) = (self.bytes.load(Ordering::Relaxed), self.stored.load(Ordering::Relaxed));
                info!(target: TARGET, parent: span, event = "operation.finished", operation, bytes, stored, "{operation} is done");
            }
            other => debug!(target: TARGET, parent: span, event = "other", "{other:?}"),
        }
    }
}
