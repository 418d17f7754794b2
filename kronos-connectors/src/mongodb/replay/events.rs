//! Reads change events.

use kronos_core::{Error, ErrorKind, Result};

use super::super::error::corrupt;
use super::fields::Update;
use super::operation::{Action, Definition, Name, Operation, Wants, Write, unknown};
use super::raw::{self, Builder, OwnedValue, Value};

/// What happened, of a change event. One that concerns only databases that are not wanted is not looked
/// into.
pub(super) fn read(event: &[u8], wants: Wants<'_>) -> Result<Vec<Operation>> {
    let kind = raw::find(event, "operationType")?.and_then(Value::text).ok_or_else(|| lacks("operationType"))?;
    // Of no database: the events before it are of one moment, by which they are kept together.
    if kind == "endOfTransaction" {
        return Ok(Vec::new());
    }
    let (of, to) = (database(event, "ns")?.ok_or_else(|| lacks("ns.db"))?, database(event, "to")?);
    let is_wanted = wants(of, kind == "create");
    if !is_wanted && !to.is_some_and(|to| wants(to, false)) {
        return Ok(Vec::new());
    }
    let action = match kind {
        "insert" => write(event, Write::Insert(document(event)?))?,
        "replace" => write(event, Write::Replace(document(event)?))?,
        "update" => {
            let description = raw::find(event, "updateDescription")?.and_then(Value::document);
            let update = Update::read(description.ok_or_else(|| lacks("updateDescription"))?)?;
            write(event, Write::Update(update))?
        }
        "delete" => write(event, Write::Delete)?,
        "drop" => Action::Define(Definition::Drop),
        "dropDatabase" => Action::Define(Definition::DropDatabase),
        "rename" => Action::Define(Definition::Rename { to: name(event, "to")? }),
        "create" => Action::Define(created(event)?),
        "modify" => Action::Define(modified(event)?),
        "createIndexes" => Action::Define(Definition::CreateIndexes(indexes(event)?)),
        "dropIndexes" => {
            let named = |index: Vec<u8>| match raw::find(&index, "name")?.and_then(Value::text) {
                Some(name) => one(event, Action::Define(Definition::DropIndex(name.to_owned()))),
                None => Err(lacks("name")),
            };
            return indexes(event)?.into_iter().map(named).collect();
        }
        // Where documents lie among shards is none of a backup's business, and an index that is only
        // begun is none.
        "shardCollection"
        | "reshardCollection"
        | "refineCollectionShardKey"
        | "startIndexBuild"
        | "abortIndexBuild" => {
            return Ok(Vec::new());
        }
        other => return Err(unknown(other, of)),
    };
    Ok(vec![one(event, action)?])
}

fn database<'a>(event: &'a [u8], field: &str) -> Result<Option<&'a str>> {
    let name = raw::find(event, field)?.and_then(Value::document);
    Ok(name.map(|name| raw::find(name, "db")).transpose()?.flatten().and_then(Value::text))
}

fn one(event: &[u8], action: Action) -> Result<Operation> {
    let name = match &action {
        Action::Define(Definition::DropDatabase) => {
            Name::new(database(event, "ns")?.ok_or_else(|| lacks("ns.db"))?, "")
        }
        _ => name(event, "ns")?,
    };
    let uuid = raw::find(event, "collectionUUID")?.map(|uuid| uuid.bytes.to_vec());
    Ok(Operation { name, uuid, action })
}

fn write(event: &[u8], write: Write) -> Result<Action> {
    let key = raw::find(event, "documentKey")?.and_then(Value::document).ok_or_else(|| lacks("documentKey"))?;
    let id = raw::find(key, "_id")?.ok_or_else(|| lacks("documentKey._id"))?;
    Ok(Action::Write { id: id.owned(), write })
}

fn document(event: &[u8]) -> Result<Vec<u8>> {
    let document = raw::find(event, "fullDocument")?.and_then(Value::document);
    document.map(<[u8]>::to_vec).ok_or_else(|| lacks("fullDocument"))
}

fn name(event: &[u8], field: &'static str) -> Result<Name> {
    let name = raw::find(event, field)?.and_then(Value::document).ok_or_else(|| lacks(field))?;
    match (raw::find(name, "db")?.and_then(Value::text), raw::find(name, "coll")?.and_then(Value::text)) {
        (Some(database), Some(collection)) => Ok(Name::new(database, collection)),
        _ => Err(lacks(field)),
    }
}

fn description(event: &[u8]) -> Result<Option<&[u8]>> {
    Ok(raw::find(event, "operationDescription")?.and_then(Value::document))
}

fn created(event: &[u8]) -> Result<Definition> {
    let kind = raw::find(event, "nsType")?.and_then(Value::text).unwrap_or_default();
    let options = options(description(event)?, &[])?;
    if kind == "timeseries" || raw::find(&options, "timeseries")?.is_some() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "a time series was made during the backup, of which change streams tell nothing",
        )
        .with("collection", name(event, "ns")?)
        .with("hint", "`changes = \"oplog\"` follows it"));
    }
    let is_view = kind == "view" || raw::find(&options, "viewOn")?.is_some();
    Ok(if is_view { Definition::View(options) } else { Definition::Create(options) })
}

