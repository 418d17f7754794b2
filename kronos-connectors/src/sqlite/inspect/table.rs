//! All about one table.

use std::collections::HashMap;

use kronos_core::inspect::{
    Column, Constraint, ConstraintKind, ForeignKey, Generated, Index, RowCount, Table, TableInfo, TableKind, TableName,
};
use rusqlite::{Connection, OptionalExtension, Result};

use super::catalog::{STATISTICS, estimate, kind_of};
use super::connection::ident;
use super::definition::Definition;
use crate::inspect::{Browse, Statement, whole_in_sql};

/// The table as it is written in the schema; names of tables are compared without regard to case.
fn find(live: &Connection, table: &TableName) -> Result<(String, TableKind, bool)> {
    let found = live
        .prepare_cached(
            // The schema itself is listed by its new name, and found by its old one.
            "SELECT name, type, wr FROM pragma_table_list( \
                CASE WHEN ?1 = 'sqlite_schema' COLLATE NOCASE THEN 'sqlite_master' ELSE ?1 END) \
             WHERE schema = 'main'",
        )?
        .query_row([&table.name], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
        })
        .optional()?;
    let (name, kind, without_rowid) = found.ok_or_else(|| missing(table))?;
    Ok((name, kind_of(&kind), without_rowid))
}

/// As SQLite says it itself.
fn missing(table: &TableName) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR);
    rusqlite::Error::SqliteFailure(code, Some(format!("no such table: {table}")))
}

pub(crate) fn info(live: &Connection, table: &TableName) -> Result<TableInfo> {
    let Entry { name, kind, mut definitions, is_analyzed } = entry(live, table)?;
    let definition = definitions.remove(&name);
    let parsed = Definition::of(definition.as_deref().unwrap_or_default());
    let rows = if kind == TableKind::Table && is_analyzed { estimate(live, &name)? } else { None };
    let (indexes, mut constraints) = indexes(live, &name, &mut definitions)?;
    constraints.extend(parsed.checks.clone());
    constraints.sort_by(|a, b| (&a.name, &a.definition).cmp(&(&b.name, &b.definition)));
    Ok(TableInfo {
        count: rows.map_or(RowCount::Unknown, RowCount::Estimate),
        columns: columns(live, &name, &parsed)?,
        foreign_keys: foreign_keys(live, &name)?,
        table: Table { name, kind, rows, ..Table::default() },
        indexes,
        constraints,
        definition,
    })
}

/// What one pass over the schema says of a table.
struct Entry {
    name: String,
    kind: TableKind,
    /// The statements that made it and its indexes, by their names.
    definitions: HashMap<String, String>,
    /// ANALYZE has been run on something.
    is_analyzed: bool,
}

/// The schema has no index, so it is passed over once, and no more.
fn entry(live: &Connection, table: &TableName) -> Result<Entry> {
    let mut list = live.prepare_cached(
        "SELECT name, type, rootpage, sql FROM sqlite_schema \
         WHERE (tbl_name = ?1 COLLATE NOCASE OR tbl_name = ?2) AND type IN ('table', 'view', 'index')",
    )?;
    let mut rows = list.query([table.name.as_str(), STATISTICS])?;
    let (mut found, mut definitions, mut is_analyzed) = (None, HashMap::new(), false);
    while let Some(row) = rows.next()? {
        let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
        is_analyzed |= name == STATISTICS;
        if name == STATISTICS && !table.name.eq_ignore_ascii_case(STATISTICS) {
            continue;
        }
        let has_pages = row.get::<_, Option<i64>>(2)?.unwrap_or_default() != 0;
        definitions.extend(row.get::<_, Option<String>>(3)?.map(|sql| (name.clone(), sql)));
        match kind.as_str() {
            "table" if has_pages => found = Some((name, TableKind::Table)),
            "table" => found = Some((name, TableKind::Virtual)),
            "view" => found = Some((name, TableKind::View)),
            _ => {}
        }
    }
    // The schema itself is not in it.
    let (name, kind) = match found {
        Some(found) => found,
        None => find(live, table).map(|(name, kind, _)| (name, kind))?,
    };
    Ok(Entry { name, kind, definitions, is_analyzed })
}

fn columns(live: &Connection, table: &str, definition: &Definition) -> Result<Vec<Column>> {
    let mut list =
        live.prepare_cached("SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1)")?;
    let mut rows = list.query([table])?;
    let mut columns = Vec::new();
    while let Some(row) = rows.next()? {
        let hidden: u8 = row.get(5)?;
        // Those of a virtual table are no part of its rows.
        if hidden == 1 {
            continue;
        }
        let (name, data_type): (String, String) = (row.get(0)?, row.get(1)?);
        let key: u32 = row.get(4)?;
        let expression = || definition.generated.get(&name.to_lowercase()).cloned().unwrap_or_default();
        columns.push(Column {
            position: u32::try_from(columns.len() + 1).unwrap_or(u32::MAX),
            max_length: length(&data_type),
            nullable: !row.get::<_, bool>(2)?,
            default: row.get(3)?,
            key: (key > 0).then_some(key),
            generated: match hidden {
                2 => Some(Generated::Virtual(expression())),
                3 => Some(Generated::Stored(expression())),
                _ => None,
            },
            data_type,
            name,
            ..Column::default()
        });
    }
    Ok(columns)
}

/// The length in a type such as `VARCHAR(40)`. SQLite does not enforce it.
fn length(data_type: &str) -> Option<u64> {
    let (name, rest) = data_type.split_once('(')?;
    let name = name.to_ascii_uppercase();
    let text = name.contains("CHAR") || name.contains("TEXT") || name.contains("CLOB");
    text.then(|| rest.strip_suffix(')')?.trim().parse().ok()).flatten()
}

