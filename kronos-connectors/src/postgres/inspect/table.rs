//! All about one table, by queries that read of no other.

use kronos_core::inspect::{
    Column, Constraint, ConstraintKind, ForeignKey, Generated, Index, RowCount, Table, TableInfo, TableKind, TableName,
};
use kronos_core::{Error, ErrorKind, Result};

use super::super::names::{ident, qualified};
use super::catalog::{estimate, kind_of};
use super::connection::Pooled;
use crate::inspect::Browse;

/// A table that was found.
struct Found {
    oid: String,
    schema: String,
    name: String,
    kind: TableKind,
    rows: Option<u64>,
    comment: Option<String>,
}

type FoundRow = (String, String, String, String, f64, i32, Option<String>);

async fn find(connection: &mut Pooled, table: &TableName) -> Result<Found> {
    let name = match &table.schema {
        Some(schema) => qualified(schema, &table.name),
        None => ident(&table.name),
    };
    let rows: Vec<FoundRow> = connection
        .rows(
            "look for the table",
            "SELECT c.oid::text, n.nspname::text, c.relname::text, c.relkind::text, c.reltuples::float8, c.relpages, \
                pg_catalog.obj_description(c.oid, 'pg_class') \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
            &[&name],
        )
        .await?;
    let Some((oid, schema, name, kind, rows, pages, comment)) = rows.into_iter().next() else {
        return Err(Error::new(ErrorKind::NotFound, "there is no such table").with("table", table));
    };
    Ok(Found { oid, schema, name, kind: kind_of(&kind), rows: estimate(rows, pages), comment })
}

pub(super) async fn info(connection: &mut Pooled, table: &TableName) -> Result<TableInfo> {
    let found = find(connection, table).await?;
    let oid = found.oid.as_str();
    let columns = columns(connection, oid).await?;
    let indexes = indexes(connection, oid).await?;
    let foreign_keys = foreign_keys(connection, oid).await?;
    let constraints = constraints(connection, oid).await?;
    let rows: Vec<(Option<i64>, f64, Option<String>)> = connection
        .rows(
            "measure the table",
            // Of a partitioned table, what its partitions have.
            "SELECT (SELECT sum(pg_catalog.pg_total_relation_size(relid))::int8 \
                FROM pg_catalog.pg_partition_tree(c.oid)), \
                (SELECT coalesce(sum(greatest(p.reltuples, 0)), 0)::float8 FROM pg_catalog.pg_partition_tree(c.oid) t \
                JOIN pg_catalog.pg_class p ON p.oid = t.relid WHERE t.isleaf), \
                CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid, true) END \
             FROM pg_catalog.pg_class c WHERE c.oid = $1::oid",
            &[oid],
        )
        .await?;
    let (size, of_parts, definition) = rows.into_iter().next().unwrap_or_default();
    let has_rows = !matches!(found.kind, TableKind::View | TableKind::Foreign);
    let rows = match found.kind {
        TableKind::Partitioned => estimate(of_parts, 0),
        _ => found.rows,
    };
    Ok(TableInfo {
        count: rows.map_or(RowCount::Unknown, RowCount::Estimate),
        table: Table {
            schema: Some(found.schema),
            name: found.name,
            kind: found.kind,
            rows,
            size: match size {
                Some(size) if has_rows => u64::try_from(size).ok(),
                // It is in no tree of partitions: an ordinary table.
                None if has_rows => {
                    let sql = format!("SELECT pg_catalog.pg_total_relation_size({oid}::oid)");
                    u64::try_from(connection.number("measure the table", sql).await?).ok()
                }
                _ => None,
            },
            comment: found.comment,
        },
        columns,
        indexes,
        foreign_keys,
        constraints,
        definition,
    })
}

type ColumnRow = (String, String, Option<i32>, bool, Option<String>, String, String, Option<i32>, Option<String>);

async fn columns(connection: &mut Pooled, oid: &str) -> Result<Vec<Column>> {
    let rows: Vec<ColumnRow> = connection
        .rows(
            "read the columns",
            "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), \
                CASE WHEN m.modifier < 0 THEN NULL WHEN m.base IN (1042, 1043) THEN m.modifier - 4 \
                    WHEN m.base IN (1560, 1562) THEN m.modifier END, \
                NOT (a.attnotnull OR t.typnotnull), pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
                a.attgenerated::text, a.attidentity::text, \
                (SELECT pg_catalog.array_position(i.indkey::int2[], a.attnum) + 1 FROM pg_catalog.pg_index i \
                    WHERE i.indrelid = a.attrelid AND i.indisprimary), \
                pg_catalog.col_description(a.attrelid, a.attnum) \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
             CROSS JOIN LATERAL (SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE a.atttypid END AS base, \
                CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier) m \
             LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            &[oid],
        )
        .await?;
    let column = |(position, row): (u32, ColumnRow)| {
        let (name, data_type, max_length, nullable, expression, generated, identity, key, comment) = row;
        let (default, generated) = match (generated.as_str(), identity.as_str(), expression) {
            ("s", _, Some(expression)) => (None, Some(Generated::Stored(expression))),
            ("v", _, Some(expression)) => (None, Some(Generated::Virtual(expression))),
            (_, "a", default) => (default, Some(Generated::Identity(true))),
            (_, "d", default) => (default, Some(Generated::Identity(false))),
            (_, _, default) => (default, None),
        };
        Column {
            name,
            position,
            data_type,
            max_length: max_length.and_then(|length| u64::try_from(length).ok()),
            nullable,
            default,
            key: key.and_then(|key| u32::try_from(key).ok()),
            generated,
            frequency: None,
            comment,
        }
    };
    Ok((1..).zip(rows).map(column).collect())
}

