//! What the server's catalog says: databases, tables with their columns and keys, engines.

use std::collections::{BTreeMap, BTreeSet};

use kronos_core::Result;

use super::connect::Session;
use super::names::{is_of_server, literal};
use super::plan::{Column, Form};

/// Engines whose tables have rows elsewhere, or none.
const WITHOUT_ROWS: [&str; 7] = ["MRG_MYISAM", "BLACKHOLE", "FEDERATED", "CONNECT", "SPIDER", "S3", "MROONGA_WRAPPER"];

/// A table, as far as its rows are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub name: String,
    /// `None` if the server cannot open it.
    pub engine: Option<String>,
    /// A snapshot holds it still.
    pub is_transactional: bool,
    /// It keeps rows of the past (MariaDB).
    pub versions: Option<Versions>,
    /// As the engine estimates.
    pub rows: u64,
    pub size: u64,
    /// Columns that hold something of their own, in their order.
    pub columns: Vec<Column>,
    /// The columns of the primary key in which rows can be read in order.
    pub key: Vec<KeyColumn>,
}

/// How a table keeps rows of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Versions {
    /// With the times from and to which they were valid, in these columns.
    Times(String, String),
    /// With the numbers of transactions, which mean nothing to another server.
    Transactions,
}

/// A column of a primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub name: String,
    /// Such as `bigint`.
    pub data_type: String,
    /// Of text.
    pub charset: Option<String>,
}

impl Table {
    /// Whether its rows are its own.
    pub(super) fn has_rows(&self) -> bool {
        let engine = self.engine.as_deref().unwrap_or_default();
        !WITHOUT_ROWS.iter().any(|other| engine.eq_ignore_ascii_case(other))
    }

    pub(super) fn is_innodb(&self) -> bool {
        self.engine.as_deref().is_some_and(|engine| engine.eq_ignore_ascii_case("InnoDB"))
    }
}

/// Name and size of every database that is not the server's own.
pub(super) async fn databases(session: &mut Session) -> Result<Vec<(String, u64)>> {
    let sql = "SELECT s.schema_name, CAST(COALESCE((SELECT SUM(t.data_length + t.index_length) \
            FROM information_schema.tables t WHERE t.table_schema = s.schema_name), 0) AS UNSIGNED) \
        FROM information_schema.schemata s ORDER BY 1";
    let mut found: Vec<(String, u64)> = session.rows("list the databases", sql).await?;
    found.retain(|(name, _)| !is_of_server(name));
    Ok(found)
}

/// Names of databases as the server keeps them: some write all in small letters.
pub(super) async fn folded(session: &mut Session, names: &[String]) -> Result<Vec<String>> {
    let mode: u32 = session.value("ask how names are kept", "SELECT @@global.lower_case_table_names").await?;
    Ok(names.iter().map(|name| if mode == 1 { name.to_lowercase() } else { name.clone() }).collect())
}

/// Names of the views, sequences and base tables of a database, with their types.
pub(super) async fn relations(session: &mut Session, database: &str) -> Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = {} ORDER BY 1",
        literal(database)
    );
    session.rows("list the tables", &sql).await
}

/// Names of everything in a database that is read like a table.
pub(super) async fn names(session: &mut Session, database: &str) -> Result<BTreeSet<String>> {
    let sql = format!("SELECT table_name FROM information_schema.tables WHERE table_schema = {}", literal(database));
    let found: Vec<(String,)> = session.rows("list the tables", &sql).await?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}

