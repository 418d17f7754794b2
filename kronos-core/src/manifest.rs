//! What the outside sees of a backup.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::connector::Engine;
use crate::id::Id;
use crate::repository::entry::Origin;
use crate::repository::state::Record;
use crate::strategy::BackupKind;
use crate::stream::{Phase, StreamInfo};
use crate::time::Timestamp;

/// A backup, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackupInfo {
    /// Its id.
    pub id: Id,
    /// Where it first came from: a copy has an id of its own.
    pub origin: Origin,
    /// Its job.
    pub job: String,
    /// The engine it came from.
    pub engine: Engine,
    /// What it was compared with.
    #[serde(rename = "strategy")]
    pub kind: BackupKind,
    /// The backup it was compared with. It is not needed for a restore.
    pub parent: Option<Id>,
    /// When it was begun.
    pub started: Timestamp,
    /// When all was read and stored.
    pub finished: Timestamp,
    /// Bytes of all its streams.
    pub bytes: u64,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Bytes added to the storage.
    pub bytes_stored: u64,
    /// The number of its streams.
    pub streams: u64,
    /// The number of its rows, where the engine has such.
    pub rows: Option<u64>,
    /// The place in the engine's change log, where there is one.
    pub position: Option<String>,
    /// The version of the engine.
    pub server_version: Option<String>,
    /// What the user attached.
    pub tags: BTreeMap<String, String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Whether it is protected from being forgotten.
    pub held: bool,
    /// The last verification's result.
    pub verified: Option<bool>,
    /// It needs data that a check has found bad. It heals when a later backup meets the same data.
    pub damaged: bool,
}

impl BackupInfo {
    pub(crate) fn of(job: &str, record: &Record) -> Self {
        let m = record.manifest.clone();
        Self {
            id: m.backup,
            origin: m.origin,
            job: job.to_owned(),
            engine: m.engine,
            kind: m.kind,
            parent: m.parent,
            started: m.started,
            finished: m.finished,
            bytes: m.bytes,
            bytes_read: m.bytes_read,
            bytes_stored: m.bytes_stored,
            streams: m.streams,
            rows: m.rows,
            position: m.position,
            server_version: m.server_version,
            tags: m.tags,
            warnings: m.warnings,
            held: record.held,
            verified: record.verified,
            damaged: record.damaged,
        }
    }
}

/// One stream of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamSummary {
    /// Its name.
    pub name: String,
    /// When it is written back.
    pub phase: Phase,
    /// Bytes.
    pub bytes: u64,
    /// Rows, where the engine has such.
    pub rows: Option<u64>,
    /// What the connector noted.
    pub attributes: BTreeMap<String, String>,
}

impl StreamSummary {
    pub(crate) fn of(info: &StreamInfo, end: &crate::stream::StreamEnd) -> Self {
        Self {
            name: info.name.clone(),
            phase: info.phase,
            bytes: end.length,
            rows: end.rows,
            attributes: info.attributes.clone(),
        }
    }
}
