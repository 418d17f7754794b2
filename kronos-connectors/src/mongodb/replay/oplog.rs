//! Reads entries of the oplog.
//!
//! A transaction is one or several entries with `applyOps`, all but the last marked `partialTxn`, or
//! the last marked `prepare` and followed by `commitTransaction` or `abortTransaction`. It happens
//! as a whole with the entry that commits it; one that is not committed by the end has not happened.

use std::collections::HashMap;

use kronos_core::{Error, ErrorKind, Result};

use super::super::error::corrupt;
use super::events;
use super::operation::{Action, Definition, Name, Operation, Write};
use super::raw::{self, OwnedValue, Value};

/// Deeper `applyOps` are not made by a server.
const DEEPEST: usize = 10;

/// Session and number of a transaction.
type Key = (OwnedValue, i64);

/// Entries in, what happened out.
#[derive(Debug, Default)]
pub(super) struct Oplog {
    open: HashMap<Key, Vec<Operation>>,
}

/// The fields of an entry.
struct Entry<'a> {
    op: &'a str,
    ns: &'a str,
    o: &'a [u8],
    o2: Option<&'a [u8]>,
    uuid: Option<Vec<u8>>,
}

impl<'a> Entry<'a> {
    fn read(entry: &'a [u8]) -> Result<Self> {
        let text = |name| raw::find(entry, name).map(|value| value.and_then(Value::text));
        Ok(Self {
            op: text("op")?.ok_or_else(|| lacks("op"))?,
            ns: text("ns")?.ok_or_else(|| lacks("ns"))?,
            o: raw::find(entry, "o")?.and_then(Value::document).ok_or_else(|| lacks("o"))?,
            o2: raw::find(entry, "o2")?.and_then(Value::document),
            uuid: raw::find(entry, "ui")?.map(|uuid| uuid.bytes.to_vec()),
        })
    }

    fn operation(&self, name: Name, action: Action) -> Operation {
        Operation { name, uuid: self.uuid.clone(), action }
    }
}

impl Oplog {
    /// What happens with this entry.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Operation>> {
        let entry = Entry::read(bytes)?;
        if entry.op != "c" {
            return single(&entry, 0);
        }
        let first = raw::fields(entry.o)?.first().map(|field| field.name.to_vec()).unwrap_or_default();
        match first.as_slice() {
            b"applyOps" => self.apply_ops(bytes, &entry),
            b"commitTransaction" => {
                let key = key(bytes)?.ok_or_else(|| lacks("lsid"))?;
                self.open.remove(&key).ok_or_else(began_before)
            }
            b"abortTransaction" => {
                if let Some(key) = key(bytes)? {
                    self.open.remove(&key);
                }
                Ok(Vec::new())
            }
            _ => single(&entry, 0),
        }
    }

    fn apply_ops(&mut self, bytes: &[u8], entry: &Entry<'_>) -> Result<Vec<Operation>> {
        let inner = inner(entry.o, 0)?;
        let is = |name| raw::find(entry.o, name).map(|value| value.is_some_and(Value::is_true));
        let (is_partial, is_prepared) = (is("partialTxn")?, is("prepare")?);
        let Some(key) = key(bytes)? else { return Ok(inner) };
        // Several writes of a retryable statement look like it, but each entry stands alone.
        let is_statement = raw::find(bytes, "multiOpType")?.and_then(Value::number) == Some(1);
        if is_statement && !is_partial && !is_prepared {
            return Ok(inner);
        }
        let before = raw::find(bytes, "prevOpTime")?.and_then(Value::document);
        let before = before.map(|before| raw::find(before, "ts")).transpose()?.flatten().and_then(Value::timestamp);
        let is_first = before.is_none_or(|before| before == 0);
        if is_first {
            self.open.remove(&key);
        } else if !self.open.contains_key(&key) {
            return Err(began_before());
        }
        let mut whole = self.open.remove(&key).unwrap_or_default();
        whole.extend(inner);
        if is_partial || is_prepared {
            self.open.insert(key, whole);
            return Ok(Vec::new());
        }
        Ok(whole)
    }
}

fn key(bytes: &[u8]) -> Result<Option<Key>> {
    let number = raw::find(bytes, "txnNumber")?.and_then(Value::number);
    Ok(raw::find(bytes, "lsid")?.map(Value::owned).zip(number))
}

