//! What an archive says of a collection, in the extended JSON of its metadata.

use kronos_core::Result;
use mongodb::bson::{Document, RawDocument};

use super::super::catalog::Entry;
use super::super::error::corrupt;
use super::super::plan::Form;

/// A collection, a view or a time series of an archive.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Described {
    pub database: String,
    pub entry: Entry,
    pub form: Form,
}

pub(super) fn text(document: &[u8], key: &'static str) -> Result<String> {
    let raw = RawDocument::from_bytes(document).ok();
    let found = raw.and_then(|raw| raw.get_str(key).ok());
    found
        .map(str::to_owned)
        .ok_or_else(|| corrupt("an archive says something that is not understood").with("lacks", key))
}

/// Options and indexes, of the extended JSON in which an archive has them.
pub(super) fn entry(name: &str, metadata: &str) -> Result<Entry> {
    // The order of keys is that of the text.
    let described: Document = serde_json::from_str(metadata).map_err(|e| {
        corrupt("an archive's description of a collection is not understood").with("collection", name).with_source(e)
    })?;
    let indexes = described.get_array("indexes").map(Vec::as_slice).unwrap_or_default();
    let mut indexes: Vec<Document> = indexes.iter().filter_map(|index| index.as_document().cloned()).collect();
    for index in &mut indexes {
        index.remove("ns");
    }
    let options = described.get_document("options").cloned().unwrap_or_default();
    Ok(Entry { name: name.to_owned(), options, indexes, uuid: None })
}
