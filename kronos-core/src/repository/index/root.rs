//! The root of a backup's index: its streams, and every pack it needs.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::{Digest, Id};
use crate::repository::entry::RootRef;
use crate::repository::job::Job;
use crate::repository::pack::{PackClass, PackInfo};
use crate::repository::retry::retry;
use crate::repository::seal::{self, ObjectKind};
use crate::run::RunContext;
use crate::stream::{StreamEnd, StreamInfo};

use super::node::NodeRef;

/// One stream of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredStream {
    pub info: StreamInfo,
    pub end: StreamEnd,
    /// Bytes of a page-cut chunk, which stay the same from backup to backup; 0 when cut by content.
    pub chunk: u32,
    /// How many levels of nodes lie below `top`; 0 when `top` refers to leaves.
    pub levels: u8,
    pub top: Vec<NodeRef>,
}

/// A pack that a backup needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackUse {
    #[serde(flatten)]
    pub info: PackInfo,
    /// Bytes of chunks or nodes that this backup uses.
    pub live: u64,
    /// For data packs: a copy of the pack's table among the metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_copy: Option<NodeRef>,
}

/// The root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    pub run: Id,
    pub backup: Id,
    pub streams: Vec<StoredStream>,
    pub packs: Vec<PackUse>,
}

impl Root {
    /// Every pack it needs, and itself: what may not be swept while it lives.
    pub(crate) fn references(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        self.packs.iter().map(|p| p.info.id).chain([id])
    }

    pub(crate) fn stream(&self, name: &str) -> Option<&StoredStream> {
        self.streams.iter().find(|s| s.info.name == name)
    }

    pub(crate) fn of_class(&self, class: PackClass) -> impl Iterator<Item = &PackUse> {
        self.packs.iter().filter(move |p| p.info.class == class)
    }

    /// Seals the root for the object `id`.
    pub(crate) fn seal(&self, job: &Job, id: Id, run: &RunContext) -> Result<Vec<u8>> {
        let text = serde_json::to_vec(self).map_err(|e| Error::internal("a root cannot be written").with_source(e))?;
        let place = job.place(ObjectKind::Root, job.layout().root(id));
        let mut sealed = seal::seal_record(job.meta_key(), &place, &text, run)?;
        // Twice, one behind the other: a root is what a whole backup hangs on.
        sealed.extend_from_within(..);
        Ok(sealed)
    }

    /// Reads the root that a manifest names.
    pub(crate) async fn load(job: &Job, at: &RootRef, run: &RunContext) -> Result<Self> {
        Self::load_any(job, at.id, run).await
    }

    /// Reads a root by its id alone.
    pub(crate) async fn load_any(job: &Job, id: Id, run: &RunContext) -> Result<Self> {
        let name = job.layout().root(id);
        let object = retry(run, "read an index root", || job.storage().get(&name)).await.map_err(|e| {
            if e.kind() == crate::ErrorKind::NotFound {
                Error::corrupt("an object is missing").with("object", &name).with_source(e)
            } else {
                e
            }
        })?;
        let place = job.place(ObjectKind::Root, name.clone());
        let half = object.len() / 2;
        let text = seal::open_record(job.meta_key(), &place, &object[..half])
            .or_else(|_| seal::open_record(job.meta_key(), &place, &object[half..]))?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::corrupt("an index root is malformed").with("object", &name).with_source(e))
    }

    /// Whether the object is exactly what was written, both copies of it.
    pub(crate) async fn is_intact(job: &Job, at: &RootRef, run: &RunContext) -> Result<bool> {
        let name = job.layout().root(at.id);
        let object = retry(run, "read an index root", || job.storage().get(&name)).await?;
        Ok(Digest::of(&object) == at.digest)
    }
}
