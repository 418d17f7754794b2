//! The traits an engine implements: read a consistent state out of it, write one back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::run::RunContext;
use crate::stream::{Stream, StreamEnd, StreamId, StreamInfo};
use crate::time::Timestamp;

/// The name of a database engine: lower-case letters, digits and `-`. Open to engines from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Engine(std::borrow::Cow<'static, str>);

impl Engine {
    /// SQLite.
    pub const SQLITE: Self = Self(std::borrow::Cow::Borrowed("sqlite"));
    /// PostgreSQL.
    pub const POSTGRES: Self = Self(std::borrow::Cow::Borrowed("postgres"));
    /// MySQL and MariaDB.
    pub const MYSQL: Self = Self(std::borrow::Cow::Borrowed("mysql"));
    /// MongoDB.
    pub const MONGODB: Self = Self(std::borrow::Cow::Borrowed("mongodb"));

    /// Checks a name; the usual aliases (`postgresql`, `mariadb`, `mongo`, `sqlite3`) are taken.
    pub fn new(name: &str) -> Result<Self> {
        match name {
            "sqlite" | "sqlite3" => Ok(Self::SQLITE),
            "postgres" | "postgresql" => Ok(Self::POSTGRES),
            "mysql" | "mariadb" => Ok(Self::MYSQL),
            "mongodb" | "mongo" => Ok(Self::MONGODB),
            _ if !name.is_empty()
                && name.len() <= 32
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') =>
            {
                Ok(Self(name.to_owned().into()))
            }
            _ => Err(Error::new(ErrorKind::Config, "not the name of an engine").with("engine", name)),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Engine {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Self::new(&name)
    }
}

impl From<Engine> for String {
    fn from(engine: Engine) -> Self {
        engine.0.into_owned()
    }
}

/// What a connector can do beyond a full backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Backups that store what changed since the previous backup.
    pub incremental: bool,
    /// Backups that store what changed since the last full backup.
    pub differential: bool,
    /// Several streams may be open at a time.
    pub parallel: bool,
}

impl Capabilities {
    /// Full backups only, one stream at a time.
    pub fn new() -> Self {
        Self::default()
    }

    /// With incremental and differential backups.
    #[must_use]
    pub fn with_increments(mut self) -> Self {
        self.incremental = true;
        self.differential = true;
        self
    }

    /// With several streams at a time.
    #[must_use]
    pub fn with_parallel(mut self) -> Self {
        self.parallel = true;
        self
    }
}

/// How a connection test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionStatus {
    /// It works.
    Connected,
    /// Nothing answered.
    Disconnected,
    /// Something answered, and refused or failed.
    Error,
}

/// What a connection test found.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionReport {
    /// How it ended.
    pub status: ConnectionStatus,
    /// The version of the engine.
    pub version: Option<String>,
    /// How long it took.
    pub latency: Duration,
    /// Privileges and tools that are missing, one line each.
    pub missing: Vec<String>,
    /// What went wrong, in one line.
    pub message: Option<String>,
}

/// What is known before a backup is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// What would make a backup fail, one line each: privileges, tools, settings.
    pub missing: Vec<String>,
    /// What is good to know, one line each.
    pub notes: Vec<String>,
}

/// One database of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseInfo {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The version the schema carries, where the engine has such a thing (SQLite's `user_version`).
    pub schema_version: Option<String>,
}

/// What a source is, so that a backup of something else under the same job is refused.
///
/// Two fingerprints are of the same source when they share one identity: a moved file keeps its
/// inode, a file restored in place keeps its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The engine.
    pub engine: Engine,
    /// Each of them alone identifies the source: `path:host:/srv/app.db`, `inode:host:66306:131`.
    pub identities: BTreeSet<String>,
}

impl Fingerprint {
    /// Whether both are of the same source.
    pub fn is_same_source(&self, other: &Self) -> bool {
        self.engine == other.engine && !self.identities.is_disjoint(&other.identities)
    }
}

/// What the previous backup knew of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousStream {
    /// Its description.
    pub info: StreamInfo,
    /// Its end mark.
    pub end: StreamEnd,
}

/// The backup that this one is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// When it was begun.
    pub started: Timestamp,
    /// When every stream was last really read, not taken over as unchanged.
    pub read_in_full: Timestamp,
    /// Its streams by name.
    pub streams: BTreeMap<String, PreviousStream>,
}

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct DumpRequest {
    /// The backup to compare with; `None` asks for everything to be read.
    pub previous: Option<Previous>,
    /// Names with `*` and `?` that are left out: databases, tables, `schema.table`.
    pub exclude: Vec<String>,
    /// How many streams will be open at a time.
    pub parallel: usize,
}

