//! What streams a backup has, what each holds, and what a restore must know of it.

use std::collections::BTreeMap;

use kronos_core::{Error, ErrorKind, Phase, Result, StreamInfo, matches};
use serde::{Deserialize, Serialize};

use super::changes::Feed;
use super::names::{BUCKETS, qualified, shown};

/// The attribute that has the rest, as JSON.
const ATTRIBUTE: &str = "mongodb";

/// What a stream holds: documents in BSON, one after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Content {
    /// Users and roles, see `users.rs`.
    Users {
        /// All databases of the server were wanted.
        server: bool,
    },
    /// A document for each collection, view and time series of a database: name, options, indexes.
    Collections {
        database: String,
        /// Of the server.
        version: String,
    },
    /// The documents of a collection, byte for byte.
    Documents(Part),
    /// What `mongodump --archive` wrote, as it is.
    Archive {
        databases: Vec<Archived>,
        /// Of the server.
        version: String,
    },
    /// What was written while documents were read, as the server tells it.
    Changes { feed: Feed },
}

/// A database in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Archived {
    pub name: String,
    /// And views.
    pub collections: Vec<String>,
}

/// A collection, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub database: String,
    pub collection: String,
    #[serde(default, skip_serializing_if = "Form::is_documents")]
    pub form: Form,
    /// The order in which they come.
    #[serde(default, skip_serializing_if = "Order::is_id")]
    pub order: Order,
    /// The first `_id` of the part, and the first one behind it: a document in BSON that has nothing
    /// else, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What the documents of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Form {
    /// What is in the collection.
    #[default]
    Documents,
    /// The buckets of a time series.
    Buckets,
    /// The measurements of a time series that has no buckets which could be read.
    Measurements,
}

/// In which order documents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// By the index of `_id`.
    #[default]
    Id,
    /// By `_id`, by which the collection itself is ordered.
    Clustered,
    /// As they lie.
    Natural,
}

impl Form {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_documents(&self) -> bool {
        *self == Self::Documents
    }

    /// The collection in which the documents of one of this name lie.
    pub(super) fn place(self, collection: &str) -> String {
        match self {
            Self::Buckets => format!("{BUCKETS}{collection}"),
            Self::Documents | Self::Measurements => collection.to_owned(),
        }
    }
}

impl Order {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_id(&self) -> bool {
        *self == Self::Id
    }
}

impl Part {
    /// For people.
    pub(super) fn name(&self) -> String {
        qualified(&self.database, &self.collection)
    }
}

impl Content {
    pub(super) fn database(&self) -> Option<&str> {
        match self {
            Self::Users { .. } | Self::Changes { .. } => None,
            Self::Archive { databases, .. } => match databases.as_slice() {
                [one] => Some(&one.name),
                _ => None,
            },
            Self::Collections { database, .. } => Some(database),
            Self::Documents(part) => Some(&part.database),
        }
    }

    /// What a stream of a backup holds.
    pub(super) fn of(info: &StreamInfo) -> Result<Self> {
        let strange =
            || Error::new(ErrorKind::Corrupt, "this is no stream of a MongoDB backup").with("stream", &info.name);
        let text = info.attributes.get(ATTRIBUTE).ok_or_else(strange)?;
        serde_json::from_str(text).map_err(|e| strange().with_source(e))
    }

    /// Describes a stream.
    pub(super) fn stream(&self, name: String, size: Option<u64>) -> Result<StreamInfo> {
        let text = serde_json::to_string(self).map_err(|e| super::error::internal("JSON").with_source(e))?;
        let attributes = BTreeMap::from([(ATTRIBUTE.to_owned(), text)]);
        let mut info = StreamInfo { size_hint: size, attributes, ..StreamInfo::new(name) };
        match self {
            Self::Users { .. } | Self::Collections { .. } => (info.phase, info.shared) = (Phase::Before, true),
            Self::Documents(part) => info.aliases.extend(collection_names(&part.database, &part.collection)),
            Self::Archive { databases, .. } => {
                for database in databases {
                    info.aliases.push(database.name.clone());
                    let names = database.collections.iter();
                    info.aliases.extend(names.flat_map(|name| collection_names(&database.name, name)));
                }
            }
            // Without them what is restored is of no one moment.
            Self::Changes { .. } => (info.phase, info.shared) = (Phase::After, true),
        }
        if let Some(database) = self.database() {
            if !info.aliases.iter().any(|alias| alias == database) {
                info.aliases.push(database.to_owned());
            }
            info.group = Some(database.to_owned());
        }
        Ok(info)
    }
}

/// The name of the stream of a part; the first part has that of the collection, and what grows keeps it.
pub(super) fn stream_name(database: &str, collection: &str, number: usize) -> String {
    let name = qualified(database, collection);
    if number == 0 { name } else { format!("{name}/{number:03}") }
}

/// What people call a collection: quoted where it must be, or as it is.
pub(super) fn collection_names(database: &str, collection: &str) -> Vec<String> {
    let quoted = format!("{database}.{}", shown(collection));
    let plain = format!("{database}.{collection}");
    if plain == quoted { vec![quoted] } else { vec![quoted, plain] }
}

/// Whether the documents of a collection are not wanted.
pub(super) fn is_excluded(exclude: &[String], database: &str, collection: &str) -> bool {
    let names = collection_names(database, collection);
    exclude.iter().any(|pattern| names.iter().any(|name| matches(pattern, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_holds_survives_its_description() {
        let part = Part {
            database: "shop".into(),
            collection: "a/b".into(),
            form: Form::Buckets,
            order: Order::Natural,
            from: None,
            to: Some("0500000000".into()),
        };
        let content = Content::Documents(part);
        let info = content.stream(stream_name("shop", "a/b", 2), None).unwrap();
        assert_eq!(Content::of(&info).unwrap(), content);
        assert_eq!(info.name, "shop.\"a/b\"/002");
        assert_eq!(info.aliases, ["shop.\"a/b\"", "shop.a/b", "shop"]);
        assert!(Content::of(&StreamInfo::new("x")).is_err());
        let changes = Content::Changes { feed: Feed::ChangeStream }.stream("changes".into(), None).unwrap();
        assert_eq!(changes.attributes[ATTRIBUTE], r#"{"kind":"changes","feed":"change-stream"}"#);
        assert_eq!((Form::Buckets.place("a"), Form::Measurements.place("a")), ("system.buckets.a".into(), "a".into()));
    }

    #[test]
    fn no_two_collections_have_one_name() {
        let names = [("a", "b", 1), ("a", "b/001", 0), ("a", "collections", 0), ("a", "\"b/001\"", 0)];
        let names: std::collections::BTreeSet<_> = names.map(|(d, c, n)| stream_name(d, c, n)).into();
        assert_eq!(names.len(), 4);
        assert!(is_excluded(&["shop.audit_*".to_owned()], "shop", "audit_1"));
        assert!(!is_excluded(&["shop.audit_*".to_owned()], "shop", "audits"));
    }
}
