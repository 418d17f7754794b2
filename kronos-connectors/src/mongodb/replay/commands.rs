//! Commands as the oplog tells them: those that change a definition, those of which a backup need know
//! nothing, and those that it cannot follow.

use kronos_core::{Error, ErrorKind, Result};

use super::events;
use super::operation::{Action, Definition, Name, Operation, Wants, unknown};
use super::oplog::{Entry, inner, lacks};
use super::raw::{self, Value};

/// What one of them does, other than to commit a transaction.
pub(super) fn read(entry: &Entry<'_>, depth: usize, wants: Wants<'_>) -> Result<Vec<Operation>> {
    let first = entry.command()?;
    let kind = String::from_utf8_lossy(first.name).into_owned();
    let database = entry.database();
    let named = || first.value.text().map(|collection| Name::new(database, collection)).ok_or_else(|| lacks("o"));
    let one = |definition| Ok(vec![entry.operation(named()?, Action::Define(definition))]);
    match kind.as_str() {
        "applyOps" => inner(entry.o, depth + 1, wants),
        "create" => {
            let options = events::options(Some(entry.o), &["create"])?;
            let is_view = raw::find(&options, "viewOn")?.is_some();
            one(if is_view { Definition::View(options) } else { Definition::Create(options) })
        }
        "drop" => one(Definition::Drop),
        "dropDatabase" => Ok(vec![entry.operation(Name::new(database, ""), Action::Define(Definition::DropDatabase))]),
        "renameCollection" => {
            let from = Name::parse(first.value.text().ok_or_else(|| lacks("o"))?)?;
            let to = raw::find(entry.o, "to")?.and_then(Value::text).ok_or_else(|| lacks("o.to"))?;
            Ok(vec![entry.operation(from, Action::Define(Definition::Rename { to: Name::parse(to)? }))])
        }
        "createIndexes" => {
            for field in ["key", "name"] {
                raw::find(entry.o, field)?.ok_or_else(|| lacks("o.key or o.name"))?;
            }
            one(Definition::CreateIndexes(vec![events::options(Some(entry.o), &["createIndexes"])?]))
        }
        "commitIndexBuild" => {
            let all = raw::find(entry.o, "indexes")?.and_then(Value::array).ok_or_else(|| lacks("o.indexes"))?;
            let index =
                |field: raw::Field<'_>| field.value.document().map(<[u8]>::to_vec).ok_or_else(|| lacks("o.indexes"));
            one(Definition::CreateIndexes(raw::fields(all)?.into_iter().map(index).collect::<Result<_>>()?))
        }
        "dropIndexes" | "deleteIndexes" | "dropIndex" | "deleteIndex" => {
            let index = raw::find(entry.o, "index")?.and_then(Value::text).ok_or_else(|| lacks("o.index"))?;
            one(Definition::DropIndex(index.to_owned()))
        }
        "collMod" => one(Definition::Modify(events::options(Some(entry.o), &["collMod"])?)),
        // An index that is begun is none yet. Members of a set are compared, which changes nothing. And
        // where documents lie among shards is none of a backup's business.
        "startIndexBuild" | "abortIndexBuild" | "dbCheck" | "modifyCollectionShardingIndexCatalog" => Ok(Vec::new()),
        // Servers tell it by a new collection that takes the place of the old one; this form comes only of a
        // user's own `applyOps`.
        "convertToCapped" => Err(not_told(entry, "a collection was made a capped one")),
        "emptycapped" => Err(not_told(entry, "a capped collection was emptied")),
        "importCollection" => Err(not_told(entry, "a collection was brought in as files")),
        "upgradeDowngradeViewlessTimeseries" => {
            Err(not_told(entry, "time series were changed to the form of another version of the server"))
        }
        other => Err(unknown(other, entry.ns)),
    }
}

/// Something of which the log tells that it happened, but not what came of it.
fn not_told(entry: &Entry<'_>, what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} during the backup, which the oplog does not tell in full"))
        .with("database", entry.database())
        .with("hint", "run the backup again when it is over")
}
