//! Applies what was written during a backup to the documents that the backup has copied.
//!
//! # Why the result is one point in time
//!
//! The log begins before the first document was read and ends after the last one. A copied document
//! is what it was at some moment in between, so that the log has entries that are older than the
//! copy. Applied all the same, in order, they come to the same end:
//!
//! - An insert, a replacement and a delete say what is there afterwards, whatever was before.
//! - An update says what is afterwards at some paths. Where an older one writes to a newer document,
//!   what it writes was changed later, and that change is in the log and comes later as well: it
//!   names the same path or one above it. Where its path leads nowhere any more, such a change is
//!   what has taken it away. So wrong values are only there for a while. Fields keep their order with
//!   the oplog, whose entries tell new fields from others. Change events do not: where a field was
//!   removed and set again, its place among others may differ, and a warning says so.
//! - New ends of binaries: see [`tail`].
//! - An update of a document that is not there was followed by a delete, or the document is not
//!   there for another reason, and then the backup is wrong. So one that is still missing in the end
//!   is an error.
//! - A collection that the log makes is emptied first: all that it holds is in the log.
//! - A collection that the log drops is dropped, whichever one of that name was copied.
//! - Renaming needs to know whether it was copied before or after: by the identity of the collection
//!   that was copied. Where that is not known, it is an error, and no guess. The backup fails of it
//!   already: see [`rehearsal`].
//! - Changes of a collection that is not there are passed over; it must be dropped, renamed or made
//!   later in the log, or it is an error.
//! - Capped collections have an order: see [`capped`].
//!
//! Indexes and views come after the data, so their changes are handed to the caller.

mod capped;
mod commands;
#[cfg(test)]
mod converges;
mod define;
mod diff;
mod events;
mod fields;
mod id;
mod identities;
mod known;
mod lanes;
mod operation;
mod oplog;
mod outcome;
mod raw;
#[cfg(test)]
mod recorded;
mod rehearsal;
mod tail;
mod target;

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::RawDocument;

use self::capped::Capped;
use self::identities::Identities;
use self::known::Known;
use self::lanes::Lanes;
use self::operation::{Action, Name, Operation, Write};
use self::oplog::Oplog;
pub(super) use self::outcome::{Counts, IndexChange, Replayed, ViewChange};
use self::raw::OwnedValue;
pub(super) use self::rehearsal::{Chosen, Copied, Rehearsal};
use self::target::{Kind, Target};
use super::changes::Feed;
use super::connect::Server;
use super::error::corrupt;

/// Writes that wait are put into the target when they are so many, or so large.
const MOST: usize = 4000;
const MOST_BYTES: usize = 16 << 20;

type Place = dyn Fn(&str, &str) -> Option<(String, String)> + Send + Sync;

/// Applies entries in the order of the log.
pub(super) struct Replay {
    target: Target,
    feed: Feed,
    databases: BTreeSet<String>,
    place: Box<Place>,
    oplog: Oplog,
    identities: Identities,
    known: Known,
    /// Of collections of the target, once they were looked at.
    kinds: HashMap<Name, Option<Kind>>,
    capped: HashMap<Name, Capped>,
    waiting: Vec<(Name, OwnedValue, Write)>,
    bytes: usize,
    outcome: Replayed,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("feed", &self.feed).field("identities", &self.identities).finish_non_exhaustive()
    }
}

impl Replay {
    /// `databases` of the source are those of which something is chosen. `place` says where a collection of
    /// the source lies in the target; `None`: it is not chosen. The buckets of a time series are asked for by the name of the series, and so are never asked
    /// for by their own.
    pub(super) fn new(
        target: &Server,
        feed: Feed,
        databases: BTreeSet<String>,
        place: impl Fn(&str, &str) -> Option<(String, String)> + Send + Sync + 'static,
    ) -> Self {
        Self {
            target: Target { server: target.clone() },
            feed,
            databases,
            place: Box::new(place),
            oplog: Oplog::default(),
            identities: Identities::default(),
            known: Known::default(),
            kinds: HashMap::new(),
            capped: HashMap::new(),
            waiting: Vec::new(),
            bytes: 0,
            outcome: Replayed::default(),
        }
    }

    /// Tells that the target has a copy of this collection of the source, of so many documents, and the
    /// identity that it had before it was read **and** after. To be called for all of them before the
    /// first entry. Without it everything works but renaming of what was copied, which is an error then.
    pub(super) fn copied(&mut self, copied: Copied, documents: u64) {
        if let Some(place) = self.place(&copied.name) {
            self.count(&place).written = documents;
        }
        self.identities.copied(copied.name, copied.uuid);
    }

