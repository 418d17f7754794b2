//! What an entry of either feed comes down to.

use kronos_core::{Error, ErrorKind, Result};

use super::super::error::corrupt;
use super::diff;
use super::fields::Update;
use super::raw::{self, OwnedValue};

/// A collection, by its names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) database: String,
    pub(super) collection: String,
}

impl Name {
    pub(super) fn new(database: &str, collection: &str) -> Self {
        Self { database: database.to_owned(), collection: collection.to_owned() }
    }

    /// Of `database.collection`; the name of a database has no dot.
    pub(super) fn parse(namespace: &str) -> Result<Self> {
        match namespace.split_once('.') {
            Some((database, collection)) if !database.is_empty() && !collection.is_empty() => {
                Ok(Self::new(database, collection))
            }
            _ => Err(corrupt("an entry of the changes names no collection").with("name", namespace)),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.collection)
    }
}

/// Asked of an entry before it is looked into: whether something of this database is wanted. The second
/// is whether a collection is made in it.
pub(super) type Wants<'a> = &'a mut dyn FnMut(&str, bool) -> bool;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) name: Name,
    /// Of the collection to which it happened, as the server tells it.
    pub(super) uuid: Option<Vec<u8>>,
    pub(super) action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// To one document.
    Write { id: OwnedValue, write: Write },
    /// To a definition.
    Define(Definition),
}

/// What happens to one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    Insert(Vec<u8>),
    Replace(Vec<u8>),
    /// By a diff of the oplog.
    Diff(Vec<u8>),
    /// By what a change event tells.
    Update(Update),
    Delete,
}

impl Write {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Insert(bytes) | Self::Replace(bytes) | Self::Diff(bytes) => bytes.len() + 64,
            Self::Update(update) => update.size() + 64,
            Self::Delete => 64,
        }
    }

    /// The document after it, of the one before; `None`: there is none. An update of a document that
    /// is not there gives nothing.
    pub(super) fn apply(self, before: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        match (self, before) {
            (Self::Insert(document) | Self::Replace(document), _) => Ok(Some(document)),
            (Self::Delete, _) | (_, None) => Ok(None),
            (Self::Diff(diff), Some(before)) => diff::apply(before, &diff).map(Some),
            (Self::Update(update), Some(before)) => update.apply(before).map(Some),
        }
    }

    /// Whether what comes of it depends on what was there.
    pub(super) fn is_relative(&self) -> bool {
        matches!(self, Self::Diff(_) | Self::Update(_))
    }
}

/// A kind of change of which it is not known what comes of it.
pub(super) fn unknown(kind: &str, place: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unsupported, "a change is of a kind that Kronos does not know")
        .with("kind", kind)
        .with("of", place)
        .with("hint", "run the backup again when nothing of this kind happens, or with the other one of `changes = \"oplog\"` and `changes = \"change-stream\"`")
}

/// A view was changed by a difference, which no server writes down.
pub(super) fn odd_view(name: &Name) -> Error {
    Error::new(ErrorKind::Unsupported, "a view was changed during the backup in a way that Kronos cannot apply")
        .with("database", &name.database)
        .with("hint", "run the backup again")
}

/// Options that `collMod` sets and that a restore could not follow: documents would go while it is made.
pub(super) fn check_options(name: &Name, options: &[u8]) -> Result<()> {
    if raw::find(options, "expireAfterSeconds")?.is_none() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, "it was changed during the backup when documents of a collection expire")
        .with("collection", name)
        .with("hint", "run the backup again"))
}

/// What happens to a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Definition {
    /// A collection with these options, as `create` takes them.
    Create(Vec<u8>),
    /// A collection or a view is gone.
    Drop,
    Rename {
        to: Name,
    },
    /// All of it; the name is that of the database.
    DropDatabase,
    CreateIndexes(Vec<Vec<u8>>),
    /// By name; `*`: all but that of `_id`.
    DropIndex(String),
    /// Options of a collection, as `collMod` takes them.
    Modify(Vec<u8>),
    /// A view, by its options.
    View(Vec<u8>),
}
