//! What a replay has done, and what it leaves to whoever called it.

use std::collections::BTreeMap;

/// How the documents of a collection have become so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Counts {
    /// Documents copied or written, each after one of its `_id` was deleted, if there was one.
    pub(in super::super) written: u64,
    /// Documents deleted.
    pub(in super::super) deleted: u64,
}

/// What has happened to indexes, in order; names are those in the target, definitions raw BSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum IndexChange {
    /// These were made, each in place of one of the same name.
    Created { database: String, collection: String, indexes: Vec<Vec<u8>> },
    /// This one was dropped; `*`: all but that of `_id`.
    Dropped { database: String, collection: String, name: String },
    /// The `index` part of a `collMod`: `name` or `keyPattern`, and what becomes of it.
    Modified { database: String, collection: String, change: Vec<u8> },
    /// All indexes and options are gone with their collection, which may be made anew.
    Gone { database: String, collection: String },
    /// They are now those of another collection.
    Renamed { from: (String, String), to: (String, String) },
}

/// What has happened to views, in order; names are those in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum ViewChange {
    /// It is this now: `viewOn`, `pipeline`, perhaps `collation`.
    Set { database: String, view: String, options: Vec<u8> },
    /// A view of this name, if there was one, is gone.
    Dropped { database: String, view: String },
}

/// What a replay has done.
#[derive(Debug, Default)]
pub(in super::super) struct Replayed {
    /// Entries that were read.
    pub(in super::super) entries: u64,
    /// By database and collection of the target.
    pub(in super::super) counts: BTreeMap<(String, String), Counts>,
    /// To be done to the definitions that were read at the start, before they are built.
    pub(in super::super) indexes: Vec<IndexChange>,
    /// The same for views.
    pub(in super::super) views: Vec<ViewChange>,
    /// What a user should know.
    pub(in super::super) warnings: Vec<String>,
}
