//! Kronos backs up databases into one encrypted, deduplicated repository.

mod bugs;
mod connector;
mod error;
mod event;
mod id;
mod registry;
mod run;
mod secret;
mod storage;
mod strategy;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod time;

#[cfg(feature = "testing")]
pub use bugs::Bug;
pub use connector::{
    Capabilities, Checkpoint, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine,
    Fingerprint, Outline, Previous, PreviousStream, Restore, RestoreOutcome, RestoreRequest, TargetReport,
};
pub use error::{Error, ErrorKind, Result, Retry};
pub use event::{Event, Observer};
pub use id::{Digest, Id};
pub use registry::{Registry, SourceSettings, StorageSettings, nearest};
pub use run::{Entropy, Limits, RunContext, SystemEntropy};
pub use secret::Secret;
pub use storage::{Key, ObjectMeta, PutOutcome, Storage, StorageExt, Upload};
pub use strategy::{BackupKind, Differential, Full, History, Incremental, PastBackup, Plan, Strategy};
pub use stream::{Cutting, Phase, Piece, Stream, StreamEnd, StreamId, StreamInfo, StreamSender};
pub use time::{Clock, SystemClock, Timestamp};
