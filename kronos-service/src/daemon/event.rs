//! What the daemon tells while it works.

use kronos_core::{Error, Timestamp};

use crate::report::RunReport;
use crate::store::{RunRecord, Skip, SkipReason};

/// Is told what the daemon does. It cannot fail and must not block.
pub trait DaemonObserver: std::fmt::Debug + Send + Sync {
    /// Something happened.
    fn on_event(&self, event: &DaemonEvent<'_>);
}

/// Something happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum DaemonEvent<'a> {
    /// The daemon knows its jobs, at the start and after each reload.
    Loaded {
        /// How many tasks are scheduled.
        tasks: usize,
    },
    /// A run waits for its turn.
    Queued(&'a RunRecord),
    /// A run has begun.
    Started(&'a RunRecord),
    /// A run has ended.
    Ended {
        /// Which.
        run: &'a RunRecord,
        /// What it reported.
        report: &'a RunReport,
        /// The run that takes it up again.
        next: Option<&'a RunRecord>,
    },
    /// A run ended that had been declared interrupted meanwhile; the store does not have its report.
    Lost {
        /// Which.
        run: &'a RunRecord,
        /// What it reported.
        report: &'a RunReport,
    },
    /// Whoever ran this was killed, or could not reach the store.
    Interrupted {
        /// Which.
        run: &'a RunRecord,
        /// The run that takes it up again.
        next: Option<&'a RunRecord>,
    },
    /// A run that was queued will not begin.
    Dropped {
        /// Which.
        run: &'a RunRecord,
        /// Why.
        why: SkipReason,
    },
    /// Times that were due have no run of their own, because nobody was there.
    Missed(&'a Skip),
    /// Times that were due have no run of their own, for another reason.
    Skipped(&'a Skip),
    /// The clock was set back by more than a day: the schedule goes on from the new time.
    Rewound {
        /// A job whose schedule was ahead.
        job: &'a str,
        /// By how much: until then it was handled.
        handled: Timestamp,
        /// The time now.
        now: Timestamp,
    },
    /// The clock was set back: what ran already does not run again, so that nothing does until it has caught up.
    SetBack {
        /// The time that was seen last.
        from: Timestamp,
        /// The time now.
        now: Timestamp,
    },
    /// The job store failed; what was to be written is tried again after a pause.
    StoreFailed(&'a Error),
    /// For the same reason nothing begins.
    Stalled(&'a Error),
    /// The store does its work again, and runs begin.
    StoreBack,
    /// No more runs begin.
    Stopping {
        /// How many go on.
        running: usize,
    },
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl DaemonObserver for Quiet {
    fn on_event(&self, _: &DaemonEvent<'_>) {}
}
