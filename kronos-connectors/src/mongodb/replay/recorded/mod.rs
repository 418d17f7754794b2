//! Entries of the oplog in each form in which MongoDB 5.0 to 8.0 writes them, and what is made of them:
//! what happens, nothing, or an error that says what to do.

mod definitions;
mod documents;
mod elsewhere;
mod refused;
mod transactions;

use kronos_core::Result;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, Timestamp, doc};

use super::operation::{Action, Definition, Operation, Write};
use super::oplog::Oplog;

fn uuid(of: u8) -> Binary {
    Binary { subtype: BinarySubtype::Uuid, bytes: vec![of; 16] }
}

fn at(moment: u32) -> Document {
    doc! { "ts": Timestamp { time: moment, increment: 1 }, "t": 1_i64 }
}

/// An entry with all that every one has.
fn entry(op: &str, ns: &str, o: Document) -> Document {
    let mut entry = doc! { "op": op, "ns": ns, "ui": uuid(1), "o": o };
    entry.extend(at(9));
    entry.extend(doc! { "v": 2_i64, "wall": DateTime::from_millis(1_700_000_000_000) });
    entry
}

fn with(mut entry: Document, more: Document) -> Document {
    entry.extend(more);
    entry
}

fn update(ns: &str, o: Document) -> Document {
    with(entry("u", ns, o), doc! { "o2": { "_id": 1 } })
}

fn command(o: Document) -> Document {
    entry("c", "shop.$cmd", o)
}

/// Of a session: a retryable write, or a part of a transaction, the last one of which was at `before`.
fn in_session(entry: Document, number: i64, before: u32) -> Document {
    let session = doc! { "id": uuid(5), "uid": Binary { subtype: BinarySubtype::Generic, bytes: vec![3; 32] } };
    let before = if before == 0 {
        doc! { "ts": Timestamp { time: 0, increment: 0 }, "t": -1_i64 }
    } else {
        at(before)
    };
    with(entry, doc! { "lsid": session, "txnNumber": number, "prevOpTime": before })
}

fn apply_ops(inner: Vec<Document>, more: Document) -> Document {
    entry("c", "admin.$cmd", with(doc! { "applyOps": inner }, more))
}

/// As it stands in an `applyOps`.
fn insert(id: i32) -> Document {
    doc! { "op": "i", "ns": "shop.a", "ui": uuid(1), "o": { "_id": id }, "o2": { "_id": id } }
}

fn shown(operation: &Operation) -> String {
    let name = &operation.name;
    let document = |bytes: &[u8]| Document::from_reader(bytes).unwrap().to_string();
    match &operation.action {
        Action::Write { id, write } => {
            let id = id.get().number().map_or_else(|| "bucket".to_owned(), |id| id.to_string());
            match write {
                Write::Insert(_) => format!("insert {name} {id}"),
                Write::Replace(_) => format!("replace {name} {id}"),
                Write::Diff(_) => format!("diff {name} {id}"),
                Write::Update(_) => format!("update {name} {id}"),
                Write::Delete => format!("delete {name} {id}"),
            }
        }
        Action::Define(definition) => match definition {
            Definition::Create(options) => format!("create {name} {}", document(options)),
            Definition::Drop => format!("drop {name}"),
            Definition::Rename { to } => format!("rename {name} to {to}"),
            Definition::DropDatabase => format!("drop database {}", name.database),
            Definition::CreateIndexes(all) => {
                format!("index {name} {}", all.iter().map(|index| document(index)).collect::<Vec<_>>().join(" "))
            }
            Definition::DropIndex(index) => format!("drop index {name} {index}"),
            Definition::Modify(options) => format!("modify {name} {}", document(options)),
            Definition::View(options) => format!("view {name} {}", document(options)),
        },
    }
}

/// What comes of entries one after another, where `shop` is wanted.
fn read(entries: &[Document]) -> Result<Vec<String>> {
    let (mut oplog, mut all) = (Oplog::default(), Vec::new());
    for entry in entries {
        let operations = oplog.read(&entry.to_vec().unwrap(), &mut |database, _| database == "shop")?;
        all.extend(operations.iter().map(shown));
    }
    Ok(all)
}

#[track_caller]
fn assert_read(cases: &[(&str, Vec<Document>, &[&str])]) {
    for (what, entries, expected) in cases {
        let found = read(entries).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(found, *expected, "{what}");
    }
}

fn insert_entry(id: i32) -> Document {
    entry("i", "shop.a", doc! { "_id": id })
}
