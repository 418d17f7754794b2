//! What a database is made of, as `kronos inspect --json` shows it (`kronos.inspect/1`). Fields are
//! only ever added.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A database of a server; for SQLite a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its size on disk in bytes, where that is known without reading it.
    pub size: Option<u64>,
    /// Who owns it.
    pub owner: Option<String>,
    /// How text is stored: `UTF8`, `utf8mb4`.
    pub encoding: Option<String>,
    /// How text is compared by default.
    pub collation: Option<String>,
    /// It belongs to the engine itself, or is a template.
    pub system: bool,
}

/// A schema within a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Who owns it.
    pub owner: Option<String>,
    /// It belongs to the engine itself.
    pub system: bool,
}

/// What kind of table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TableKind {
    /// One that has rows.
    #[default]
    Table,
    /// One whose rows are in its partitions.
    Partitioned,
    /// A stored statement.
    View,
    /// A stored statement with its result.
    MaterializedView,
    /// Rows that are on another server.
    Foreign,
    /// What a module makes of other tables (SQLite).
    Virtual,
    /// A collection of documents.
    Collection,
    /// A collection of measurements (MongoDB).
    TimeSeries,
}

/// A table without its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The schema it is in, where the engine has schemas.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// What kind of table.
    pub kind: TableKind,
    /// About how many rows it has, where the engine knows that without counting.
    pub rows: Option<u64>,
    /// Its size on disk in bytes, with indexes.
    pub size: Option<u64>,
    /// What its maker said of it.
    pub comment: Option<String>,
}

/// How many rows a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "rows")]
pub enum RowCount {
    /// They were counted.
    Exact(u64),
    /// What the engine takes it for.
    Estimate(u64),
    /// The engine does not know without counting.
    Unknown,
}

/// How a column gets its value by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Generated {
    /// Computed and stored.
    Stored(String),
    /// Computed when it is read.
    Virtual(String),
    /// Numbered by the database; `true` when no other value is taken.
    Identity(bool),
    /// When the row was in use: system versioning.
    RowPeriod,
}

/// A column; for MongoDB a field that documents of a sample have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its place, from 1.
    pub position: u32,
    /// Its type as the engine writes it: `character varying(40)`. For MongoDB the types that were
    /// seen, the commonest first: `string | int`.
    pub data_type: String,
    /// How many characters (or bytes, of binary types) a value may have, where that is limited.
    pub max_length: Option<u64>,
    /// It may be NULL, or missing.
    pub nullable: bool,
    /// Its default as an expression.
    pub default: Option<String>,
    /// Its place in the primary key, from 1.
    pub key: Option<u32>,
    /// How it gets its value by itself.
    pub generated: Option<Generated>,
    /// Of the documents of the sample, the share that has it (MongoDB).
    pub frequency: Option<f64>,
    /// What its maker said of it.
    pub comment: Option<String>,
}

/// An index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// No two rows may be equal in it.
    pub unique: bool,
    /// It is that of the primary key.
    pub primary: bool,
    /// What it is over, in order: names of columns, or expressions.
    pub columns: Vec<String>,
    /// How it is made, in the engine's language.
    pub definition: String,
}

/// A foreign key. `columns` and `target_columns` belong together one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Its name; SQLite has none where its maker gave none.
    pub name: Option<String>,
    /// The columns of this table.
    pub columns: Vec<String>,
    /// The schema, or for MySQL the database, of the other table.
    pub target_schema: Option<String>,
    /// The other table.
    pub target_table: String,
    /// Its columns.
    pub target_columns: Vec<String>,
    /// What happens when the other key changes: `NO ACTION`, `CASCADE`, …
    pub on_update: String,
    /// What happens when the other row goes.
    pub on_delete: String,
}

/// What kind of constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ConstraintKind {
    /// The primary key.
    PrimaryKey,
    /// No two rows are equal.
    Unique,
    /// An expression holds for each row.
    Check,
    /// No two rows are in conflict (PostgreSQL).
    Exclusion,
    /// What documents must look like (MongoDB).
    Validator,
}

/// A constraint other than a foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// What kind.
    pub kind: ConstraintKind,
    /// In the engine's language.
    pub definition: String,
}

/// All about one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableInfo {
    /// The table.
    #[serde(flatten)]
    pub table: Table,
    /// How many rows it has.
    pub count: RowCount,
    /// Its columns in their order.
    pub columns: Vec<Column>,
    /// Its indexes by name.
    pub indexes: Vec<Index>,
    /// Its foreign keys by name.
    pub foreign_keys: Vec<ForeignKey>,
    /// Its other constraints by name.
    pub constraints: Vec<Constraint>,
    /// The statement of a view, or how the engine says that the table was made, where it says so.
    pub definition: Option<String>,
}

/// Which table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The database; `None` for the one of the source's settings.
    pub database: Option<String>,
    /// The schema; `None` for the one in which names are looked up, `public` for PostgreSQL.
    pub schema: Option<String>,
    /// The table.
    pub name: String,
}

impl TableName {
    /// A table in the database of the source's settings.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// In this schema.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// In this database.
    #[must_use]
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = Some(name.into());
        self
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.database, &self.schema].into_iter().flatten() {
            write!(f, "{part}.")?;
        }
        f.write_str(&self.name)
    }
}
