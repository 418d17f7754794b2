//! Which streams a database has: its schema, its tables in ranges of blocks, its sequences and
//! large objects. What a stream is named and what a restore must know of it.

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Phase, Result, StreamInfo, matches};
use serde::{Deserialize, Serialize};

use super::catalog::Relation;
use super::names::shown;

/// The attribute that has the rest, as JSON.
const ATTRIBUTE: &str = "postgres";
/// Blocks of a range: 64 MiB of blocks of 8 KiB.
const RANGE: u64 = 8192;
/// A table has at most about so many ranges: beyond, they are doubled.
const RANGES: u64 = 1024;

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Content {
    /// Roles and tablespaces of the server: SQL by `pg_dumpall --globals-only`.
    Globals {
        /// All databases of the server were wanted.
        server: bool,
    },
    /// Everything of a database but its rows: an archive of `pg_dump -Fc`.
    Schema {
        database: String,
        /// The first number of the version of `pg_dump`.
        tool: u32,
        /// The server's version, as in 150004.
        server: u32,
        /// The roles that it speaks of.
        roles: Vec<String>,
        /// What has no rows of its own: views, foreign and partitioned tables.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        without_rows: Vec<Named>,
    },
    /// Rows, in the text format of COPY.
    Rows(Rows),
    /// A line of JSON for each sequence: [`Sequence`].
    Sequences { database: String },
    /// Pieces of large objects, see `large_objects.rs`.
    LargeObjects { database: String },
    /// A whole database: an archive of `pg_dump -Fc`.
    Dump { database: String },
}

/// Rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rows {
    pub database: String,
    pub schema: String,
    pub table: String,
    /// Its number in the catalog, by which the archive of the schema knows it.
    pub oid: u32,
    /// The partitioned tables of which it is a part, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Named>,
    /// There are rows already, which the extension made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adds: bool,
    /// In the order of the fields.
    pub columns: Vec<String>,
    /// Of the text, as the server calls it.
    pub encoding: String,
    /// Schema and name of the table through which they are written back, if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<(String, String)>,
}

/// A table or view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub schema: String,
    pub table: String,
    pub oid: u32,
}

/// A sequence's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sequence {
    pub schema: String,
    pub name: String,
    pub last: i64,
    pub called: bool,
}

impl Content {
    pub(super) fn database(&self) -> Option<&str> {
        match self {
            Self::Globals { .. } => None,
            Self::Schema { database, .. }
            | Self::Sequences { database }
            | Self::LargeObjects { database }
            | Self::Dump { database } => Some(database),
            Self::Rows(rows) => Some(&rows.database),
        }
    }

    /// What a stream of a backup holds.
    pub(super) fn of(info: &StreamInfo) -> Result<Self> {
        let strange =
            || Error::new(ErrorKind::Corrupt, "this is no stream of a PostgreSQL backup").with("stream", &info.name);
        let text = info.attributes.get(ATTRIBUTE).ok_or_else(strange)?;
        serde_json::from_str(text).map_err(|e| strange().with_source(e))
    }

    /// Describes a stream.
    pub(super) fn stream(&self, name: String, phase: Phase, size: Option<u64>) -> Result<StreamInfo> {
        let text = serde_json::to_string(self).map_err(|e| super::error::internal("JSON").with_source(e))?;
        let attributes = BTreeMap::from([(ATTRIBUTE.to_owned(), text)]);
        let mut info = StreamInfo { phase, size_hint: size, attributes, ..StreamInfo::new(name) };
        match self {
            Self::Rows(rows) => {
                let parents = rows.parents.iter().map(|parent| (&parent.schema, &parent.table));
                for (schema, table) in std::iter::once((&rows.schema, &rows.table)).chain(parents) {
                    info.aliases.extend(table_names(&rows.database, schema, table));
                }
            }
            Self::Schema { database, without_rows, .. } => {
                info.shared = true;
                for named in without_rows {
                    info.aliases.extend(table_names(database, &named.schema, &named.table));
                }
            }
            Self::Globals { .. } | Self::Sequences { .. } => info.shared = true,
            Self::LargeObjects { .. } | Self::Dump { .. } => {}
        }
        if let Some(database) = self.database() {
            info.aliases.push(shown(database));
            info.group = Some(shown(database));
        }
        Ok(info)
    }
}

/// What people call a table: with its database or without, quoted where it must be or as it is.
pub(super) fn table_names(database: &str, schema: &str, table: &str) -> Vec<String> {
    let quoted = format!("{}.{}", shown(schema), shown(table));
    let plain = format!("{schema}.{table}");
    let mut names = vec![format!("{}.{quoted}", shown(database)), quoted];
    if !names.contains(&plain) {
        names.extend([format!("{database}.{plain}"), plain]);
    }
    names
}

