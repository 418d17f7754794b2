//! Lists of files and of tables.

use std::collections::HashMap;
use std::path::PathBuf;

use kronos_core::Result;
use kronos_core::inspect::{Database, Table, TableKind};
use rusqlite::Connection;

use super::super::error;
use super::pool::blocking;

/// By their names and sizes; none is opened.
pub(super) async fn databases(files: Vec<(String, PathBuf)>) -> Result<Vec<Database>> {
    blocking(move || {
        let database = |(name, path): (String, PathBuf)| {
            let found = std::fs::metadata(&path).map_err(|e| error::io(e, &path))?;
            Ok(Database { name, size: Some(found.len()), ..Database::default() })
        };
        files.into_iter().map(database).collect()
    })
    .await
}

/// In one pass over the schema, which has no index and may be long.
pub(crate) fn tables(live: &Connection, system: bool) -> rusqlite::Result<Vec<Table>> {
    let mut list =
        live.prepare_cached("SELECT name, type = 'view', rootpage FROM sqlite_schema WHERE type IN ('table', 'view')")?;
    let mut rows = list.query([])?;
    let (mut tables, mut is_analyzed, mut has_modules) = (Vec::new(), false, false);
    while let Some(row) = rows.next()? {
        let (name, is_view): (String, bool) = (row.get(0)?, row.get(1)?);
        is_analyzed |= name == STATISTICS;
        // What a module keeps elsewhere has no pages, and may have others under names of its own.
        has_modules |= !is_view && row.get::<_, Option<i64>>(2)?.unwrap_or_default() == 0;
        if !name.starts_with("sqlite_") {
            let kind = if is_view { TableKind::View } else { TableKind::Table };
            tables.push(Table { kind, name, ..Table::default() });
        }
    }
    if system || has_modules {
        tables = tables_of_every_kind(live, system)?;
    }
    if is_analyzed {
        let mut estimates = estimates(live)?;
        for table in &mut tables {
            table.rows = estimates.remove(&table.name);
        }
    }
    Ok(tables)
}

/// The same, and SQLite says what belongs to whom.
fn tables_of_every_kind(live: &Connection, system: bool) -> rusqlite::Result<Vec<Table>> {
    let mut list = live.prepare_cached("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")?;
    let rows = list.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut tables = Vec::new();
    for row in rows {
        let (name, kind) = row?;
        // SQLite's own, and what a module keeps its data in.
        if system || !name.starts_with("sqlite_") && kind != "shadow" {
            tables.push(Table { kind: kind_of(&kind), name, ..Table::default() });
        }
    }
    Ok(tables)
}

pub(super) fn kind_of(kind: &str) -> TableKind {
    match kind {
        "view" => TableKind::View,
        "virtual" => TableKind::Virtual,
        _ => TableKind::Table,
    }
}

/// Where ANALYZE writes what it counts, once it has been run.
pub(super) const STATISTICS: &str = "sqlite_stat1";

/// What ANALYZE last counted, by table.
fn estimates(live: &Connection) -> rusqlite::Result<HashMap<String, u64>> {
    let mut statistics = live.prepare_cached("SELECT tbl, stat FROM sqlite_stat1")?;
    let rows = statistics.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
    let mut estimates = HashMap::new();
    for row in rows {
        let (table, statistic) = row?;
        if let Some(rows) = statistic.as_deref().and_then(rows_of) {
            let known = estimates.entry(table).or_insert(0);
            *known = rows.max(*known);
        }
    }
    Ok(estimates)
}

/// The same of one table, where ANALYZE has been run.
pub(super) fn estimate(live: &Connection, table: &str) -> rusqlite::Result<Option<u64>> {
    let mut statistics = live.prepare_cached("SELECT stat FROM sqlite_stat1 WHERE tbl = ?1")?;
    let rows: Vec<Option<String>> = statistics.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // Of several indexes, a partial one has fewer rows than the table.
    Ok(rows.iter().filter_map(|statistic| statistic.as_deref().and_then(rows_of)).max())
}

fn rows_of(statistic: &str) -> Option<u64> {
    statistic.split(' ').next()?.parse().ok()
}
