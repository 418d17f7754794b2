//! Kronos over time: the configuration of databases, storages and jobs, when jobs are due
//! ([`schedule`]), what ran ([`store`]), the program that runs them ([`daemon`]), what a run of a job
//! reports, the commands that run around it ([`hooks`]), and who is told of it ([`notify`]).
//!
//! ```
//! use kronos_service::{Config, Format};
//!
//! let text = r#"
//! [databases.sqlite]
//! host = "/var/lib/app"
//! databases = ["app.db"]
//!
//! [storages.main]
//! url = "${BACKUPS:-/srv/backups}"
//! "#;
//! let config = Config::parse(text, Format::Toml, &|_| None)?;
//! assert_eq!(config.storages["main"].url, "/srv/backups");
//! assert_eq!(config.jobs["sqlite"].storages, ["main"]);
//! # Ok::<(), kronos_core::Error>(())
//! ```

pub mod audit;
mod checks;
mod config;
pub mod daemon;
mod failure;
pub mod hooks;
mod locks;
pub mod logs;
mod mask;
pub mod metrics;
pub mod notify;
mod report;
mod run;
pub mod schedule;
pub mod store;
pub mod words;

pub use checks::{Finding, Surroundings};
pub use config::{
    Config, DaemonConfig, Database, Effective, Encryption, Environment, Format, Job, JobLimits, JobMethod, JobSource,
    Keep, LayerKind, Layers, Loaded, Notify, NotifyWay, Origin, Pool, Problems, Quiet, Retries, SearchPlaces,
    SecretFrom, Setting, StorageEntry, StrategyChoice, config_files, json_schema, parse_duration, reference, sample,
};
pub use failure::{Failure, causes, in_full, line};
pub use mask::mask;
pub use report::{BackupFigures, ChunkFigures, Ended, Operation, RunReport, StorageEnded, StorageFigures, Trigger};
pub use run::{
    BackupTask, CatchUpTask, Company, Done, Follower, Following, Frame, JobResult, JobRunner, Jobs, Outcome, Place,
    Places, StorageChoice, StorageResult,
};
