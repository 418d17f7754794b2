//! All about one table, by queries that open no other: for MariaDB, of each table of `information_schema`
//! schema and table are compared with values. Compared with columns of a join, it opens every table.

use kronos_core::inspect::{
    Column, Constraint, ConstraintKind, ForeignKey, Generated, Index, RowCount, Table, TableInfo, TableKind,
};
use kronos_core::{Error, ErrorKind, Result};

use super::super::names::{ident, plain_literal, qualified};
use super::connection::Pooled;
use crate::inspect::Browse;

type TableRow = (String, String, Option<u64>, Option<u64>, Option<u64>, Option<String>, Option<String>);

pub(super) async fn info(connection: &mut Pooled, database: &str, name: &str) -> Result<TableInfo> {
    let rows: Vec<TableRow> = connection
        .rows(
            "look for the table",
            "SELECT table_name, table_type, table_rows, data_length, index_length, table_comment, create_options \
             FROM information_schema.tables WHERE table_schema = ? AND table_name = ?",
            &[database, name],
        )
        .await?;
    let Some((name, kind, rows, data_size, index_size, comment, options)) = rows.into_iter().next() else {
        return Err(
            Error::new(ErrorKind::NotFound, "there is no such table").with("table", format!("{database}.{name}"))
        );
    };
    let kind = match kind.as_str() {
        "VIEW" | "SYSTEM VIEW" => TableKind::View,
        _ if options.is_some_and(|options| options.contains("partitioned")) => TableKind::Partitioned,
        _ => TableKind::Table,
    };
    let is_view = kind == TableKind::View;
    let definition = definition(connection, database, &name, is_view).await?;
    let lines = definition.as_deref().unwrap_or_default();
    let (indexes, key) = indexes(connection, database, &name, lines).await?;
    Ok(TableInfo {
        count: rows.filter(|_| !is_view).map_or(RowCount::Unknown, RowCount::Estimate),
        columns: columns(connection, database, &name, &key).await?,
        foreign_keys: foreign_keys(connection, database, &name).await?,
        constraints: constraints(connection, database, &name, &indexes).await?,
        indexes,
        table: Table {
            schema: None,
            kind,
            rows: rows.filter(|_| !is_view),
            size: data_size.zip(index_size).map(|(data, index)| data + index),
            // Of a view, the server says that it is one.
            comment: comment.filter(|comment| !comment.is_empty() && !is_view),
            name,
        },
        definition,
    })
}

async fn definition(connection: &mut Pooled, database: &str, name: &str, is_view: bool) -> Result<Option<String>> {
    let word = if is_view { "VIEW" } else { "TABLE" };
    let sql = format!("SHOW CREATE {word} {}", qualified(database, name));
    // Those of the server itself tell nothing.
    let rows: Result<Vec<mysql_async::Row>> = connection.plain_rows("read the definition", &sql).await;
    match rows {
        Ok(rows) => Ok(rows.first().and_then(|row| row.get::<String, _>(1))),
        Err(error) if error.kind() == ErrorKind::ConnectionFailed => Err(error),
        Err(_) => Ok(None),
    }
}

type ColumnRow = (String, u32, String, Option<u64>, String, Option<String>, String, Option<String>, String);

async fn columns(connection: &mut Pooled, database: &str, table: &str, key: &[String]) -> Result<Vec<Column>> {
    let rows: Vec<ColumnRow> = connection
        .rows(
            "read the columns",
            "SELECT column_name, CAST(ordinal_position AS UNSIGNED), column_type, character_maximum_length, is_nullable, \
                column_default, extra, generation_expression, column_comment \
             FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
            &[database, table],
        )
        .await?;
    let is_mariadb = connection.is_mariadb();
    let column = |(position, row): (u32, ColumnRow)| {
        let (name, _, data_type, max_length, nullable, default, extra, expression, comment) = row;
        let extra = extra.to_ascii_uppercase();
        let expression = expression.unwrap_or_default();
        Column {
            position,
            key: key.iter().position(|part| *part == name).and_then(|at| u32::try_from(at + 1).ok()),
            nullable: nullable == "YES",
            generated: match () {
                () if extra.contains("STORED GENERATED") || extra.contains("PERSISTENT") => {
                    Some(Generated::Stored(expression))
                }
                () if extra.contains("VIRTUAL GENERATED") => Some(Generated::Virtual(expression)),
                () if extra.contains("AUTO_INCREMENT") => Some(Generated::Identity(false)),
                () => None,
            },
            default: default.and_then(|text| default_of(text, is_mariadb, &extra, &data_type)),
            name,
            data_type,
            max_length,
            frequency: None,
            comment: Some(comment).filter(|comment| !comment.is_empty()),
        }
    };
    Ok((1..).zip(rows).map(column).collect())
}

/// A default as an expression. MariaDB gives one; MySQL gives what the value is, or an expression
/// and says so.
fn default_of(text: String, is_mariadb: bool, extra: &str, data_type: &str) -> Option<String> {
    if is_mariadb {
        return (text != "NULL").then_some(text);
    }
    let number = ["int", "decimal", "float", "double", "bit"].iter().any(|name| data_type.contains(name));
    if extra.contains("DEFAULT_GENERATED") || number { Some(text) } else { Some(plain_literal(&text)) }
}

type IndexRow = (String, u64, Option<String>);

