//! What may go wrong, and how often.

/// Which faults a [`FaultStorage`](super::FaultStorage) injects; the default is none.
///
/// Every `f64` is a probability per operation, between 0 and 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaultPlan {
    /// The call fails and nothing happened.
    pub error_before: f64,
    /// The call fails although it had its effect: the answer was lost.
    pub error_after: f64,
    /// A `put`, `put_if_absent` or `delete` fails now and takes effect some operations later, or
    /// at `settle()`. A late `put_if_absent` is conditional at the time it takes effect.
    pub late_effect: f64,
    /// A `put` to a new name fails and leaves the object cut off; an upload that is under way at
    /// the crash does so too. This is what a store that is not atomic does; none that Kronos
    /// supports should.
    pub torn_write: f64,
    /// A page of a listing comes from an earlier state.
    pub stale_list: f64,
    /// A page of a listing lacks some entries.
    pub incomplete_list: f64,
    /// A page of a listing is in another order. (Listing on after its last entry then repeats
    /// entries, and never skips one.)
    pub reordered_list: f64,
    /// The longest time that an operation takes before and after its effect, in virtual milliseconds.
    pub latency: u64,
    /// The number of the operation, from 1, at which the client dies. That operation has its
    /// effect or not; it and every later one never return. The harness waits for
    /// `FaultStorage::crashed` and drops what it was running.
    pub crash_at: Option<u64>,
    /// The number of the operation, from 1, before which the client sleeps for a virtual minute.
    pub stall_at: Option<u64>,
}

impl FaultPlan {
    /// Lost requests and lost answers, late effects, latency and bad listings, each in `rate` of
    /// the operations; whole writes and no crash.
    pub fn hostile(rate: f64) -> Self {
        Self {
            error_before: rate,
            error_after: rate,
            late_effect: rate,
            stale_list: rate,
            incomplete_list: rate,
            reordered_list: rate,
            latency: 50,
            ..Self::default()
        }
    }
}
