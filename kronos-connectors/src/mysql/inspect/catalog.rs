//! Lists of databases and tables.

use kronos_core::Result;
use kronos_core::inspect::{Database, Scope, Table, TableKind};

use super::super::names::{ident, is_of_server};
use super::connection::Pooled;

type DatabaseRow = (String, Option<String>, Option<String>, Option<u64>);

pub(super) async fn databases(connection: &mut Pooled, scope: &Scope) -> Result<Vec<Database>> {
    let rows: Vec<DatabaseRow> = connection
        .rows(
            "list databases",
            "SELECT s.schema_name, s.default_character_set_name, s.default_collation_name, \
                (SELECT CAST(SUM(COALESCE(t.data_length, 0) + COALESCE(t.index_length, 0)) AS UNSIGNED) \
                    FROM information_schema.tables t WHERE t.table_schema = s.schema_name) \
             FROM information_schema.schemata s",
            &[],
        )
        .await?;
    let all = rows.into_iter().map(|(name, encoding, collation, size)| Database {
        system: is_of_server(&name),
        name,
        size,
        owner: None,
        encoding,
        collation,
    });
    Ok(all.filter(|database| scope.system || !database.system).collect())
}

/// By `SHOW`, which opens none of them.
pub(super) async fn tables(connection: &mut Pooled, database: &str, scope: &Scope) -> Result<Vec<Table>> {
    let sql = format!("SHOW FULL TABLES FROM {}", ident(database));
    let rows: Vec<(String, String)> = connection.plain_rows("list tables", &sql).await?;
    let mut tables = Vec::new();
    for (name, kind) in rows {
        let kind = match kind.as_str() {
            "VIEW" | "SYSTEM VIEW" => TableKind::View,
            "SEQUENCE" if !scope.system => continue,
            _ => TableKind::Table,
        };
        tables.push(Table { name, kind, ..Table::default() });
    }
    Ok(tables)
}