fn indexes(
    live: &Connection,
    table: &str,
    definitions: &mut HashMap<String, String>,
) -> Result<(Vec<Index>, Vec<Constraint>)> {
    let mut list = live.prepare_cached("SELECT name, \"unique\", origin FROM pragma_index_list(?1) ORDER BY name")?;
    let mut rows = list.query([table])?;
    let (mut indexes, mut constraints) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (name, unique, origin): (String, bool, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let mut parts =
            live.prepare_cached("SELECT name, cid FROM pragma_index_xinfo(?1) WHERE key = 1 ORDER BY seqno")?;
        let part = |row: &rusqlite::Row<'_>| {
            let name: Option<String> = row.get(0)?;
            Ok(name.unwrap_or_else(|| "<expression>".to_owned()))
        };
        let columns: Vec<String> = parts.query_map([&name], part)?.collect::<Result<_>>()?;
        let names: Vec<String> = columns.iter().map(|column| ident(column)).collect();
        let (kind, word) = match origin.as_str() {
            "pk" => (Some(ConstraintKind::PrimaryKey), "PRIMARY KEY"),
            "u" => (Some(ConstraintKind::Unique), "UNIQUE"),
            _ => (None, "INDEX"),
        };
        let made_of = format!("{word} ({})", names.join(", "));
        if let Some(kind) = kind {
            constraints.push(Constraint { name: None, kind, definition: made_of.clone() });
        }
        let definition = definitions.remove(&name).unwrap_or(made_of);
        indexes.push(Index { name, unique, primary: origin == "pk", columns, definition });
    }
    // An INTEGER PRIMARY KEY is the table's own order and has no index.
    if !indexes.iter().any(|index: &Index| index.primary) {
        let key = key(live, table)?;
        if !key.is_empty() {
            let names: Vec<String> = key.iter().map(|name| ident(name)).collect();
            let definition = format!("PRIMARY KEY ({})", names.join(", "));
            constraints.push(Constraint { name: None, kind: ConstraintKind::PrimaryKey, definition });
        }
    }
    Ok((indexes, constraints))
}

fn key(live: &Connection, table: &str) -> Result<Vec<String>> {
    let mut list = live.prepare_cached("SELECT name FROM pragma_table_xinfo(?1) WHERE pk > 0 ORDER BY pk")?;
    list.query_map([table], |row| row.get(0))?.collect()
}

fn foreign_keys(live: &Connection, table: &str) -> Result<Vec<ForeignKey>> {
    let mut list = live.prepare_cached(
        "SELECT id, \"table\", \"from\", \"to\", on_update, on_delete FROM pragma_foreign_key_list(?1) ORDER BY id, seq",
    )?;
    let mut rows = list.query([table])?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if keys.last().is_none_or(|(last, _)| *last != id) {
            let target_table: String = row.get(1)?;
            let (on_update, on_delete) = (row.get(4)?, row.get(5)?);
            keys.push((id, ForeignKey { target_table, on_update, on_delete, ..ForeignKey::default() }));
        }
        if let Some((_, last)) = keys.last_mut() {
            last.columns.push(row.get(2)?);
            // Without names, the other table's primary key is meant.
            last.target_columns.extend(row.get::<_, Option<String>>(3)?);
        }
    }
    let mut keys: Vec<ForeignKey> = keys.into_iter().map(|(_, key)| key).collect();
    for foreign in keys.iter_mut().filter(|foreign| foreign.target_columns.is_empty()) {
        foreign.target_columns = key(live, &foreign.target_table)?;
    }
    keys.sort_by(|a, b| (&a.columns, &a.target_table).cmp(&(&b.columns, &b.target_table)));
    Ok(keys)
}

pub(crate) fn count(live: &Connection, table: &TableName) -> Result<u64> {
    let (name, ..) = find(live, table)?;
    live.query_row(&format!("SELECT count(*) FROM {}", ident(&name)), [], |row| row.get::<_, i64>(0))
        .map(|rows| u64::try_from(rows).unwrap_or_default())
}

pub(crate) fn browse(live: &Connection, table: &TableName) -> Result<Browse> {
    let (name, kind, without_rowid) = find(live, table)?;
    let from = format!("SELECT * FROM {}", ident(&name));
    // A key that may hold NULLs, as SQLite's may, is none to go by.
    let firm = |key: &[String]| -> Result<bool> {
        let mut list = live.prepare_cached("SELECT \"notnull\", type, pk FROM pragma_table_xinfo(?1) WHERE pk > 0")?;
        let rows = list.query_map([&name], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, String>(1)?)))?;
        let rows: Vec<(bool, String)> = rows.collect::<Result<_>>()?;
        let rowid = key.len() == 1 && rows.iter().all(|(_, kind)| kind.eq_ignore_ascii_case("INTEGER"));
        Ok(without_rowid || rowid || rows.iter().all(|(not_null, _)| *not_null))
    };
    let key = key(live, &name)?;
    if kind != TableKind::Table || key.is_empty() || !firm(&key)? {
        return Ok(Browse { text: from, ..Browse::default() });
    }
    let quoted = key.iter().map(|name| ident(name)).collect();
    Ok(Browse { text: from, key, quoted })
}

/// All rows of a table, from a place on where a page of it ended.
pub(crate) fn whole(browse: &Browse, after: Option<&str>) -> kronos_core::Result<Statement> {
    whole_in_sql(browse, after, |key, values| {
        let places: Vec<&str> = values.iter().map(|_| "?").collect();
        (format!("({}) > ({})", key.join(", "), places.join(", ")), values)
    })
}
