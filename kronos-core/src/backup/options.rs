//! How a backup is to be made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::strategy::{Incremental, Strategy};

/// The zstd level of backups unless another is asked for, and of all that is stored again: of the
/// fast ones the last, before the next takes half as long again for two hundredths of the space.
pub(crate) const COMPRESSION: i32 = 2;

/// How a backup is to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// The job; the connector's own name for the source when absent.
    pub job: Option<String>,
    /// Decides what is read. Default: incremental.
    pub strategy: Arc<dyn Strategy>,
    /// Names with `*` and `?` that are left out.
    pub exclude: Vec<String>,
    /// Attached to the backup.
    pub tags: BTreeMap<String, String>,
    /// The zstd level, 1 to 19. Default 2.
    pub compression: i32,
    /// What is done about a storage that is slower than the others. Default: wait for it.
    pub slow: SlowStorage,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            job: None,
            strategy: Arc::new(Incremental::default()),
            exclude: Vec::new(),
            tags: BTreeMap::new(),
            compression: COMPRESSION,
            slow: SlowStorage::Wait,
        }
    }
}

impl BackupOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same under another job's name.
    #[must_use]
    pub fn with_job(mut self, job: impl Into<String>) -> Self {
        self.job = Some(job.into());
        self
    }

    /// The same with another strategy.
    #[must_use]
    pub fn with_strategy(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Arc::new(strategy);
        self
    }

    /// The same with another way to deal with a slow storage.
    #[must_use]
    pub fn with_slow(mut self, slow: SlowStorage) -> Self {
        self.slow = slow;
        self
    }
}

/// What is done about a storage that is slower than the others of the same backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlowStorage {
    /// The run waits: it is as fast as the slowest.
    #[default]
    Wait,
    /// It is left out of this backup once the others have waited for it so long, altogether.
    /// [`catch_up`](crate::catch_up) brings it the backup afterwards, when the source is free again.
    Drop {
        /// How long. A minute is a good beginning.
        after: Duration,
    },
}

impl SlowStorage {
    /// To be left out after a minute.
    pub const DROP: Self = Self::Drop { after: Duration::from_mins(1) };
}
