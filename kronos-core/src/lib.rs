//! Kronos backs up databases into one encrypted, deduplicated repository.

mod backup;
mod bugs;
mod check;
mod connector;
mod copy;
mod diff;
mod error;
mod event;
mod forget;
mod id;
mod list;
mod manifest;
mod pattern;
mod pipeline;
mod prune;
mod registry;
mod repository;
mod restore;
mod retention;
mod run;
mod secret;
mod storage;
mod strategy;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod time;

pub use backup::{BackupOptions, BackupPlan, BackupReport, backup, plan_backup};
#[cfg(feature = "testing")]
pub use bugs::Bug;
pub use check::{CheckReport, Problem, ReadData, check};
pub use connector::{
    Capabilities, Checkpoint, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine,
    Fingerprint, Outline, Previous, PreviousStream, Restore, RestoreOutcome, RestoreRequest, TargetReport,
};
pub use copy::{CopyReport, copy};
pub use diff::{Change, DiffReport, StreamDiff, diff};
pub use error::{Error, ErrorKind, Result, Retry};
pub use event::{Event, Observer};
pub use forget::{forget, hold, mark_verified, release};
pub use id::{Digest, Id};
pub use list::{BackupDetails, Listing, find_backup, list, show};
pub use manifest::{BackupInfo, StreamSummary};
pub use pattern::matches;
pub use prune::{PruneOptions, PruneReport, prune};
pub use registry::{Registry, SourceSettings, StorageSettings, nearest};
pub use repository::{
    ChunkerParameters, Credentials, KeyInfo, Mode, Protection, Repository, RepositoryIdentity, generate_identity,
};
pub use restore::{RestoreOptions, RestorePlan, RestoreReport, plan_restore, restore};
pub use retention::{Retention, Verdict};
pub use run::{Entropy, Limits, RunContext, SystemEntropy};
pub use secret::Secret;
pub use storage::{Key, ObjectMeta, PutOutcome, Storage, StorageExt, Upload};
pub use strategy::{BackupKind, Differential, Full, History, Incremental, PastBackup, Plan, Strategy};
pub use stream::{Cutting, Phase, Piece, Stream, StreamEnd, StreamId, StreamInfo, StreamSender};
pub use time::{Clock, SystemClock, Timestamp};
