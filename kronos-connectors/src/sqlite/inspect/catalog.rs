//! Lists of files and of tables.

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

pub(crate) fn tables(live: &Connection, system: bool) -> rusqlite::Result<Vec<Table>> {
    let mut list = live.prepare_cached("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")?;
    let mut estimates = estimates(live)?;
    let rows = list.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut tables = Vec::new();
    for row in rows {
        let (name, kind) = row?;
        // SQLite's own, and what a module keeps its data in.
        if !system && (name.starts_with("sqlite_") || kind == "shadow") {
            continue;
        }
        tables.push(Table { rows: estimates.remove(&name), kind: kind_of(&kind), name, ..Table::default() });
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

/// What ANALYZE last counted, by table.
pub(super) fn estimates(live: &Connection) -> rusqlite::Result<std::collections::HashMap<String, u64>> {
    let known = live
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'", [], |row| row.get::<_, u32>(0))?;
    if known == 0 {
        return Ok(std::collections::HashMap::new());
    }
    let mut statistics = live.prepare_cached("SELECT tbl, stat FROM sqlite_stat1")?;
    let rows = statistics.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
    let mut estimates = std::collections::HashMap::new();
    for row in rows {
        let (table, statistic) = row?;
        // Of several indexes, a partial one has fewer rows than the table.
        let rows = statistic.and_then(|text| text.split(' ').next().and_then(|rows| rows.parse::<u64>().ok()));
        if let Some(rows) = rows {
            let known = estimates.entry(table).or_insert(0);
            *known = rows.max(*known);
        }
    }
    Ok(estimates)
}