/// The tables of a database that can have rows.
pub(super) async fn tables(session: &mut Session, database: &str) -> Result<Vec<Table>> {
    type Found = (String, String, Option<String>, Option<String>, Option<u64>, Option<u64>);
    let sql = format!(
        "SELECT t.table_name, t.table_type, t.engine, e.transactions, t.table_rows, t.data_length \
         FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine \
         WHERE t.table_schema = {} AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1",
        literal(database)
    );
    let found: Vec<Found> = session.rows("list the tables", &sql).await?;
    let mut columns = columns(session, database).await?;
    let mut keys = keys(session, database).await?;
    let table = |(name, kind, engine, transactions, rows, size): Found| {
        let Columns { kept, names, period, by_transactions } = columns.remove(&name).unwrap_or_default();
        let (start, end) = period;
        // Columns that nobody has named are in no list.
        let times = |start: Option<String>, end: Option<String>| {
            Versions::Times(
                start.unwrap_or_else(|| "row_start".to_owned()),
                end.unwrap_or_else(|| "row_end".to_owned()),
            )
        };
        let key: Vec<KeyColumn> = keys.remove(&name).unwrap_or_default();
        Table {
            is_transactional: transactions.as_deref() == Some("YES"),
            versions: match kind == "SYSTEM VERSIONED" {
                true if by_transactions => Some(Versions::Transactions),
                true => Some(times(start, end)),
                false => None,
            },
            rows: rows.unwrap_or_default(),
            size: size.unwrap_or_default(),
            // A column that the catalog hides cannot be named.
            key: if key.iter().all(|column| names.contains(&column.name)) { key } else { Vec::new() },
            name,
            engine,
            columns: kept,
        }
    };
    Ok(found.into_iter().map(table).collect())
}

/// The columns of a table.
#[derive(Debug, Default)]
struct Columns {
    /// Those that hold something of their own.
    kept: Vec<Column>,
    /// All of them.
    names: Vec<String>,
    /// Those that say from and to when a row was valid.
    period: (Option<String>, Option<String>),
    by_transactions: bool,
}

async fn columns(session: &mut Session, database: &str) -> Result<BTreeMap<String, Columns>> {
    type Found = (String, String, String, String, Option<String>);
    let sql = format!(
        "SELECT table_name, column_name, data_type, extra, generation_expression \
         FROM information_schema.columns WHERE table_schema = {} ORDER BY table_name, ordinal_position",
        literal(database)
    );
    let mut columns = BTreeMap::<String, Columns>::new();
    let found: Vec<Found> = session.rows("list the columns", &sql).await?;
    for (table, name, data_type, extra, expression) in found {
        let columns = columns.entry(table).or_default();
        columns.names.push(name.clone());
        match expression.as_deref() {
            Some("ROW START") => {
                columns.by_transactions = data_type == "bigint";
                columns.period.0 = Some(name);
            }
            Some("ROW END") => columns.period.1 = Some(name),
            None | Some("") if !extra.contains(" GENERATED") => {
                columns.kept.push(Column { name, form: Form::of(session.server, &data_type, &extra) });
            }
            _ => {}
        }
    }
    Ok(columns)
}

/// Primary keys in whose order a table can be read; not those of the beginnings of columns.
async fn keys(session: &mut Session, database: &str) -> Result<BTreeMap<String, Vec<KeyColumn>>> {
    type Found = (String, String, Option<u64>, String, Option<String>);
    let sql = format!(
        "SELECT s.table_name, s.column_name, s.sub_part, c.data_type, c.character_set_name \
         FROM information_schema.statistics s JOIN information_schema.columns c \
            ON c.table_schema = s.table_schema AND c.table_name = s.table_name AND c.column_name = s.column_name \
         WHERE s.table_schema = {} AND s.index_name = 'PRIMARY' ORDER BY s.table_name, s.seq_in_index",
        literal(database)
    );
    let mut keys = BTreeMap::<String, Vec<KeyColumn>>::new();
    let mut partial = Vec::new();
    let found: Vec<Found> = session.rows("list the primary keys", &sql).await?;
    for (table, name, sub_part, data_type, charset) in found {
        if sub_part.is_some() {
            partial.push(table.clone());
        }
        keys.entry(table).or_default().push(KeyColumn { name, data_type, charset });
    }
    keys.retain(|table, _| !partial.contains(table));
    Ok(keys)
}