/// Some blocks of a table: from the first on, up to but not with the last. The last range has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub from: u64,
    pub to: Option<u64>,
    pub bytes: u64,
}

/// The ranges of a table; `None` is all of it. They begin at multiples of one number of blocks, so
/// that they are the same in the next backup, but for those at the end.
pub(super) fn ranges(relation: &Relation, block: u64, version: u32) -> Vec<Option<Range>> {
    let bytes = u64::try_from(relation.size).unwrap_or_default();
    let blocks = bytes / block.max(1);
    // Before 14 the server reads all of the table for each range.
    let splits = relation.is_heap && version >= 140_000 && relation.condition.is_none() && !relation.columns.is_empty();
    if !splits || blocks <= RANGE {
        return vec![None];
    }
    let mut each = RANGE;
    while blocks / each > RANGES {
        each *= 2;
    }
    let starts: Vec<u64> = (0..blocks).step_by(usize::try_from(each).unwrap_or(usize::MAX)).collect();
    let last = starts.len() - 1;
    let range = |(n, from): (usize, u64)| {
        let to = (n < last).then_some(from + each);
        Some(Range { from, to, bytes: (to.unwrap_or(blocks) - from) * block })
    };
    starts.into_iter().enumerate().map(range).collect()
}

/// Whether the rows of a table are not wanted.
pub(super) fn is_excluded(exclude: &[String], database: &str, relation: &Relation) -> bool {
    let names = table_names(database, &relation.schema, &relation.name);
    exclude.iter().any(|pattern| names.iter().any(|name| matches(pattern, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(size: u64) -> Relation {
        Relation {
            oid: 1,
            schema: "public".into(),
            name: "Orders".into(),
            kind: "r".into(),
            is_unlogged: false,
            size: i64::try_from(size).unwrap(),
            is_heap: true,
            was_rewritten: false,
            is_readable: true,
            is_filtered: false,
            columns: vec!["id".into()],
            condition: None,
            root: None,
            parents: Vec::new(),
            is_of_extension: false,
        }
    }

    #[test]
    fn ranges_cover_a_table_without_gaps_and_stay_where_they_are() {
        let mib = 1 << 20;
        assert_eq!(ranges(&table(64 * mib), 8192, 150_000), [None]);
        assert_eq!(ranges(&table(1000 * mib), 8192, 130_000), [None]);
        for size in [65 * mib, 128 * mib, 1000 * mib, 500 * 1024 * mib] {
            let ranges: Vec<Range> = ranges(&table(size), 8192, 150_000).into_iter().flatten().collect();
            assert!(ranges.len() as u64 <= RANGES + 1);
            assert_eq!((ranges[0].from, ranges.last().unwrap().to), (0, None));
            assert!(ranges.windows(2).all(|two| two[0].to == Some(two[1].from)), "{size}");
            assert_eq!(ranges.iter().map(|r| r.bytes).sum::<u64>(), size);
        }
        let (before, after) = (ranges(&table(300 * mib), 8192, 150_000), ranges(&table(400 * mib), 8192, 150_000));
        assert_eq!(before[..before.len() - 1], after[..before.len() - 1]);
    }

    #[test]
    fn a_table_is_left_out_by_any_of_its_names() {
        for (pattern, expected) in [
            ("public.\"Orders\"", true),
            ("public.Orders", true),
            ("shop.public.*", true),
            ("*.Ord*", true),
            ("public.orders", false),
            ("shop", false),
        ] {
            assert_eq!(is_excluded(&[pattern.to_owned()], "shop", &table(0)), expected, "{pattern}");
        }
    }

    #[test]
    fn what_a_stream_holds_survives_its_description() {
        let rows = Rows {
            database: "shop".into(),
            schema: "public".into(),
            table: "a b".into(),
            oid: 16384,
            parents: Vec::new(),
            adds: false,
            columns: vec!["x\"y".into()],
            encoding: "UTF8".into(),
            root: Some(("public".into(), "parent".into())),
        };
        let content = Content::Rows(rows);
        let info = content.stream("shop/x".into(), Phase::Data, None).unwrap();
        assert_eq!(Content::of(&info).unwrap(), content);
        let names = ["shop.public.\"a b\"", "public.\"a b\"", "shop.public.a b", "public.a b", "shop"];
        assert_eq!(info.aliases, names);
        assert!(Content::of(&StreamInfo::new("x")).is_err());
    }
}
