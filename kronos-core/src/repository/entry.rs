//! Entries of the commit log: what they say, and how they are sealed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::connector::Engine;
use crate::error::{Error, Result};
use crate::id::{Digest, Id};
use crate::run::RunContext;
use crate::strategy::BackupKind;
use crate::time::Timestamp;

use super::damage::Damage;
use super::seal::{self, Place};

/// Where a backup first came from; a copy keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The repository.
    pub repository: Id,
    /// The backup's id there.
    pub backup: Id,
}

/// Where the root of a backup's index lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootRef {
    pub id: Id,
    /// BLAKE3 of the sealed object.
    pub digest: Digest,
}

/// The manifest of a backup: all that lists show, and the way to its index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub backup: Id,
    pub run: Id,
    pub origin: Origin,
    /// Digest of the names, lengths and digests of all streams.
    pub content: Digest,
    pub engine: Engine,
    pub kind: BackupKind,
    /// The backup it was compared with.
    pub parent: Option<Id>,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// When every stream was last really read.
    pub read_in_full: Timestamp,
    pub root: RootRef,
    pub streams: u64,
    /// Bytes of all streams together.
    pub bytes: u64,
    pub bytes_read: u64,
    pub bytes_stored: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Doomed packs that this backup uses: they are doomed no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revives: Vec<Id>,
    pub program: String,
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload", rename_all = "lowercase")]
pub(crate) enum Action {
    /// A backup exists.
    Backup(Box<Manifest>),
    /// Backups exist no more.
    Forget { backups: Vec<Id> },
    /// A backup may not be forgotten.
    Hold { backup: Id },
    /// A held backup may be forgotten again.
    Release { backup: Id },
    /// Packs that no backup references: writers shall stop referencing them. Runs that have
    /// been silent for too long: they cannot commit any more.
    ///
    /// `at` is what its author's clock said: the entry's own time may be ahead because of another.
    Doom {
        packs: Vec<Id>,
        at: Timestamp,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        runs: Vec<Id>,
    },
    /// Doomed packs that are gone from here on.
    Sweep { packs: Vec<Id> },
    /// A backup was verified, with this result.
    Verified { backup: Id, good: bool },
    /// What a check found, or a writer that missed a pack.
    Damaged {
        /// Blocks that are bad.
        #[serde(default, skip_serializing_if = "Damage::is_empty")]
        packs: Damage,
        /// Backups that need one of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        backups: Vec<Id>,
        /// Packs that had been found bad, and whose every byte has now been found good.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sound: Vec<Id>,
        /// Backups that need nothing bad any more.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        whole: Vec<Id>,
    },
    /// Backups have another index from here on, which leads to the same bytes in other packs.
    Moved {
        /// The run that wrote the packs and the roots.
        run: Id,
        moves: Vec<Move>,
        /// Doomed packs that the new indexes use: they are doomed no longer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        revives: Vec<Id>,
    },
}

/// One backup's new index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    pub backup: Id,
    /// The root it had.
    pub was: Id,
    pub root: RootRef,
    /// It was damaged and is so no longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub healed: bool,
}

impl Action {
    /// The kinds this version knows, as they are written.
    const KINDS: [&str; 9] = ["backup", "forget", "hold", "release", "doom", "sweep", "verified", "damaged", "moved"];
}

/// One entry of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub seq: u64,
    /// Random: tells this entry from every other, also when its answer was lost.
    pub token: Id,
    /// The newest entry that the author understood; `None` for the first.
    pub after: Option<u64>,
    /// BLAKE3 of that entry's sealed bytes, or of the job's id.
    pub prev: Digest,
    /// Never earlier than the predecessor's. Shown, never trusted.
    pub time: Timestamp,
    #[serde(flatten)]
    pub action: Action,
    /// Room for the signature of a maintenance key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What was found at a number of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decoded {
    Entry(Box<Entry>),
    /// It does not authenticate or does not parse.
    Void(String),
    /// It is authentic, and of a kind that this version does not know.
    Unknown(String),
}

/// What was found at a number, and in what condition.
#[derive(Debug)]
pub(crate) struct Found {
    pub entry: Decoded,
    /// Of the copy that was opened.
    pub digest: Digest,
    /// Both copies are the same.
    pub intact: bool,
}

/// An object that holds the same sealed bytes twice, and the digest of them.
pub(crate) fn twice(mut sealed: Vec<u8>) -> (Vec<u8>, Digest) {
    let digest = Digest::of(&sealed);
    sealed.extend_from_within(..);
    (sealed, digest)
}

impl Entry {
    /// Seals the entry; gives the object, which is the same bytes twice, and their digest.
    pub(crate) fn seal(&self, meta_key: &[u8; 32], place: &Place, run: &RunContext) -> Result<(Vec<u8>, Digest)> {
        let text =
            serde_json::to_vec(self).map_err(|e| Error::internal("an entry cannot be written").with_source(e))?;
        Ok(twice(seal::seal_record(meta_key, place, &text, run)?))
    }

    /// Opens the entry at a number: the first of its two copies that is good.
    pub(crate) fn open(meta_key: &[u8; 32], place: &Place, seq: u64, object: &[u8]) -> Found {
        let (one, two) = object.split_at(object.len().div_ceil(2));
        let intact = one == two;
        let first = Self::open_copy(meta_key, place, seq, one);
        if !intact && matches!(first, Decoded::Void(_)) {
            let second = Self::open_copy(meta_key, place, seq, two);
            if !matches!(second, Decoded::Void(_)) {
                return Found { entry: second, digest: Digest::of(two), intact };
            }
        }
        Found { entry: first, digest: Digest::of(one), intact }
    }

    fn open_copy(meta_key: &[u8; 32], place: &Place, seq: u64, sealed: &[u8]) -> Decoded {
        let text = match seal::open_record(meta_key, place, sealed) {
            Ok(text) => text,
            Err(e) => return Decoded::Void(e.message().to_owned()),
        };
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text) else {
            return Decoded::Void("the entry is not JSON".to_owned());
        };
        let kind = value.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_owned();
        if !Action::KINDS.contains(&kind.as_str()) {
            return Decoded::Unknown(kind);
        }
        match serde_json::from_value::<Self>(value) {
            Ok(entry) if entry.seq == seq => Decoded::Entry(Box::new(entry)),
            Ok(_) => Decoded::Void("the entry belongs to another number".to_owned()),
            Err(e) => Decoded::Void(format!("the entry is malformed: {e}")),
        }
    }
}