/// The operations in an `applyOps`.
fn inner(o: &[u8], depth: usize) -> Result<Vec<Operation>> {
    if depth > DEEPEST {
        return Err(corrupt("entries of the oplog are nested too deep"));
    }
    let all = raw::find(o, "applyOps")?.and_then(Value::array).ok_or_else(|| lacks("applyOps"))?;
    let mut operations = Vec::new();
    for field in raw::fields(all)? {
        let entry = Entry::read(field.value.document().ok_or_else(|| lacks("applyOps"))?)?;
        operations.extend(single(&entry, depth)?);
    }
    Ok(operations)
}

/// An entry that stands alone.
fn single(entry: &Entry<'_>, depth: usize) -> Result<Vec<Operation>> {
    let (id, write) = match entry.op {
        "n" => return Ok(Vec::new()),
        "c" => return command(entry, depth),
        "i" => (events::id(entry.o)?, Write::Insert(entry.o.to_vec())),
        "u" => (events::id(entry.o2.ok_or_else(|| lacks("o2"))?)?, update(entry)?),
        "d" => (events::id(entry.o)?, Write::Delete),
        other => return Err(unknown(other)),
    };
    Ok(vec![entry.operation(Name::parse(entry.ns)?, Action::Write { id, write })])
}

fn update(entry: &Entry<'_>) -> Result<Write> {
    let version = raw::find(entry.o, "$v")?.and_then(Value::number);
    let diff = raw::find(entry.o, "diff")?.and_then(Value::document);
    match (version, diff) {
        (Some(2), Some(diff)) => Ok(Write::Diff(diff.to_vec())),
        // A whole document has its _id; one of operators has none.
        (None, _) if raw::find(entry.o, "_id")?.is_some() => Ok(Write::Replace(entry.o.to_vec())),
        _ => {
            Err(Error::new(ErrorKind::Unsupported, "an update of the oplog is in a form that servers before 5.0 wrote")
                .with("collection", entry.ns))
        }
    }
}

fn command(entry: &Entry<'_>, depth: usize) -> Result<Vec<Operation>> {
    let first = raw::fields(entry.o)?.first().copied().ok_or_else(|| lacks("o"))?;
    let kind = String::from_utf8_lossy(first.name).into_owned();
    let database = entry.ns.split_once('.').map_or(entry.ns, |(database, _)| database);
    let named = || first.value.text().map(|collection| Name::new(database, collection)).ok_or_else(|| lacks("o"));
    let one = |definition| Ok(vec![entry.operation(named()?, Action::Define(definition))]);
    match kind.as_str() {
        "applyOps" => inner(entry.o, depth + 1),
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
        "dropIndexes" | "deleteIndexes" => {
            let index = raw::find(entry.o, "index")?.and_then(Value::text).ok_or_else(|| lacks("o.index"))?;
            one(Definition::DropIndex(index.to_owned()))
        }
        "collMod" => one(Definition::Modify(events::options(Some(entry.o), &["collMod"])?)),
        // An index that is begun is none yet.
        "startIndexBuild" | "abortIndexBuild" => Ok(Vec::new()),
        other => Err(unknown(other)),
    }
}

fn began_before() -> Error {
    corrupt("a transaction among the changes began before the first of them")
}

fn unknown(kind: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "a change is of a kind that Kronos does not know").with("kind", kind)
}

