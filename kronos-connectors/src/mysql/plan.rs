//! What streams a backup has, what each holds, and what a restore must know of it.

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Phase, Result, StreamInfo, matches};
use serde::{Deserialize, Serialize};

use super::connect::Server;
use super::names::{ident, idents, qualified, shown};

/// The attribute that has the rest, as JSON.
const ATTRIBUTE: &str = "mysql";

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Content {
    /// Users, roles and their rights: a line of JSON for each, see `globals.rs`.
    Globals {
        /// All databases of the server were wanted.
        server: bool,
    },
    /// Everything of a database but its rows: a line of JSON for each object, see `objects.rs`.
    Schema {
        database: String,
        /// `MySQL` or `MariaDB`.
        flavor: String,
        version: String,
    },
    /// Rows, in the default format of `LOAD DATA`.
    Rows(Rows),
    /// Whole databases as the server's own program writes them; if they are several, it names them.
    Dump { databases: Vec<Dumped>, flavor: String, version: String },
}

/// A database in a dump, and what the dump of a single one does not say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dumped {
    pub name: String,
    /// The statement that makes it.
    pub create: String,
    pub collation: String,
}

/// Rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rows {
    pub database: String,
    pub table: String,
    /// In the order of the fields.
    pub columns: Vec<Column>,
    /// The columns by which the rows are ordered; without, they come as the engine has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Rows of the past are among them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
    #[serde(default, skip_serializing_if = "Range::is_all")]
    pub range: Range,
}

/// A column, and how its values travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    pub name: String,
    #[serde(default, skip_serializing_if = "Form::is_plain")]
    pub form: Form,
}

/// How a value is read and written so that it stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Form {
    /// As the server sends it.
    #[default]
    Plain,
    /// A FLOAT, of which the server would send six digits.
    Float,
    /// The column that counts by itself, which takes a zero for a question.
    Counter,
    /// The number of a value of ENUM or SET.
    Number,
    /// Text, which the server takes for bytes unless it is told: JSON (MySQL), UUID, INET (MariaDB).
    Text,
}

impl Form {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }

    pub(super) fn of(server: Server, data_type: &str, extra: &str) -> Self {
        match data_type.to_ascii_lowercase().as_str() {
            "float" => Self::Float,
            _ if extra.to_ascii_lowercase().contains("auto_increment") => Self::Counter,
            // Two members may have one text, and what is no member has that of the empty one.
            "enum" | "set" => Self::Number,
            "json" if !server.is_mariadb => Self::Text,
            "uuid" | "inet4" | "inet6" | "xmltype" if server.is_mariadb => Self::Text,
            _ => Self::Plain,
        }
    }
}

/// A part of a table: from one key on, up to but not with another. Keys are SQL values, one for each
/// of the first columns of the primary key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Range {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Bound>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Bound>,
}

/// A value of a column of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bound {
    Number(#[serde(with = "number")] i128),
    /// Bytes in hexadecimal, in a character set if it is text.
    Text(String, Option<String>),
}

