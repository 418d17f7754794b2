//! Kronos backs up databases into one encrypted, deduplicated repository on any object store, and
//! restores them.
//!
//! This crate is the engine without databases and clouds: the traits that connect them
//! ([`Connector`], [`Storage`], [`Strategy`]), the repository, and the operations on it
//! ([`backup`], [`restore`], [`list`], [`check`], [`prune`], [`copy`], …). Connectors and storages
//! come from other crates, or from yours: each trait has one conformance suite in `testing`.
//!
//! A complete program, with a database that is a handful of bytes in memory:
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # async fn example() -> kronos_core::Result<()> {
//! use std::sync::Arc;
//!
//! use kronos_core::testing::{MemorySource, MemoryStorage};
//! use kronos_core::{
//!     BackupOptions, ChunkerParameters, Protection, Repository, RestoreOptions, RunContext, Secret,
//!     backup, find_backup, restore,
//! };
//!
//! // What to back up, and where to. Real programs take these from `kronos-connectors` and
//! // `kronos-storage`.
//! let shop = MemorySource::new("shop");
//! shop.set("orders", "3 apples, 2 pears");
//! let storage = Arc::new(MemoryStorage::new());
//!
//! let run = RunContext::new();
//! let protection = Protection::Passphrase(Secret::new("correct horse battery staple"));
//! let repository = Repository::init(storage, &protection, ChunkerParameters::default(), &run).await?;
//! let report = backup(&repository, &shop, &BackupOptions::new(), &run).await?;
//! assert_eq!(report.backup.unwrap().job, "shop");
//!
//! let latest = find_backup(&repository, "latest", &run).await?;
//! let target = MemorySource::new("shop after the fire");
//! restore(&repository, &latest, &target, &RestoreOptions::new(), &run).await?;
//! assert_eq!(target.contents(), shop.contents());
//! # Ok(())
//! # }
//! # #[cfg(feature = "testing")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod announce;
mod backoff;
mod backup;
mod base;
mod bugs;
mod check;
mod commit;
mod compact;
mod connector;
mod copy;
mod diff;
mod error;
mod event;
mod forget;
mod heal;
mod id;
pub mod inspect;
mod list;
mod manifest;
mod moving;
mod party;
mod pattern;
mod pipeline;
mod probe;
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

pub use backoff::pause as backoff;
pub use backup::{
    BackupOptions, BackupPlan, BackupReport, SeveralReport, SlowStorage, StorageOutcome, StorageReport, backup,
    backup_to, plan_backup,
};
#[cfg(feature = "testing")]
pub use bugs::Bug;
pub use check::{CheckReport, Problem, ReadData, check};
pub use compact::Compaction;
pub use connector::{
    Capabilities, Checkpoint, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine,
    Fingerprint, Outline, Preflight, Previous, PreviousStream, Restore, RestoreOutcome, RestoreRequest, TargetReport,
};
pub use copy::{CopyReport, catch_up, copy};
pub use diff::{Change, DiffReport, StreamDiff, diff};
pub use error::{Error, ErrorKind, Result, Retry};
pub use event::{Event, Observer};
pub use forget::{forget, hold, mark_verified, release};
pub use id::{Digest, Id};
pub use list::{BackupDetails, Listing, find_backup, list, no_such_job, show};
pub use manifest::{BackupInfo, StreamSummary};
pub use pattern::matches;
pub use probe::{ConditionalPut, ProbeReport, probe};
pub use prune::{PruneOptions, PruneReport, prune};
pub use registry::{Registry, SourceSettings, StorageSettings, nearest};
pub use repository::{
    ChunkerParameters, Credentials, KeyInfo, Mode, Origin, Protection, Repository, RepositoryIdentity,
    generate_identity,
};
pub use restore::{RestoreOptions, RestorePlan, RestoreReport, plan_restore, restore};
pub use retention::{Retention, Verdict};
pub use run::{Entropy, Limits, RunContext, SystemEntropy};
pub use secret::Secret;
pub use storage::{Atomicity, Key, ObjectMeta, PutOutcome, Storage, StorageExt, Upload};
pub use strategy::{BackupKind, Differential, Full, History, Incremental, PastBackup, Plan, Strategy};
pub use stream::{Cutting, Phase, Piece, Stream, StreamEnd, StreamId, StreamInfo, StreamSender};
pub use time::{Clock, SystemClock, Timestamp};