fn lacks(field: &'static str) -> Error {
    corrupt("an entry of the oplog is not whole").with("lacks", field)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, Timestamp, doc};

    use super::*;

    fn insert(id: i32) -> Document {
        doc! { "op": "i", "ns": "shop.a", "o": { "_id": id } }
    }

    fn transaction(number: i64, before: u32, o: Document) -> Document {
        let before = doc! { "ts": Timestamp { time: before, increment: 0 }, "t": -1_i64 };
        doc! { "lsid": { "id": "s" }, "txnNumber": number, "op": "c", "ns": "admin.$cmd", "prevOpTime": before, "o": o }
    }

    #[allow(clippy::needless_pass_by_value, reason = "what a test makes in place")]
    fn ids(oplog: &mut Oplog, entry: Document) -> Vec<i64> {
        let all = oplog.read(&entry.to_vec().unwrap()).unwrap().into_iter();
        all.filter_map(|operation| match operation.action {
            Action::Write { id, .. } => id.get().number(),
            Action::Define(_) => None,
        })
        .collect()
    }

    #[test]
    fn transactions_happen_whole_when_they_are_committed() {
        let mut oplog = Oplog::default();
        let log = &mut oplog;
        assert!(ids(log, transaction(1, 0, doc! { "applyOps": [insert(1)], "partialTxn": true })).is_empty());
        assert_eq!(ids(log, transaction(2, 0, doc! { "applyOps": [insert(9)] })), [9]);
        assert!(ids(log, transaction(1, 5, doc! { "applyOps": [insert(2)], "partialTxn": true })).is_empty());
        assert_eq!(ids(log, transaction(1, 6, doc! { "applyOps": [insert(3)], "count": 3_i64 })), [1, 2, 3]);
        for end in ["commitTransaction", "abortTransaction"] {
            assert!(ids(log, transaction(3, 0, doc! { "applyOps": [insert(4)], "partialTxn": true })).is_empty());
            assert!(ids(log, transaction(3, 7, doc! { "applyOps": [insert(5)], "prepare": true })).is_empty());
            let expected: &[i64] = if end == "commitTransaction" { &[4, 5] } else { &[] };
            assert_eq!(ids(log, transaction(3, 8, doc! { end: 1 })), expected);
        }
        assert!(log.open.is_empty());
        assert!(log.read(&transaction(4, 8, doc! { "applyOps": [insert(5)] }).to_vec().unwrap()).is_err());
        assert!(log.read(&transaction(4, 8, doc! { "commitTransaction": 1 }).to_vec().unwrap()).is_err());
        // Of a retryable statement, whose entries are chained as well.
        let mut statement = transaction(5, 8, doc! { "applyOps": [insert(6), insert(7)] });
        statement.insert("multiOpType", 1);
        assert_eq!(ids(log, statement), [6, 7]);
    }

    #[test]
    fn entries_say_what_happened() {
        let read = |entry: Document| Oplog::default().read(&entry.to_vec().unwrap());
        let define = |o: Document| read(doc! { "op": "c", "ns": "shop.$cmd", "o": o }).unwrap().remove(0);
        let diff =
            read(doc! { "op": "u", "ns": "shop.a", "o2": { "_id": 1 }, "o": { "$v": 2, "diff": { "u": { "a": 1 } } } })
                .unwrap();
        assert!(matches!(&diff[0].action, Action::Write { write: Write::Diff(_), .. }));
        let whole = read(doc! { "op": "u", "ns": "shop.a", "o2": { "_id": 1 }, "o": { "_id": 1, "a": 1 } }).unwrap();
        assert!(matches!(&whole[0].action, Action::Write { write: Write::Replace(_), .. }));
        assert!(
            read(doc! { "op": "u", "ns": "shop.a", "o2": { "_id": 1 }, "o": { "$v": 1, "$set": { "a": 1 } } }).is_err()
        );
        assert!(read(doc! { "op": "xi", "ns": "shop.a", "o": {} }).is_err());
        let create = define(doc! { "create": "a", "idIndex": { "v": 2 }, "capped": true });
        assert_eq!(create.action, Action::Define(Definition::Create(doc! { "capped": true }.to_vec().unwrap())));
        let rename = define(doc! { "renameCollection": "shop.a.b", "to": "shop.c", "dropTarget": true });
        assert_eq!(
            (rename.name, rename.action),
            (Name::new("shop", "a.b"), Action::Define(Definition::Rename { to: Name::new("shop", "c") }))
        );
        let built = define(doc! { "commitIndexBuild": "a", "indexes": [{ "v": 2, "key": { "x": 1 }, "name": "x_1" }] });
        assert!(matches!(built.action, Action::Define(Definition::CreateIndexes(all)) if all.len() == 1));
        assert_eq!(
            define(doc! { "dropIndexes": "a", "index": "x_1" }).action,
            Action::Define(Definition::DropIndex("x_1".to_owned()))
        );
        let nested = read(
            doc! { "op": "c", "ns": "admin.$cmd", "o": { "applyOps": [insert(1), { "op": "c", "ns": "admin.$cmd", "o": { "applyOps": [insert(2)] } }] } },
        );
        assert_eq!(nested.unwrap().len(), 2);
    }
}