/// Numbers of 128 bits as text: JSON has none, and neither has serde where it must look ahead.
mod number {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(number: &i128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i128, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Bound {
    /// As SQL; nothing of a backup gets into a statement unchecked.
    fn sql(&self) -> Result<String> {
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match self {
            Self::Number(number) => Ok(number.to_string()),
            Self::Text(hex, charset) if hex.bytes().all(|b| b.is_ascii_hexdigit()) && hex.len() % 2 == 0 => {
                match charset {
                    Some(charset) if is_word(charset) && !charset.is_empty() => {
                        Ok(if hex.is_empty() { format!("_{charset} ''") } else { format!("_{charset} 0x{hex}") })
                    }
                    None => {
                        Ok(format!("_binary {}", if hex.is_empty() { "''".to_owned() } else { format!("0x{hex}") }))
                    }
                    Some(_) => Err(super::error::corrupt("a range has a character set that cannot be")),
                }
            }
            Self::Text(..) => Err(super::error::corrupt("a range has a bound that cannot be")),
        }
    }
}

impl Range {
    fn is_all(&self) -> bool {
        self.from.is_empty() && self.to.is_empty()
    }

    /// The condition that rows of the range fulfil, and no other row does; `None` for all of them.
    pub(super) fn condition(&self, key: &[String]) -> Result<Option<String>> {
        let from = beyond(&self.from, key, [">", ">="])?;
        let to = beyond(&self.to, key, ["<", "<"])?;
        Ok(match (from, to) {
            (Some(from), Some(to)) => Some(format!("({from}) AND ({to})")),
            (from, to) => from.or(to),
        })
    }
}

/// `(a, b) >= (x, y)` or `(a, b) < (x, y)`, in the form for which the server uses the index: how the
/// first columns compare, and how the last one does. Columns of a key are never NULL, so that one is
/// the opposite of the other.
fn beyond(bounds: &[Bound], key: &[String], [sign, last]: [&str; 2]) -> Result<Option<String>> {
    if bounds.len() > key.len() {
        return Err(super::error::corrupt("a range has more bounds than the key has columns"));
    }
    let mut condition: Option<String> = None;
    for (bound, column) in bounds.iter().zip(key).rev() {
        let (name, value) = (ident(column), bound.sql()?);
        condition = Some(match condition {
            None => format!("{name} {last} {value}"),
            Some(rest) => format!("{name} {sign} {value} OR ({name} = {value} AND ({rest}))"),
        });
    }
    Ok(condition)
}

impl Rows {
    /// The statement that reads them, out of a database of any name.
    pub(super) fn select(&self, database: &str) -> Result<String> {
        let value = |column: &Column| {
            let name = ident(&column.name);
            match column.form {
                Form::Plain | Form::Counter | Form::Text => name,
                // A number of double precision has all digits, and the sign of a zero.
                Form::Float => format!("CAST({name} AS DOUBLE)"),
                Form::Number => format!("CAST({name} AS UNSIGNED)"),
            }
        };
        let values: Vec<String> = self.columns.iter().map(value).collect();
        let values = if values.is_empty() { "1".to_owned() } else { values.join(", ") };
        let mut sql = format!("SELECT {values} FROM {}", qualified(database, &self.table));
        if self.history {
            sql.push_str(" FOR SYSTEM_TIME ALL");
        }
        // Without an order that is asked for, there is but the one in which rows lie.
        sql.push_str(if self.key.is_empty() { " USE INDEX ()" } else { " FORCE INDEX (PRIMARY)" });
        if let Some(condition) = self.range.condition(&self.key)? {
            sql.extend([" WHERE ", &condition]);
        }
        if !self.key.is_empty() {
            sql.extend([" ORDER BY ", &idents(&self.key)]);
        }
        Ok(sql)
    }
}

impl Content {
    pub(super) fn database(&self) -> Option<&str> {
        match self {
            Self::Globals { .. } => None,
            Self::Schema { database, .. } => Some(database),
            Self::Rows(rows) => Some(&rows.database),
            Self::Dump { databases, .. } => match databases.as_slice() {
                [one] => Some(&one.name),
                _ => None,
            },
        }
    }

    /// What a stream of a backup holds.
    pub(super) fn of(info: &StreamInfo) -> Result<Self> {
        let strange =
            || Error::new(ErrorKind::Corrupt, "this is no stream of a MySQL backup").with("stream", &info.name);
        let text = info.attributes.get(ATTRIBUTE).ok_or_else(strange)?;
        serde_json::from_str(text).map_err(|e| strange().with_source(e))
    }

    /// Describes a stream.
    pub(super) fn stream(&self, name: String, phase: Phase, size: Option<u64>) -> Result<StreamInfo> {
        let text = serde_json::to_string(self).map_err(|e| super::error::internal("JSON").with_source(e))?;
        let attributes = BTreeMap::from([(ATTRIBUTE.to_owned(), text)]);
        let mut info = StreamInfo { phase, size_hint: size, attributes, ..StreamInfo::new(name) };
        match self {
            Self::Rows(rows) => info.aliases.extend(table_names(&rows.database, &rows.table)),
            Self::Globals { .. } | Self::Schema { .. } => info.shared = true,
            Self::Dump { databases, .. } if databases.len() > 1 => {
                info.aliases.extend(databases.iter().map(|database| shown(&database.name)));
            }
            Self::Dump { .. } => {}
        }
        if let Some(database) = self.database() {
            info.aliases.push(shown(database));
            info.group = Some(shown(database));
        }
        Ok(info)
    }
}

/// What people call a table: quoted where it must be, or as it is.
pub(super) fn table_names(database: &str, table: &str) -> Vec<String> {
    let quoted = format!("{}.{}", shown(database), shown(table));
    let plain = format!("{database}.{table}");
    if plain == quoted { vec![quoted] } else { vec![quoted, plain] }
}

/// Whether the rows of a table are not wanted.
pub(super) fn is_excluded(exclude: &[String], database: &str, table: &str) -> bool {
    let names = table_names(database, table);
    exclude.iter().any(|pattern| names.iter().any(|name| matches(pattern, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn ranges_of_composite_keys_share_no_row_and_leave_none_out() {
        let key = names(&["a", "b"]);
        let bounds = vec![Bound::Number(3), Bound::Text("61".into(), Some("latin1".into()))];
        let below = Range { from: Vec::new(), to: bounds.clone() }.condition(&key).unwrap().unwrap();
        let above = Range { from: bounds, to: Vec::new() }.condition(&key).unwrap().unwrap();
        assert_eq!(above, "`a` > 3 OR (`a` = 3 AND (`b` >= _latin1 0x61))");
        assert_eq!(below, "`a` < 3 OR (`a` = 3 AND (`b` < _latin1 0x61))");
        let one = Range { from: vec![Bound::Number(-8)], to: vec![Bound::Number(8)] };
        assert_eq!(one.condition(&key).unwrap().unwrap(), "(`a` >= -8) AND (`a` < 8)");
    }

    #[test]
    fn a_forged_bound_gets_into_no_statement() {
        for bound in [Bound::Text("0 OR 1=1".into(), None), Bound::Text("61".into(), Some("x 0x61 OR".into()))] {
            assert!(Range { from: vec![bound], to: Vec::new() }.condition(&names(&["a"])).is_err());
        }
        assert!(Range { from: vec![Bound::Number(1)], to: Vec::new() }.condition(&[]).is_err());
    }

    #[test]
    fn what_a_stream_holds_survives_its_description() {
        let rows = Rows {
            database: "shop".into(),
            table: "a b".into(),
            columns: vec![
                Column { name: "x`y".into(), form: Form::Float },
                Column { name: "z".into(), form: Form::Plain },
            ],
            key: names(&["z"]),
            history: false,
            range: Range { from: vec![Bound::Number(5)], to: Vec::new() },
        };
        assert_eq!(
            rows.select("shop").unwrap(),
            "SELECT CAST(`x``y` AS DOUBLE), `z` FROM `shop`.`a b` FORCE INDEX (PRIMARY) WHERE `z` >= 5 ORDER BY `z`"
        );
        let content = Content::Rows(rows);
        let info = content.stream("shop/x".into(), Phase::Data, None).unwrap();
        assert_eq!(Content::of(&info).unwrap(), content);
        assert_eq!(info.aliases, ["shop.`a b`", "shop.a b", "shop"]);
        assert!(Content::of(&StreamInfo::new("x")).is_err());
    }
}