fn modified(event: &[u8]) -> Result<Definition> {
    let options = options(description(event)?, &[])?;
    let is_view = raw::find(&options, "viewOn")?.is_some();
    Ok(if is_view { Definition::View(options) } else { Definition::Modify(options) })
}

fn indexes(event: &[u8]) -> Result<Vec<Vec<u8>>> {
    let all = description(event)?.map(|told| raw::find(told, "indexes")).transpose()?.flatten().and_then(Value::array);
    let one = |field: raw::Field<'_>| field.value.document().map(<[u8]>::to_vec).ok_or_else(|| lacks("indexes"));
    raw::fields(all.ok_or_else(|| lacks("operationDescription.indexes"))?)?.into_iter().map(one).collect()
}

/// Options without those that the server alone decides.
pub(super) fn options(told: Option<&[u8]>, but: &[&str]) -> Result<Vec<u8>> {
    let mut options = Builder::new();
    for field in told.map(raw::fields).transpose()?.unwrap_or_default() {
        let is_left_out = |name: &&str| name.as_bytes() == field.name;
        if !["idIndex", "uuid", "autoIndexId"].iter().chain(but).any(is_left_out) {
            options.push(field.name, field.value);
        }
    }
    options.finish()
}

fn lacks(field: &'static str) -> Error {
    corrupt("a change event is not whole").with("lacks", field)
}

/// The `_id` of a document.
pub(super) fn id(document: &[u8]) -> Result<OwnedValue> {
    let id = raw::find(document, "_id")?;
    id.map(Value::owned).ok_or_else(|| corrupt("a document among the changes has no _id"))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc};

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "what a test makes in place")]
    fn of(event: Document) -> Result<Vec<Operation>> {
        read(&event.to_vec().unwrap(), &mut |database, _| database == "shop")
    }

    #[test]
    fn documents_and_definitions_are_told_apart() {
        let ns = doc! { "db": "shop", "coll": "a.b" };
        let insert = doc! { "operationType": "insert", "ns": ns.clone(), "documentKey": { "shard": 1, "_id": 7 }, "fullDocument": { "_id": 7 } };
        let [operation] = &of(insert).unwrap()[..] else { panic!() };
        assert_eq!(operation.name, Name::new("shop", "a.b"));
        assert!(
            matches!(&operation.action, Action::Write { id, write: Write::Insert(_) } if id.get().number() == Some(7))
        );
        let rename = doc! { "operationType": "rename", "ns": ns.clone(), "to": { "db": "shop", "coll": "c" } };
        assert_eq!(of(rename).unwrap()[0].action, Action::Define(Definition::Rename { to: Name::new("shop", "c") }));
        let create = doc! { "operationType": "create", "ns": ns.clone(), "operationDescription": { "idIndex": { "v": 2 }, "capped": true, "size": 4096 } };
        let expected = doc! { "capped": true, "size": 4096 }.to_vec().unwrap();
        assert_eq!(of(create).unwrap()[0].action, Action::Define(Definition::Create(expected)));
        let drop = doc! { "operationType": "dropIndexes", "ns": ns.clone(), "operationDescription": { "indexes": [{ "name": "a_1" }, { "name": "b_1" }] } };
        assert_eq!(of(drop).unwrap().len(), 2);
        assert_eq!(
            of(doc! { "operationType": "dropDatabase", "ns": { "db": "shop" } }).unwrap()[0].name,
            Name::new("shop", "")
        );
        assert!(of(doc! { "operationType": "shardCollection", "ns": ns.clone() }).unwrap().is_empty());
        assert!(of(doc! { "operationType": "conjure", "ns": ns.clone() }).unwrap_err().to_string().contains("conjure"));
        assert!(of(doc! { "operationType": "insert", "ns": ns, "documentKey": { "_id": 7 } }).is_err());
    }

    #[test]
    fn what_happens_elsewhere_need_not_be_understood() {
        let other = doc! { "db": "other", "coll": "a" };
        for kind in ["conjure", "insert", "create"] {
            let series = doc! { "timeseries": { "timeField": "t" } };
            let event = doc! { "operationType": kind, "ns": other.clone(), "operationDescription": series };
            assert!(of(event).unwrap().is_empty(), "{kind}");
        }
        // Into a database that is wanted.
        let to = doc! { "db": "shop", "coll": "a" };
        assert_eq!(of(doc! { "operationType": "rename", "ns": other, "to": to }).unwrap().len(), 1);
        let end = doc! { "operationType": "endOfTransaction", "lsid": { "id": "s" }, "txnNumber": 1_i64 };
        assert!(of(end).unwrap().is_empty());
        assert!(of(doc! { "operationType": "drop" }).is_err());
    }
}
