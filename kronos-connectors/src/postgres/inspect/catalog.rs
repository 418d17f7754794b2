//! Lists of databases, schemas and tables, each by one query of the catalogs.

use kronos_core::Result;
use kronos_core::inspect::{Database, Schema, Scope, Table, TableKind};

use super::connection::Pooled;

type DatabaseRow = (String, Option<String>, Option<String>, Option<String>, bool, Option<i64>);

pub(super) async fn databases(connection: &mut Pooled, scope: &Scope) -> Result<Vec<Database>> {
    let rows: Vec<DatabaseRow> = connection
        .rows(
            "list databases",
            "SELECT datname::text, pg_catalog.pg_get_userbyid(datdba)::text, \
                pg_catalog.pg_encoding_to_char(encoding)::text, datcollate::text, datistemplate OR NOT datallowconn, \
                CASE WHEN pg_catalog.has_database_privilege(oid, 'CONNECT') THEN pg_catalog.pg_database_size(oid) END \
             FROM pg_catalog.pg_database",
            &[],
        )
        .await?;
    let all = rows.into_iter().map(|(name, owner, encoding, collation, system, size)| Database {
        name,
        size: size.and_then(|size| u64::try_from(size).ok()),
        owner,
        encoding,
        collation,
        system,
    });
    Ok(all.filter(|database| scope.system || !database.system).collect())
}

pub(super) async fn schemas(connection: &mut Pooled, scope: &Scope) -> Result<Vec<Schema>> {
    let rows: Vec<(String, Option<String>, bool)> = connection
        .rows(
            "list schemas",
            "SELECT nspname::text, pg_catalog.pg_get_userbyid(nspowner)::text, \
                nspname LIKE 'pg\\_%' OR nspname = 'information_schema' \
             FROM pg_catalog.pg_namespace",
            &[],
        )
        .await?;
    let all = rows.into_iter().map(|(name, owner, system)| Schema { name, owner, system });
    Ok(all.filter(|schema| scope.system || !schema.system).collect())
}

pub(super) async fn tables(connection: &mut Pooled, scope: &Scope) -> Result<Vec<Table>> {
    let all = if scope.system || scope.schema.is_some() { "t" } else { "" };
    let rows: Vec<(String, String, String, f64, i32, Option<String>)> = connection
        .rows(
            "list tables",
            "SELECT n.nspname::text, c.relname::text, c.relkind::text, c.reltuples::float8, c.relpages, d.description \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 \
                AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ($1 = '' OR n.nspname = $1) \
                AND ($2 <> '' OR (n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'))",
            &[scope.schema.as_deref().unwrap_or_default(), all],
        )
        .await?;
    Ok(rows
        .into_iter()
        .map(|(schema, name, kind, rows, pages, comment)| Table {
            schema: Some(schema),
            name,
            kind: kind_of(&kind),
            rows: estimate(rows, pages),
            size: None,
            comment,
        })
        .collect())
}

pub(super) fn kind_of(kind: &str) -> TableKind {
    match kind {
        "p" => TableKind::Partitioned,
        "v" => TableKind::View,
        "m" => TableKind::MaterializedView,
        "f" => TableKind::Foreign,
        _ => TableKind::Table,
    }
}

/// What VACUUM or ANALYZE last counted. Before the first of them there is nothing: up to version 13,
/// that is a 0 of a table without pages.
pub(super) fn estimate(rows: f64, pages: i32) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, and it is an estimate")]
    (rows > 0.0 || (rows == 0.0 && pages > 0)).then_some(rows as u64)
}
