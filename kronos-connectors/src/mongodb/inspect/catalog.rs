//! Databases, collections with their options and indexes.

use kronos_core::inspect::{Constraint, ConstraintKind, Database, Index, RowCount, Scope, Table, TableInfo, TableKind};
use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Bson, Document, doc};

use super::super::catalog::{name_of, number};
use super::super::error::if_allowed;
use super::super::{json, names};
use super::connection::Pooled;
use super::fields;

/// Documents that are looked at to know the fields.
const SAMPLE: i32 = 1000;

pub(super) async fn databases(connection: &mut Pooled, scope: &Scope) -> Result<Vec<Database>> {
    let found = connection.command_of("admin", "list databases", doc! { "listDatabases": 1 }).await?;
    let all = found.get_array("databases").map(Vec::as_slice).unwrap_or_default();
    let database = |one: &Bson| {
        let one = one.as_document()?;
        let name = one.get_str("name").ok()?.to_owned();
        let system = names::is_of_server(&name);
        Some(Database { name, size: Some(number(one.get("sizeOnDisk"))), system, ..Database::default() })
    };
    Ok(all.iter().filter_map(database).filter(|database| scope.system || !database.system).collect())
}

pub(super) async fn tables(connection: &mut Pooled, scope: &Scope) -> Result<Vec<Table>> {
    let ask = doc! { "listCollections": 1, "nameOnly": true, "cursor": {} };
    let found = connection.list("list collections", ask).await?;
    let table = |one: &Document| {
        let name = one.get_str("name").ok()?.to_owned();
        Some(Table { kind: kind_of(one), name, ..Table::default() })
    };
    let is_system = |table: &Table| table.name.starts_with("system.");
    Ok(found.iter().filter_map(table).filter(|table| scope.system || !is_system(table)).collect())
}

fn kind_of(one: &Document) -> TableKind {
    match one.get_str("type").unwrap_or_default() {
        "view" => TableKind::View,
        "timeseries" => TableKind::TimeSeries,
        _ => TableKind::Collection,
    }
}

/// A collection as the server lists it.
pub(super) async fn find(connection: &mut Pooled, name: &str) -> Result<Document> {
    let ask = doc! { "listCollections": 1, "filter": { "name": name }, "cursor": {} };
    let found = connection.list("look for the collection", ask).await?.into_iter().next();
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such collection").with("collection", name))
}

pub(super) async fn info(connection: &mut Pooled, name: &str) -> Result<TableInfo> {
    let found = find(connection, name).await?;
    let kind = kind_of(&found);
    let mut options = found.get_document("options").cloned().unwrap_or_default();
    let mut table = Table { name: name.to_owned(), kind, ..Table::default() };
    let mut indexes = Vec::new();
    if kind != TableKind::View {
        let size = connection.command("measure the collection", doc! { "collStats": name }).await;
        if let Some(size) = if_allowed(size)? {
            table.rows = size.contains_key("count").then(|| number(size.get("count")));
            table.size = Some(number(size.get("storageSize")) + number(size.get("totalIndexSize")));
        }
        let listed = connection.list("list indexes", doc! { "listIndexes": name, "cursor": {} }).await;
        indexes =
            listed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(Vec::new()) } else { Err(error) })?;
        indexes.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    }
    let sample = doc! { "aggregate": name, "pipeline": [{ "$sample": { "size": SAMPLE } }], "cursor": {} };
    let columns = fields::of(&connection.list("look at documents", sample).await?);
    let mut constraints = Vec::new();
    if let Some(validator) = options.remove("validator") {
        let definition = json::canonical(&validator)?;
        constraints.push(Constraint { name: None, kind: ConstraintKind::Validator, definition });
    }
    let definition = if options.is_empty() { None } else { Some(json::canonical(&Bson::Document(options))?) };
    Ok(TableInfo {
        count: table.rows.map_or(RowCount::Unknown, RowCount::Estimate),
        table,
        columns,
        indexes: indexes.into_iter().map(index).collect::<Result<_>>()?,
        foreign_keys: Vec::new(),
        constraints,
        definition,
    })
}

fn index(mut index: Document) -> Result<Index> {
    index.remove("ns");
    let name = name_of(&index).to_owned();
    let columns: Vec<String> = index.get_document("key").map(|key| key.keys().cloned().collect()).unwrap_or_default();
    let primary = columns == ["_id"];
    let unique = primary || index.get_bool("unique").unwrap_or_default();
    Ok(Index { name, unique, primary, columns, definition: json::canonical(&Bson::Document(index))? })
}

pub(super) async fn count(connection: &mut Pooled, name: &str) -> Result<u64> {
    find(connection, name).await?;
    let ask = doc! { "aggregate": name, "pipeline": [{ "$count": "rows" }], "cursor": {} };
    let found = connection.list("count the documents", ask).await?;
    Ok(found.first().map_or(0, |found| number(found.get("rows"))))
}