/// The indexes, and the columns of the primary key.
async fn indexes(
    connection: &mut Pooled,
    database: &str,
    table: &str,
    definition: &str,
) -> Result<(Vec<Index>, Vec<String>)> {
    let rows: Vec<IndexRow> = connection
        .rows(
            "read the indexes",
            "SELECT index_name, CAST(non_unique AS UNSIGNED), column_name FROM information_schema.statistics \
             WHERE table_schema = ? AND table_name = ? ORDER BY index_name, seq_in_index",
            &[database, table],
        )
        .await?;
    let mut indexes: Vec<Index> = Vec::new();
    for (name, not_unique, column) in rows {
        if indexes.last().is_none_or(|last| last.name != name) {
            let primary = name == "PRIMARY";
            // Each has a line of its own in the table's definition.
            let mark = if primary { "PRIMARY KEY ".to_owned() } else { format!("KEY {} ", ident(&name)) };
            let line = definition.lines().map(str::trim).find(|line| line.contains(&mark));
            let definition = line.unwrap_or_default().trim_end_matches(',').to_owned();
            indexes.push(Index { name, unique: not_unique == 0, primary, columns: Vec::new(), definition });
        }
        if let Some(last) = indexes.last_mut() {
            last.columns.push(column.unwrap_or_else(|| "<expression>".to_owned()));
        }
    }
    let key = indexes.iter().find(|index| index.primary).map(|index| index.columns.clone()).unwrap_or_default();
    Ok((indexes, key))
}

type ForeignKeyRow = (String, String, String, String, String, String, String);

async fn foreign_keys(connection: &mut Pooled, database: &str, table: &str) -> Result<Vec<ForeignKey>> {
    // MySQL, which has a dictionary, finds them by the join, and by values would pass over all tables.
    let is_mariadb = connection.is_mariadb();
    let by = if is_mariadb {
        "r.constraint_schema = ? AND r.table_name = ?"
    } else {
        "r.constraint_schema = k.constraint_schema AND r.table_name = k.table_name"
    };
    let sql = format!(
        "SELECT k.constraint_name, k.column_name, k.referenced_table_schema, k.referenced_table_name, \
            k.referenced_column_name, r.update_rule, r.delete_rule \
         FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r \
            ON r.constraint_name = k.constraint_name AND {by} \
         WHERE k.table_schema = ? AND k.table_name = ? AND k.referenced_table_name IS NOT NULL \
         ORDER BY k.constraint_name, k.ordinal_position"
    );
    let binds = [database, table, database, table];
    let binds = if is_mariadb { &binds[..] } else { &binds[2..] };
    let rows: Vec<ForeignKeyRow> = connection.rows("read the foreign keys", &sql, binds).await?;
    let mut keys: Vec<ForeignKey> = Vec::new();
    for (name, column, schema, target, target_column, on_update, on_delete) in rows {
        if keys.last().is_none_or(|last| last.name.as_ref() != Some(&name)) {
            keys.push(ForeignKey {
                name: Some(name),
                columns: Vec::new(),
                target_schema: Some(schema),
                target_table: target,
                target_columns: Vec::new(),
                on_update,
                on_delete,
            });
        }
        if let Some(last) = keys.last_mut() {
            last.columns.push(column);
            last.target_columns.push(target_column);
        }
    }
    Ok(keys)
}

async fn constraints(
    connection: &mut Pooled,
    database: &str,
    table: &str,
    indexes: &[Index],
) -> Result<Vec<Constraint>> {
    let sql = if connection.is_mariadb() {
        "SELECT constraint_name, check_clause FROM information_schema.check_constraints \
             WHERE constraint_schema = ? AND table_name = ?"
    } else {
        "SELECT c.constraint_name, c.check_clause FROM information_schema.check_constraints c \
             JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema \
                AND t.constraint_name = c.constraint_name \
             WHERE t.table_schema = ? AND t.table_name = ? AND t.constraint_type = 'CHECK'"
    };
    let rows: Vec<(String, String)> = connection.rows("read the constraints", sql, &[database, table]).await?;
    let check = |(name, clause): (String, String)| Constraint {
        name: Some(name),
        kind: ConstraintKind::Check,
        definition: format!("CHECK ({clause})"),
    };
    let of_index = |index: &Index| Constraint {
        name: Some(index.name.clone()),
        kind: if index.primary { ConstraintKind::PrimaryKey } else { ConstraintKind::Unique },
        definition: index.definition.clone(),
    };
    let unique = indexes.iter().filter(|index| index.unique).map(of_index);
    let mut all: Vec<Constraint> = unique.chain(rows.into_iter().map(check)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

pub(super) async fn count(connection: &mut Pooled, database: &str, table: &str) -> Result<u64> {
    let sql = format!("SELECT COUNT(*) FROM {}", qualified(database, table));
    let rows: Vec<(u64,)> = connection.plain_rows("count the rows", &sql).await?;
    Ok(rows.first().map_or(0, |(rows,)| *rows))
}

pub(super) async fn browse(connection: &mut Pooled, database: &str, table: &str) -> Result<Browse> {
    let rows: Vec<(String, String)> = connection
        .rows(
            "read the key",
            "SELECT s.column_name, c.data_type FROM information_schema.statistics s \
             JOIN information_schema.columns c ON c.column_name = s.column_name \
                AND c.table_schema = ? AND c.table_name = ? \
             WHERE s.table_schema = ? AND s.table_name = ? AND s.index_name = 'PRIMARY' AND s.sub_part IS NULL \
             ORDER BY s.seq_in_index",
            &[database, table, database, table],
        )
        .await?;
    let text = format!("SELECT * FROM {}", qualified(database, table));
    // Two floats that are written alike need not be equal.
    if rows.iter().any(|(_, kind)| matches!(kind.as_str(), "float" | "double")) {
        return Ok(Browse { text, ..Browse::default() });
    }
    let key: Vec<String> = rows.into_iter().map(|(name, _)| name).collect();
    let quoted = key.iter().map(|name| ident(name)).collect();
    Ok(Browse { text, key, quoted })
}