async fn indexes(connection: &mut Pooled, oid: &str) -> Result<Vec<Index>> {
    let rows: Vec<(String, bool, bool, Vec<String>, String)> = connection
        .rows(
            "read the indexes",
            "SELECT c.relname::text, i.indisunique, i.indisprimary, \
                ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, place, true) \
                    FROM pg_catalog.generate_series(1, i.indnkeyatts) AS place ORDER BY place), \
                pg_catalog.pg_get_indexdef(i.indexrelid) \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             WHERE i.indrelid = $1::oid ORDER BY c.relname COLLATE \"C\"",
            &[oid],
        )
        .await?;
    let index = |(name, unique, primary, columns, definition)| Index { name, unique, primary, columns, definition };
    Ok(rows.into_iter().map(index).collect())
}

type ForeignKeyRow = (String, Vec<String>, String, String, Vec<String>, String, String);

async fn foreign_keys(connection: &mut Pooled, oid: &str) -> Result<Vec<ForeignKey>> {
    let rows: Vec<ForeignKeyRow> = connection
        .rows(
            "read the foreign keys",
            "SELECT o.conname::text, \
                ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(o.conkey) WITH ORDINALITY AS k (number, place) \
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.number \
                    ORDER BY k.place), \
                n.nspname::text, c.relname::text, \
                ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(o.confkey) WITH ORDINALITY AS k (number, place) \
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.number \
                    ORDER BY k.place), \
                o.confupdtype::text, o.confdeltype::text \
             FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_class c ON c.oid = o.confrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE o.conrelid = $1::oid AND o.contype = 'f' ORDER BY o.conname COLLATE \"C\"",
            &[oid],
        )
        .await?;
    let action = |letter: &str| {
        match letter {
            "c" => "CASCADE",
            "r" => "RESTRICT",
            "n" => "SET NULL",
            "d" => "SET DEFAULT",
            _ => "NO ACTION",
        }
        .to_owned()
    };
    let key = |(name, columns, schema, target_table, target_columns, update, delete): ForeignKeyRow| ForeignKey {
        name: Some(name),
        columns,
        target_schema: Some(schema),
        target_table,
        target_columns,
        on_update: action(&update),
        on_delete: action(&delete),
    };
    Ok(rows.into_iter().map(key).collect())
}

async fn constraints(connection: &mut Pooled, oid: &str) -> Result<Vec<Constraint>> {
    let rows: Vec<(String, String, String)> = connection
        .rows(
            "read the constraints",
            "SELECT conname::text, contype::text, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint \
             WHERE conrelid = $1::oid AND contype IN ('p', 'u', 'c', 'x') ORDER BY conname COLLATE \"C\"",
            &[oid],
        )
        .await?;
    let constraint = |(name, kind, definition): (String, String, String)| Constraint {
        name: Some(name),
        kind: match kind.as_str() {
            "p" => ConstraintKind::PrimaryKey,
            "u" => ConstraintKind::Unique,
            "x" => ConstraintKind::Exclusion,
            _ => ConstraintKind::Check,
        },
        definition,
    };
    Ok(rows.into_iter().map(constraint).collect())
}

pub(super) async fn count(connection: &mut Pooled, table: &TableName) -> Result<u64> {
    let found = find(connection, table).await?;
    let sql = format!("SELECT count(*) FROM {}", qualified(&found.schema, &found.name));
    connection.number("count the rows", sql).await.map(|rows| u64::try_from(rows).unwrap_or_default())
}

pub(super) async fn browse(connection: &mut Pooled, table: &TableName) -> Result<Browse> {
    let found = find(connection, table).await?;
    let key: Vec<(String,)> = connection
        .rows(
            "read the key",
            "SELECT a.attname::text FROM pg_catalog.pg_index i \
             CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
             WHERE i.indrelid = $1::oid AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place",
            &[&found.oid],
        )
        .await?;
    let key: Vec<String> = key.into_iter().map(|(name,)| name).collect();
    let text = format!("SELECT * FROM {}", qualified(&found.schema, &found.name));
    let quoted = key.iter().map(|name| ident(name)).collect();
    Ok(Browse { text, key, quoted })
}
