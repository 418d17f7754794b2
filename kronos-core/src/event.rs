//! What a run tells. The library never prints and never logs: it calls one observer.

use std::fmt;

use crate::time::Timestamp;

/// Something that happened during a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An operation began.
    Started {
        /// Its name, such as `backup`.
        operation: &'static str,
        /// The job or backup it works on.
        subject: String,
    },
    /// How much there will be to do, as far as it is known.
    Estimated {
        /// Bytes to be read.
        bytes: u64,
    },
    /// A stream was begun.
    StreamStarted {
        /// Its name.
        name: String,
    },
    /// A stream was finished.
    StreamFinished {
        /// Its name.
        name: String,
        /// Its length in bytes.
        bytes: u64,
    },
    /// Work done since the last event of this kind.
    Progress {
        /// Bytes of streams read or written.
        bytes: u64,
        /// Bytes sent to or fetched from the storage.
        stored: u64,
    },
    /// All that was read is stored, or known to be there.
    Chunked {
        /// Chunks that were cut, those of streams taken over unread apart.
        chunks: u64,
        /// Those of them that at least one storage lacked.
        new: u64,
    },
    /// Something failed and is tried again.
    Retrying {
        /// What is tried.
        what: String,
        /// The number of the attempt that failed, from 1.
        attempt: u32,
        /// What went wrong.
        error: String,
    },
    /// A storage takes part in the run no more; the report says why, and the run goes on without it.
    StorageLost {
        /// Which.
        storage: String,
        /// What went wrong.
        error: String,
    },
    /// Something the user may want to know; all is well.
    Notice {
        /// One line.
        message: String,
    },
    /// Something the user should know; the report has it as well.
    Warning {
        /// One line.
        message: String,
    },
    /// An operation ended well.
    Finished {
        /// Its name.
        operation: &'static str,
        /// When.
        at: Timestamp,
    },
}

/// Receives events. Calls come from several threads, must not block, and cannot fail.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Something happened.
    fn on_event(&self, event: &Event);
}

/// The observer that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Silent;

impl Observer for Silent {
    fn on_event(&self, _: &Event) {}
}
