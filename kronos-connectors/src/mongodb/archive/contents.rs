//! Whose documents an archive holds, and how far those of each have come.

use std::collections::HashMap;

use crc::{CRC_64_XZ, Crc, Digest, Table};
use kronos_core::Result;
use mongodb::bson::RawDocument;

use super::super::error::corrupt;
use super::super::names::{self, BUCKETS};
use super::super::plan::Form;
use super::metadata::{Described, entry, text};

/// Go's `crc64.ECMA`.
pub(super) static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

/// Whose documents come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// By its place among those that are described.
    Collection(usize),
    Oplog,
    /// What is not restored: databases of the server, collections of its own.
    Other,
}

/// Something that documents can come of.
struct Space {
    owner: Owner,
    database: String,
    collection: String,
    checksum: Digest<'static, u64, Table<16>>,
    is_over: bool,
    /// It may be passed over in silence.
    is_empty: bool,
}

/// What is said before documents.
pub(super) struct Header {
    /// Where they belong.
    pub(super) space: usize,
    pub(super) owner: Owner,
    /// None follow: all have come.
    pub(super) is_over: bool,
}

/// All that documents can come of.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) described: Vec<Described>,
    spaces: Vec<Space>,
    by_name: HashMap<(String, String), usize>,
}

impl Contents {
    /// The description of a collection.
    pub(super) fn describe(&mut self, bytes: &[u8]) -> Result<()> {
        let (database, collection) = (text(bytes, "db")?, text(bytes, "collection")?);
        let metadata = text(bytes, "metadata")?;
        let mut data = collection.clone();
        let (mut owner, mut is_empty) = (Owner::Other, false);
        if database.is_empty() && collection == "oplog" {
            owner = Owner::Oplog;
        } else if !names::is_of_server(&database) && !names::is_internal(&collection) {
            let entry = entry(&collection, &metadata)?;
            owner = Owner::Collection(self.described.len());
            is_empty = entry.is_view();
            let form = if entry.is_time_series() { Form::Buckets } else { Form::Documents };
            if entry.is_time_series() {
                // Under this name since there are time series; servers of 8.3 and newer have but one.
                data = format!("{BUCKETS}{collection}");
                self.by_name.insert((database.clone(), collection.clone()), self.spaces.len());
            }
            self.described.push(Described { database: database.clone(), entry, form });
        }
        let name = (database.clone(), data.clone());
        if self.by_name.insert(name, self.spaces.len()).is_some_and(|known| known != self.spaces.len()) {
            return Err(corrupt("an archive describes a collection twice").with("collection", collection));
        }
        let checksum = CHECKSUM.digest();
        self.spaces.push(Space { owner, database, collection, checksum, is_over: false, is_empty });
        Ok(())
    }

    /// A document has come; gives whose it is.
    pub(super) fn take(&mut self, space: usize, document: &[u8]) -> Owner {
        let space = &mut self.spaces[space];
        space.checksum.update(document);
        space.owner
    }

    /// Whose documents follow, or have all come.
    pub(super) fn header(&mut self, bytes: &[u8]) -> Result<Header> {
        let name = (text(bytes, "db")?, text(bytes, "collection")?);
        let shown = format!("{}.{}", name.0, name.1);
        let raw =
            RawDocument::from_bytes(bytes).map_err(|_| corrupt("an archive has no document where one must be"))?;
        let is_over = raw.get_bool("EOF").unwrap_or(false);
        let space = match self.by_name.get(&name) {
            Some(space) => *space,
            // Of users and roles nothing is said before.
            None if names::is_of_server(&name.0) || names::is_internal(&name.1) || name.0 == "$admin" => {
                let checksum = CHECKSUM.digest();
                let (database, collection) = name.clone();
                self.spaces.push(Space {
                    owner: Owner::Other,
                    database,
                    collection,
                    checksum,
                    is_over: false,
                    is_empty: true,
                });
                self.by_name.insert(name, self.spaces.len() - 1);
                self.spaces.len() - 1
            }
            None => {
                return Err(corrupt("an archive has documents of a collection that it does not describe")
                    .with("collection", shown));
            }
        };
        let found = &mut self.spaces[space];
        if found.is_over {
            return Err(corrupt("an archive goes on with a collection that has ended").with("collection", shown));
        }
        if is_over {
            let wanted = raw.get_i64("CRC").unwrap_or_default().cast_unsigned();
            let digest = std::mem::replace(&mut found.checksum, CHECKSUM.digest()).finalize();
            if digest != wanted {
                return Err(corrupt("the checksum of a collection in an archive is wrong").with("collection", shown));
            }
            found.is_over = true;
        }
        Ok(Header { space, owner: found.owner, is_over })
    }

    /// One whose documents have not all come.
    pub(super) fn unfinished(&self) -> Option<String> {
        let space = self.spaces.iter().find(|space| !space.is_over && !space.is_empty)?;
        Some(format!("{}.{}", space.database, space.collection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_format() {
        // The check value of CRC-64/XZ.
        let mut checksum = CHECKSUM.digest();
        checksum.update(b"123456789");
        assert_eq!(checksum.finalize(), 0x995d_c9bb_df19_39fa);
    }
}