    /// The next entry.
    pub(super) async fn apply(&mut self, entry: &RawDocument) -> Result<()> {
        self.outcome.entries += 1;
        let mut wants = |database: &str, _| self.databases.contains(database);
        let operations = match self.feed {
            Feed::ChangeStream => events::read(entry.as_bytes(), &mut wants)?,
            Feed::Oplog => self.oplog.read(entry.as_bytes(), &mut wants)?,
        };
        for operation in operations {
            self.perform(operation).await?;
        }
        Ok(())
    }

    /// After the last entry.
    pub(super) async fn finish(mut self) -> Result<Replayed> {
        self.flush().await?;
        self.settle().await?;
        if let Some(name) = self.identities.unexplained() {
            return Err(corrupt("the changes are of a collection that is not in the backup").with("collection", name));
        }
        if let Some((name, count)) = self.known.missing() {
            return Err(corrupt("documents were changed that are not in the backup")
                .with("collection", name)
                .with("documents", count));
        }
        if let Some(warning) = self.known.order() {
            self.outcome.warnings.push(warning);
        }
        Ok(self.outcome)
    }

    /// Where a collection of the source lies in the target.
    fn place(&self, name: &Name) -> Option<Name> {
        let (prefix, base) = match name.collection.strip_prefix("system.buckets.") {
            Some(base) => ("system.buckets.", base),
            None => ("", name.collection.as_str()),
        };
        let (database, collection) = (self.place)(&name.database, base)?;
        Some(Name { database, collection: format!("{prefix}{collection}") })
    }

    async fn perform(&mut self, operation: Operation) -> Result<()> {
        match operation.action {
            Action::Write { id, write } if operation.name.collection == "system.views" => {
                self.view_written(&operation.name, &id, write)
            }
            Action::Write { id, write } => self.write(operation.name, operation.uuid.as_deref(), id, write).await,
            Action::Define(definition) => {
                // What comes before it must be there, and what comes after must not.
                self.flush().await?;
                self.define(operation.name, operation.uuid, definition).await
            }
        }
    }

    async fn write(&mut self, name: Name, uuid: Option<&[u8]>, id: OwnedValue, write: Write) -> Result<()> {
        let Some(place) = self.place(&name) else { return Ok(()) };
        if self.identities.is_foreign(&name, uuid) {
            return Ok(());
        }
        if self.kind(&place).await?.is_none() {
            self.identities.passed_over(name);
            return Ok(());
        }
        if let Write::Update(update) = &write {
            self.known.note_order(&place, &id, update)?;
        }
        self.bytes += write.size() + id.bytes.len();
        self.waiting.push((place, id, write));
        if self.waiting.len() >= MOST || self.bytes >= MOST_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn kind(&mut self, place: &Name) -> Result<Option<Kind>> {
        if let Some(kind) = self.kinds.get(place) {
            return Ok(*kind);
        }
        let kind = self.target.kind(place).await?;
        self.kinds.insert(place.clone(), kind);
        Ok(kind)
    }

    /// Puts what waits into the target.
    async fn flush(&mut self) -> Result<()> {
        let mut by_place: HashMap<Name, Vec<(OwnedValue, Write)>> = HashMap::new();
        for (place, id, write) in self.waiting.drain(..) {
            by_place.entry(place).or_default().push((id, write));
        }
        self.bytes = 0;
        for (place, writes) in by_place {
            let Some(kind) = self.kind(&place).await? else {
                return Err(Error::new(ErrorKind::Conflict, "a collection went away while changes were applied to it")
                    .with("collection", place));
            };
            if let Some(size) = kind.capped {
                let capped = self.capped.entry(place.clone()).or_default();
                let deleted = capped.take(&self.target, &place, size, writes).await?;
                self.count(&place).deleted += deleted;
                continue;
            }
            let mut lanes = Lanes::default();
            for (id, write) in writes {
                lanes.push(id, write)?;
                if kind.has_collation {
                    // Which ids are one is known to the server alone.
                    self.apply_lanes(&place, std::mem::take(&mut lanes)).await?;
                }
            }
            self.apply_lanes(&place, lanes).await?;
        }
        Ok(())
    }

    async fn apply_lanes(&mut self, place: &Name, lanes: Lanes) -> Result<()> {
        let done = lanes.apply(&self.target, place).await?;
        let counts = self.count(place);
        counts.written += done.inserted;
        counts.deleted += done.deleted;
        self.known.note_missing(place, done.missing, done.explained);
        Ok(())
    }

    /// Puts into capped collections what has waited for the end.
    async fn settle(&mut self) -> Result<()> {
        for (place, mut capped) in std::mem::take(&mut self.capped) {
            let inserted = capped.settle(&self.target, &place).await?;
            self.count(&place).written += inserted;
            self.capped.insert(place, capped);
        }
        Ok(())
    }

    fn count(&mut self, place: &Name) -> &mut Counts {
        self.outcome.counts.entry((place.database.clone(), place.collection.clone())).or_default()
    }
}