/// What a dump will deliver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    /// Every stream; a stream's place is its [`StreamId`].
    pub streams: Vec<StreamInfo>,
    /// The version of the engine.
    pub server_version: Option<String>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// What a dump swears to at its end: the snapshot was held, these streams went out whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The end mark of each stream that was opened.
    pub streams: BTreeMap<StreamId, StreamEnd>,
    /// The place in the engine's change log, where there is one.
    pub position: Option<String>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// What is to be written back.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The streams that will be written, with their end marks.
    pub streams: Vec<PreviousStream>,
    /// The names with `*` and `?` by which they were chosen; empty for everything. Of a stream that
    /// holds more than one thing, what they do not name is left out.
    pub only: Vec<String>,
    /// Restore who owns what. Without it, all belongs to the user of the target.
    pub owners: bool,
    /// Restore who may do what.
    pub privileges: bool,
    /// Replace what exists in the target, once the new is complete and checked.
    pub replace: bool,
}

impl RestoreRequest {
    /// Everything of these streams, into a target that has nothing of it yet.
    pub fn new(streams: Vec<PreviousStream>) -> Self {
        Self { streams, only: Vec::new(), owners: true, privileges: true, replace: false }
    }
}

/// The state of a restore's target, found before anything is written.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TargetReport {
    /// What exists already and would be replaced.
    pub existing: Vec<String>,
    /// Bytes that will be needed.
    pub needed: u64,
    /// Bytes that are free, where that can be known.
    pub free: Option<u64>,
    /// Why the restore would fail, one line each: missing privileges, no room, no such directory.
    pub obstacles: Vec<String>,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestoreOutcome {
    /// What was made: files, databases.
    pub created: Vec<String>,
    /// What was checked after the data was in, one line each: `app.db: integrity_check ok`.
    pub checks: Vec<String>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// One configured source, or the target of a restore.
///
/// Every implementation passes `kronos_core::testing::connector_conformance`.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// The engine.
    fn engine(&self) -> Engine;
    /// Names the source for people, without secrets.
    fn describe(&self) -> String;
    /// The name a job gets when the user gives none: that of the database.
    fn default_job(&self) -> String;
    /// What it can do.
    fn capabilities(&self) -> Capabilities;
    /// Checks the settings only; touches neither network nor files.
    fn validate(&self) -> Result<()>;
    /// What the source is. Needs no privilege beyond connecting.
    async fn fingerprint(&self) -> Result<Fingerprint>;
    /// Tries the connection. An unreachable server is a report, not an error.
    async fn test_connection(&self) -> Result<ConnectionReport>;
    /// Looks for what would make a backup fail, in everything that it would read. Default: nothing
    /// is known.
    async fn preflight(&self) -> Result<Preflight> {
        Ok(Preflight::default())
    }
    /// The databases chosen, by name.
    async fn databases(&self) -> Result<Vec<DatabaseInfo>>;
    /// About how many bytes a full backup reads.
    async fn estimate_size(&self) -> Result<u64>;
    /// Opens one consistent snapshot.
    async fn begin_dump(&self, request: &DumpRequest, run: &RunContext) -> Result<Box<dyn Dump>>;
    /// Looks at the target of a restore; changes nothing.
    async fn inspect_target(&self, request: &RestoreRequest) -> Result<TargetReport>;
    /// Prepares the target. `AlreadyExists` when something is there and may not be replaced.
    async fn begin_restore(&self, request: &RestoreRequest, run: &RunContext) -> Result<Box<dyn Restore>>;
}

/// A snapshot being read. Dropping it is the same as [`abort`](Self::abort).
#[async_trait]
pub trait Dump: fmt::Debug + Send + Sync {
    /// Every stream there will be.
    fn outline(&self) -> &Outline;
    /// Begins to read a stream; each one once.
    async fn open(&self, stream: StreamId) -> Result<Stream>;
    /// Confirms that the snapshot was held to the end and all went well.
    async fn finish(self: Box<Self>) -> Result<Checkpoint>;
    /// Gives up and releases the snapshot.
    async fn abort(self: Box<Self>);
}

/// A target being written. Dropping it is the same as [`abort`](Self::abort).
#[async_trait]
pub trait Restore: fmt::Debug + Send + Sync {
    /// Writes one stream. Streams of one phase may be written at the same time. This returns well
    /// only after the end mark, and only if that is the one in the request; the stream itself has
    /// compared it with its bytes ([`Stream::checked`]).
    async fn write(&self, stream: Stream) -> Result<()>;
    /// Checks the result with the engine's own means and puts it into place.
    async fn finish(self: Box<Self>) -> Result<RestoreOutcome>;
    /// Gives up and leaves the target as it was.
    async fn abort(self: Box<Self>);
}
