//! The archives of `mongodump`: what they say of collections, and their documents, which may come of
//! several collections at a time. The format is described in `common/archive/spec.md` of MongoDB's
//! database tools.

mod contents;
mod metadata;

use std::collections::VecDeque;

use bytes::Bytes;
use kronos_core::Result;

use self::contents::{Contents, Header, Owner};
pub(super) use self::metadata::Described;
use self::metadata::text;
use super::content::Documents;
use super::error::corrupt;

/// The first bytes.
const MAGIC: [u8; 4] = 0x8199_e26d_u32.to_le_bytes();
/// The end of what belongs together.
const END: [u8; 4] = [0xff; 4];

/// What comes out of an archive.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// All that it will hold; comes first.
    Collections(Vec<Described>),
    /// A document of one of them, by its place in that list.
    Document(usize, Bytes),
    /// All documents of one of them have come.
    End(usize),
    /// An entry of the oplog.
    Change(Bytes),
}

#[derive(Debug)]
enum State {
    Magic,
    Header,
    Collections,
    /// Between what belongs together.
    Between,
    /// Documents of this one.
    Within(usize),
    /// One has ended, which is said in four more bytes.
    Ended,
}

/// An archive being read: takes pieces of any size.
pub(super) struct Archive {
    rest: Documents,
    state: State,
    contents: Contents,
    found: VecDeque<Found>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Archive {
    pub(super) fn new() -> Self {
        Self { rest: Documents::default(), state: State::Magic, contents: Contents::default(), found: VecDeque::new() }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.rest.push(piece);
    }

    /// What comes next, as far as the bytes are there.
    pub(super) fn next(&mut self) -> Result<Option<Found>> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Ok(Some(found));
            }
            if !self.step()? {
                return Ok(None);
            }
        }
    }

    /// Goes on by one document or mark, if it is there.
    fn step(&mut self) -> Result<bool> {
        let Some(is_end) = self.rest.begins_with(END) else { return Ok(false) };
        match self.state {
            State::Magic => {
                if self.rest.bytes(MAGIC.len()).is_none_or(|found| found[..] != MAGIC) {
                    return Err(corrupt("this is no archive of mongodump"));
                }
                self.state = State::Header;
            }
            State::Ended | State::Collections | State::Within(_) if is_end => {
                self.rest.bytes(END.len());
                if matches!(self.state, State::Collections) {
                    self.found.push_back(Found::Collections(self.contents.described.clone()));
                }
                self.state = State::Between;
            }
            State::Ended => return Err(corrupt("an archive goes on where a collection has ended")),
            _ => {
                let Some(document) = self.rest.next()? else { return Ok(false) };
                self.document(document)?;
            }
        }
        Ok(true)
    }

    fn document(&mut self, bytes: Bytes) -> Result<()> {
        match self.state {
            State::Header => {
                if text(&bytes, "version")? != "0.1" {
                    return Err(corrupt("the archive has a format that is not known"));
                }
                self.state = State::Collections;
            }
            State::Collections => self.contents.describe(&bytes)?,
            State::Between => {
                let Header { space, owner, is_over } = self.contents.header(&bytes)?;
                self.state = if is_over { State::Ended } else { State::Within(space) };
                if let (true, Owner::Collection(place)) = (is_over, owner) {
                    self.found.push_back(Found::End(place));
                }
            }
            State::Within(space) => match self.contents.take(space, &bytes) {
                Owner::Collection(place) => self.found.push_back(Found::Document(place, bytes)),
                Owner::Oplog => self.found.push_back(Found::Change(bytes)),
                Owner::Other => {}
            },
            State::Magic | State::Ended => return Err(corrupt("an archive has a document where none can be")),
        }
        Ok(())
    }

    /// It must be whole, or it was cut off.
    pub(super) fn finish(&self) -> Result<()> {
        self.rest.finish()?;
        if !matches!(self.state, State::Between) {
            return Err(corrupt("an archive ends in the middle"));
        }
        match self.contents.unfinished() {
            None => Ok(()),
            Some(name) => Err(corrupt("an archive ends before all documents have come").with("collection", name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc, rawdoc};

    use super::super::names::BUCKETS;
    use super::super::plan::Form;
    use super::contents::CHECKSUM;
    use super::*;

    fn bytes(document: &Document) -> Vec<u8> {
        super::super::content::joined([document]).unwrap()
    }

    /// An archive as the format's description has it: of each collection its metadata and documents.
    fn archive(collections: &[(&str, &str, &str, Vec<Vec<u8>>)]) -> Vec<u8> {
        let mut all = MAGIC.to_vec();
        let header = doc! { "concurrent_collections": 1, "version": "0.1", "server_version": "8.0.4", "tool_version": "100.10.0" };
        all.extend(bytes(&header));
        for (db, collection, metadata, _) in collections {
            let kind = if metadata.contains("timeseries") { "timeseries" } else { "collection" };
            all.extend(bytes(
                &doc! { "db": *db, "collection": *collection, "metadata": *metadata, "size": 0, "type": kind },
            ));
        }
        all.extend(END);
        for (db, collection, metadata, documents) in collections {
            let name = if metadata.contains("timeseries") {
                format!("{BUCKETS}{collection}")
            } else {
                (*collection).to_owned()
            };
            let mut checksum = CHECKSUM.digest();
            for document in documents {
                // One by one, as if others came between.
                all.extend(bytes(&doc! { "db": *db, "collection": &name, "EOF": false, "CRC": 0_i64 }));
                checksum.update(document);
                all.extend(document);
                all.extend(END);
            }
            let sum = checksum.finalize().cast_signed();
            all.extend(bytes(&doc! { "db": *db, "collection": &name, "EOF": true, "CRC": sum }));
            all.extend(END);
        }
        all
    }

    fn read(bytes: &[u8], size: usize) -> Result<Vec<Found>> {
        let (mut archive, mut all) = (Archive::new(), Vec::new());
        for piece in bytes.chunks(size) {
            archive.push(piece);
            while let Some(found) = archive.next()? {
                all.push(found);
            }
        }
        archive.finish().map(|()| all)
    }

    fn sample() -> Vec<u8> {
        let plain = r#"{"options":{"capped":true,"size":{"$numberInt":"4096"}},"indexes":[{"v":{"$numberInt":"2"},"key":{"z":{"$numberInt":"1"},"a":{"$numberInt":"-1"}},"name":"z_1_a_-1","ns":"shop.t"}],"uuid":"x","collectionName":"t"}"#;
        let series = r#"{"options":{"timeseries":{"timeField":"at"}},"indexes":[]}"#;
        let view = r#"{"options":{"viewOn":"t","pipeline":[]},"indexes":[]}"#;
        let one = rawdoc! { "_id": 1, "a": "x" }.into_bytes();
        let two = rawdoc! { "_id": 2 }.into_bytes();
        archive(&[
            ("shop", "t", plain, vec![one.clone(), two.clone()]),
            ("shop", "s", series, vec![two.clone()]),
            ("shop", "v", view, vec![]),
            ("admin", "system.users", "", vec![one.clone()]),
            ("", "oplog", "", vec![two]),
        ])
    }

    #[test]
    fn an_archive_comes_apart_whatever_the_pieces() {
        let whole = read(&sample(), usize::MAX).unwrap();
        for size in [1, 3, 7, 64] {
            assert_eq!(read(&sample(), size).unwrap(), whole);
        }
        let Found::Collections(described) = &whole[0] else { panic!("{whole:?}") };
        let of = |place: usize| (described[place].database.as_str(), described[place].entry.name.as_str());
        assert_eq!((described.len(), of(0), of(1), of(2)), (3, ("shop", "t"), ("shop", "s"), ("shop", "v")));
        let index = &described[0].entry.indexes[0];
        assert_eq!(index, &doc! { "v": 2, "key": { "z": 1, "a": -1 }, "name": "z_1_a_-1" });
        assert_eq!(index.get_document("key").unwrap().keys().collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(described[0].entry.options, doc! { "capped": true, "size": 4096 });
        assert!(described[1].form == Form::Buckets && described[2].entry.is_view());
        let (one, two) = (rawdoc! { "_id": 1, "a": "x" }.into_bytes(), rawdoc! { "_id": 2 }.into_bytes());
        let expected = [
            Found::Document(0, one.into()),
            Found::Document(0, two.clone().into()),
            Found::End(0),
            Found::Document(1, two.clone().into()),
            Found::End(1),
            Found::End(2),
            Found::Change(two.into()),
        ];
        assert_eq!(whole[1..], expected);
    }

    #[test]
    fn what_is_cut_off_or_changed_is_refused() {
        let whole = sample();
        for end in 0..whole.len() {
            assert!(read(&whole[..end], usize::MAX).is_err(), "{end}");
        }
        let at = whole.windows(4).position(|bytes| bytes == b"a\0\x02\0").unwrap() + 6;
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let error = read(&changed, usize::MAX).unwrap_err();
        assert_eq!(error.context("collection"), Some("shop.t"));
        let mut twice = whole.clone();
        twice.extend(bytes(&doc! { "db": "shop", "collection": "t", "EOF": false, "CRC": 0_i64 }));
        twice.extend(END);
        assert!(read(&twice, usize::MAX).is_err());
        assert!(read(b"PGDMP and so on", usize::MAX).is_err());
    }
}
