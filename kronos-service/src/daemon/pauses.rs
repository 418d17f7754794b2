//! Pauses that double from attempt to attempt.

use std::time::Duration;

/// The first pause, doubled so many times, and `most` at the most.
pub(super) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << times.min(20)).min(most)
}

/// The pause after so many failures of the store in a row, and one more.
pub(super) fn after_store_failures(before: u32) -> Duration {
    doubled(Duration::from_secs(1), before, Duration::from_mins(1))
}
