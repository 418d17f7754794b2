//! What a server has: databases, collections with their options and indexes, sizes.

use kronos_core::Result;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use super::connect::Server;
use super::error::{NO_COMMAND, NO_NAMESPACE, has_code, if_allowed};
use super::names;

/// A collection, a view or a time series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub name: String,
    /// As it was given when it was made.
    pub options: Document,
    /// As the server lists them, with the one of `_id`.
    pub indexes: Vec<Document>,
    /// Which collection it is, whatever its name; where the server tells.
    pub uuid: Option<[u8; 16]>,
}

impl Entry {
    /// As streams and journals hold it.
    pub(super) fn description(&self) -> Document {
        let indexes: Vec<Bson> = self.indexes.iter().cloned().map(Bson::Document).collect();
        let mut description = doc! { "name": &self.name, "options": self.options.clone(), "indexes": indexes };
        if let Some(uuid) = self.uuid {
            description.insert("uuid", Binary { subtype: BinarySubtype::Uuid, bytes: uuid.to_vec() });
        }
        description
    }

    /// The same the other way round; `None` if it is no description.
    pub(super) fn of(description: &Document) -> Option<Self> {
        let indexes = description.get_array("indexes").ok()?.iter().map(|index| index.as_document().cloned());
        Some(Self {
            name: description.get_str("name").ok()?.to_owned(),
            options: description.get_document("options").ok()?.clone(),
            indexes: indexes.collect::<Option<_>>()?,
            uuid: uuid_of(description),
        })
    }

    /// Nothing is known of it any more but the name: another one may get it.
    pub(super) fn empty(&mut self) {
        self.options = Document::new();
        self.indexes.clear();
    }

    pub(super) fn is_view(&self) -> bool {
        self.options.contains_key("viewOn")
    }

    pub(super) fn is_time_series(&self) -> bool {
        self.options.contains_key("timeseries")
    }

    pub(super) fn is_capped(&self) -> bool {
        self.options.get("capped").is_some_and(|capped| matches!(capped, Bson::Boolean(true)))
    }

    pub(super) fn is_clustered(&self) -> bool {
        self.options.contains_key("clusteredIndex")
    }
}

/// What a database has.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed {
    /// By name, without what is the server's own.
    pub entries: Vec<Entry>,
    /// The time series whose data lies in a collection of its own.
    pub bucketed: Vec<String>,
    /// What the server has for itself, or a restore for a while.
    pub left_out: Vec<String>,
}

/// Databases by name, with their sizes on disk, without those of the server.
pub(super) async fn databases(server: &Server) -> Result<Vec<(String, u64)>> {
    let found = server.command("admin", "list databases", doc! { "listDatabases": 1 }).await?;
    let mut databases = Vec::new();
    for database in found.get_array("databases").map(Vec::as_slice).unwrap_or_default() {
        let Some(database) = database.as_document() else { continue };
        if let Ok(name) = database.get_str("name")
            && !names::is_of_server(name)
        {
            databases.push((name.to_owned(), number(database.get("sizeOnDisk"))));
        }
    }
    databases.sort();
    Ok(databases)
}

/// Bytes of documents in a database; those on disk where the user may not ask for these, as with the role
/// `backup` alone.
pub(super) async fn size(server: &Server, database: &str) -> Result<u64> {
    if let Some(found) = if_allowed(server.command(database, "ask for the size", doc! { "dbStats": 1 }).await)? {
        return Ok(number(found.get("dataSize")));
    }
    let all = databases(server).await?;
    Ok(all.into_iter().find(|(name, _)| name == database).map_or(0, |(_, size)| size))
}

/// Bytes of the documents of a collection, and their number.
pub(super) async fn collection_size(server: &Server, database: &str, collection: &str) -> Result<(u64, u64)> {
    let found = server.command(database, "ask for the size", doc! { "collStats": collection }).await?;
    Ok((number(found.get("size")), number(found.get("count"))))
}

/// Everything in a database but documents.
pub(super) async fn list(server: &Server, database: &str) -> Result<Listed> {
    let what = "list collections";
    let found = server.list(database, what, doc! { "listCollections": 1, "cursor": {} }).await?;
    let mut listed = Listed::default();
    for one in found {
        let Ok(name) = one.get_str("name") else { continue };
        if let Some(series) = name.strip_prefix(names::BUCKETS) {
            listed.bucketed.push(series.to_owned());
        } else if names::is_internal(name) || names::is_beside(name).is_some() {
            listed.left_out.push(name.to_owned());
        } else {
            let options = one.get_document("options").cloned().unwrap_or_default();
            // What a time series holds lies in a collection that is another one.
            let is_series = options.contains_key("timeseries");
            let uuid = one.get_document("info").ok().and_then(uuid_of).filter(|_| !is_series);
            let mut entry = Entry { name: name.to_owned(), options, indexes: Vec::new(), uuid };
            if !entry.is_view() {
                entry.indexes = indexes(server, database, name).await?;
            }
            listed.entries.push(entry);
        }
    }
    listed.entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

/// Which collection has a name at this moment, if there is one and the server tells.
pub(super) async fn uuid(server: &Server, database: &str, collection: &str) -> Result<Option<[u8; 16]>> {
    let ask = doc! { "listCollections": 1, "filter": { "name": collection }, "cursor": {} };
    let found = server.list(database, "look which collection it is", ask).await?;
    Ok(found.first().and_then(|one| one.get_document("info").ok()).and_then(uuid_of))
}

fn uuid_of(document: &Document) -> Option<[u8; 16]> {
    match document.get("uuid")? {
        Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes }) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

/// The indexes of a collection by name, without what says where they are.
pub(super) async fn indexes(server: &Server, database: &str, collection: &str) -> Result<Vec<Document>> {
    let listed = server.list(database, "list indexes", doc! { "listIndexes": collection, "cursor": {} }).await;
    let mut found = match listed {
        // It has gone since it was listed, or is a kind that has none.
        Err(error) if has_code(&error, &[NO_NAMESPACE, NO_COMMAND, 166]) => Vec::new(),
        listed => listed?,
    };
    for index in &mut found {
        index.remove("ns");
    }
    found.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    Ok(found)
}

pub(super) fn name_of(index: &Document) -> &str {
    index.get_str("name").unwrap_or_default()
}

/// A number of any kind, as servers of all versions give them.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes, which are only shown and divided")]
pub(super) fn number(value: Option<&Bson>) -> u64 {
    match value {
        Some(Bson::Int32(n)) => u64::try_from(*n).unwrap_or_default(),
        Some(Bson::Int64(n)) => u64::try_from(*n).unwrap_or_default(),
        Some(Bson::Double(n)) => *n as u64,
        _ => 0,
    }
}
