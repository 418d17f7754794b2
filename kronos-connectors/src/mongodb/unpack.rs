//! A restore of what `mongodump` wrote: its archive is taken apart here, and its documents are written,
//! compared and put into place as those of any other backup. `mongorestore` is not needed: it writes
//! under the names that it is told at once, and ends well where documents could not be written.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kronos_core::{Piece, Result, Stream, StreamEnd};
use mongodb::bson::Document;

use super::archive::{Archive, Described, Found};
use super::building::{Building, Made};
use super::changes::Feed;
use super::content::Sum;
use super::error::{corrupt, internal};
use super::insert::Inserter;
use super::replayed::Applying;
use super::restore::MongodbRestore;
use crate::servers::restoring::same;

/// A collection that documents come for.
struct Writing<'a> {
    made: Arc<Made>,
    to: Inserter<'a>,
    sum: Sum,
}

impl MongodbRestore {
    pub(super) async fn archive(&self, mut stream: Stream, end: StreamEnd) -> Result<()> {
        let (mut archive, mut described) = (Archive::new(), Vec::new());
        let mut writing: HashMap<usize, Writing<'_>> = HashMap::new();
        let mut applying: Option<Applying<'_>> = None;
        let mut count = 0;
        loop {
            match stream.next().await? {
                Some(Piece::Data(piece)) => {
                    self.progress.check()?;
                    archive.push(&piece);
                }
                Some(Piece::End(found)) => {
                    same(found, end)?;
                    break;
                }
                None => return Err(internal("a stream was read after its end")),
            }
            while let Some(found) = archive.next()? {
                match found {
                    Found::Collections(all) => {
                        self.keep(&all)?;
                        self.prepare().await?;
                        described = all;
                    }
                    Found::Document(place, document) => {
                        count += 1;
                        let one = match writing.entry(place) {
                            Slot::Occupied(one) => one.into_mut(),
                            Slot::Vacant(slot) => match self.writing(described.get(place))? {
                                Some(one) => slot.insert(one),
                                None => continue,
                            },
                        };
                        one.sum.add(&document);
                        one.to.push(&document).await?;
                    }
                    Found::End(place) => {
                        if let Some(one) = writing.remove(&place) {
                            one.to.finish().await?;
                            one.made.add(&one.sum);
                        }
                    }
                    Found::Change(entry) => {
                        if !writing.is_empty() {
                            return Err(corrupt("an archive has changes before all documents have come"));
                        }
                        let applying = match &mut applying {
                            Some(applying) => applying,
                            None => applying.insert(Applying::begin(self, Feed::Oplog).await?),
                        };
                        applying.entry(&entry).await?;
                    }
                }
            }
        }
        archive.finish()?;
        if let Some(applying) = applying {
            applying.finish().await?;
        }
        if end.rows.is_some_and(|rows| rows != count) {
            return Err(corrupt("a stream has another number of documents than was backed up"));
        }
        Ok(())
    }

    /// Tells each database of its collections.
    fn keep(&self, all: &[Described]) -> Result<()> {
        let forms: BTreeMap<_, _> =
            all.iter().map(|one| ((one.database.clone(), one.entry.name.clone()), one.form)).collect();
        for building in self.buildings.iter() {
            let of_it = all.iter().filter(|one| one.database == building.planned.from);
            let described: Vec<Document> = of_it.map(|one| one.entry.description()).collect();
            if !described.is_empty() {
                building.keep(described, &forms, &self.request)?;
            }
        }
        Ok(())
    }

    /// Where the documents of a collection go; nothing for one that was not chosen.
    fn writing(&self, described: Option<&Described>) -> Result<Option<Writing<'_>>> {
        let described = described.ok_or_else(|| internal("a collection that was not described"))?;
        let of_it = |building: &&Building| building.planned.from == described.database;
        let Some(building) = self.buildings.iter().find(of_it) else { return Ok(None) };
        let made = building.made().into_iter().find(|made| made.entry.name == described.entry.name);
        let Some(made) = made else { return Ok(None) };
        let to = Inserter::new(&self.server, &building.planned.to, &made.beside(&self.token));
        Ok(Some(Writing { made, to, sum: Sum::default() }))
    }
}
