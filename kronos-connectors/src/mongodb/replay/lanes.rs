//! Writes to documents, gathered: what happens to one document stays in order, and is one read and
//! one write on the server; different documents go side by side.

use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _};
use kronos_core::Result;

use super::super::error::internal;
use super::events;
use super::id::key;
use super::operation::{Name, Write};
use super::raw::{OwnedValue, Value};
use super::target::Target;

/// Documents that go together.
const TOGETHER: usize = 256;
/// So many of these at a time.
const AT_A_TIME: usize = 4;

/// What happens to one document.
#[derive(Debug)]
struct Lane {
    key: Vec<u8>,
    id: OwnedValue,
    writes: Vec<Write>,
}

/// What waits for one collection.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    places: HashMap<Vec<u8>, usize>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) inserted: u64,
    pub(super) deleted: u64,
    /// Documents that are not there and should have been updated, and those of which it is known now
    /// why they were not.
    pub(super) missing: Vec<Vec<u8>>,
    pub(super) explained: Vec<Vec<u8>>,
}

impl Lanes {
    pub(super) fn push(&mut self, id: OwnedValue, write: Write) -> Result<()> {
        let key = key(id.get())?;
        let place = *self.places.entry(key.clone()).or_insert_with(|| {
            self.lanes.push(Lane { key, id, writes: Vec::new() });
            self.lanes.len() - 1
        });
        self.lanes[place].writes.push(write);
        Ok(())
    }

    /// Puts all of it into the target.
    pub(super) async fn apply(self, target: &Target, name: &Name) -> Result<Done> {
        let (relative, absolute): (Vec<_>, Vec<_>) =
            self.lanes.into_iter().partition(|lane| lane.writes.first().is_some_and(Write::is_relative));
        let mut parts: Vec<(bool, Vec<Lane>)> = Vec::new();
        for (is_relative, lanes) in [(true, relative), (false, absolute)] {
            let mut lanes = lanes.into_iter().peekable();
            while lanes.peek().is_some() {
                parts.push((is_relative, lanes.by_ref().take(TOGETHER).collect()));
            }
        }
        let part = |(is_relative, lanes)| part(target, name, is_relative, lanes);
        let done = futures::stream::iter(parts).map(part).buffer_unordered(AT_A_TIME);
        done.try_fold(Done::default(), async |mut all, done| {
            all.inserted += done.inserted;
            all.deleted += done.deleted;
            all.missing.extend(done.missing);
            all.explained.extend(done.explained);
            Ok(all)
        })
        .await
    }
}

async fn part(target: &Target, name: &Name, is_relative: bool, lanes: Vec<Lane>) -> Result<Done> {
    let mut done = Done::default();
    if !is_relative {
        write(target, name, lanes.into_iter().map(|lane| (lane, None)).collect(), false, &mut done).await?;
        return Ok(done);
    }
    let ids: Vec<OwnedValue> = lanes.iter().map(|lane| lane.id.clone()).collect();
    let ids: Vec<Value<'_>> = ids.iter().map(OwnedValue::get).collect();
    let mut rest: HashMap<Vec<u8>, Lane> = lanes.into_iter().map(|lane| (lane.key.clone(), lane)).collect();
    let mut cursor = target.find(name, &ids, false).await?;
    while let Some(found) = target.next(&mut cursor).await? {
        let mut batch = Vec::new();
        for document in found {
            let found = key(events::id(&document)?.get())?;
            // With a collation it is found by an id that is another text, and is the only one.
            let alone = (ids.len() == 1).then(|| rest.keys().next().cloned()).flatten();
            let lane = rest.remove(&alone.unwrap_or(found));
            batch.push((lane.ok_or_else(|| internal("the server gives a document not asked for"))?, Some(document)));
        }
        write(target, name, batch, true, &mut done).await?;
    }
    write(target, name, rest.into_values().map(|lane| (lane, None)).collect(), true, &mut done).await?;
    Ok(done)
}

/// Writes what comes of each document. `is_known`: whether what was there before is told.
async fn write(
    target: &Target,
    name: &Name,
    batch: Vec<(Lane, Option<Vec<u8>>)>,
    is_known: bool,
    done: &mut Done,
) -> Result<()> {
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    for (lane, before) in batch {
        let (mut now, mut is_missing, mut is_explained) = (before.clone(), false, false);
        for write in lane.writes {
            let is_relative = write.is_relative();
            is_missing = is_relative && (is_missing || now.is_none());
            is_explained |= !is_relative;
            now = write.apply(now.as_deref())?;
        }
        if is_missing {
            done.missing.push(lane.key);
        } else if is_explained {
            done.explained.push(lane.key);
        }
        if is_known && now == before {
            continue;
        }
        if before.is_some() || !is_known {
            gone.push(lane.id);
        }
        new.extend(now);
    }
    // Not replaced: that would refuse names that begin with a dollar, and put `_id` in front.
    let gone: Vec<Value<'_>> = gone.iter().map(OwnedValue::get).collect();
    done.deleted += target.delete(name, &gone).await?;
    target.insert(name, &new, false).await?;
    done.inserted += new.len() as u64;
    Ok(())
}
