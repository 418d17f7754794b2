//! Faults planted on purpose, so that the simulation can prove that it finds them.
//!
//! They exist only with the feature `testing`; without it every question is answered "no" at
//! compile time.

/// One planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(dead_code, unreachable_pub, reason = "constructed by tests only, and public only for them")]
pub enum Bug {
    /// A backup is committed although a Sweep has named one of its packs.
    IgnoreSweepAtCommit,
    /// Objects are deleted before the Sweep entry is written.
    DeleteBeforeSweep,
    /// A backup is committed before its last pack has been uploaded.
    CommitBeforeLastUpload,
    /// The end of the log is taken from a listing.
    TrustListing,
    /// A commit whose answer was lost is tried again under the next number.
    RetryUnderNextNumber,
    /// An entry that cannot be read counts as if it were not there.
    UnreadableIsAbsent,
    /// An entry is written over whatever has its number.
    CommitByOverwriting,
    /// Blocks known to be bad are referenced as if they were good.
    BuildOnDamaged,
    /// Backups are moved although a Sweep has named one of their new packs.
    IgnoreSweepAtMove,
    /// Packs are deleted as soon as their chunks have been moved.
    DeleteAtMove,
    /// The new index of a moved backup does not name all packs that it needs.
    ForgetPackAtMove,
}

/// The planted faults of a run: none, outside tests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bugs {
    #[cfg(feature = "testing")]
    planted: Option<Bug>,
}

#[cfg(feature = "testing")]
impl Bug {
    /// Every planted fault.
    pub const ALL: [Self; 11] = [
        Self::IgnoreSweepAtCommit,
        Self::DeleteBeforeSweep,
        Self::CommitBeforeLastUpload,
        Self::TrustListing,
        Self::RetryUnderNextNumber,
        Self::UnreadableIsAbsent,
        Self::CommitByOverwriting,
        Self::BuildOnDamaged,
        Self::IgnoreSweepAtMove,
        Self::DeleteAtMove,
        Self::ForgetPackAtMove,
    ];
}

impl Bugs {
    #[cfg(feature = "testing")]
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }

    #[cfg(not(feature = "testing"))]
    #[allow(clippy::unused_self, reason = "the same shape as with the feature")]
    pub(crate) fn has(&self, _: Bug) -> bool {
        false
    }
}

#[cfg(feature = "testing")]
impl crate::RunContext {
    /// The same run with a fault planted in it.
    #[must_use]
    pub fn with_bug(mut self, bug: Option<Bug>) -> Self {
        self.bugs = Bugs { planted: bug };
        self
    }
}
