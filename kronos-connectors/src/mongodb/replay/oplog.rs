//! Reads entries of the oplog.
//!
//! A transaction is one or several entries with `applyOps`, all but the last marked `partialTxn`, or
//! the last marked `prepare` and followed by `commitTransaction` or `abortTransaction`. It happens
//! as a whole with the entry that commits it; one that is not committed by the end has not happened.
//!
//! What concerns only other databases than those that are wanted is not looked into: a server may tell
//! of them whatever it likes.

use std::collections::HashMap;

use kronos_core::{Error, ErrorKind, Result};

use super::super::error::corrupt;
use super::commands;
use super::diff;
use super::events;
use super::operation::{Action, Name, Operation, Wants, Write, unknown};
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
pub(super) struct Entry<'a> {
    pub(super) op: &'a str,
    pub(super) ns: &'a str,
    pub(super) o: &'a [u8],
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

    pub(super) fn operation(&self, name: Name, action: Action) -> Operation {
        Operation { name, uuid: self.uuid.clone(), action }
    }

    pub(super) fn database(&self) -> &'a str {
        of_namespace(self.ns)
    }

    /// What a command is, and what of.
    pub(super) fn command(&self) -> Result<raw::Field<'a>> {
        raw::fields(self.o)?.first().copied().ok_or_else(|| lacks("o"))
    }

    /// Whether it is about a database that is wanted.
    fn is_wanted(&self, wants: Wants<'_>) -> Result<bool> {
        if self.op != "c" {
            return Ok(wants(self.database(), false));
        }
        let command = self.command()?;
        Ok(match command.name {
            // They stand in a database of the server, and those in them are asked one by one.
            b"applyOps" | b"commitTransaction" | b"abortTransaction" => true,
            b"renameCollection" => {
                let to = raw::find(self.o, "to")?.and_then(Value::text);
                let is_wanted = |name: Option<&str>| name.is_some_and(|name| wants(of_namespace(name), false));
                [command.value.text(), to].map(is_wanted).contains(&true)
            }
            kind => wants(self.database(), kind == b"create"),
        })
    }
}

fn of_namespace(namespace: &str) -> &str {
    namespace.split_once('.').map_or(namespace, |(database, _)| database)
}

impl Oplog {
    /// What happens with this entry.
    pub(super) fn read(&mut self, bytes: &[u8], wants: Wants<'_>) -> Result<Vec<Operation>> {
        let entry = Entry::read(bytes)?;
        if !entry.is_wanted(wants)? {
            return Ok(Vec::new());
        }
        if entry.op != "c" {
            return single(&entry, 0, wants);
        }
        match entry.command()?.name {
            b"applyOps" => self.apply_ops(bytes, &entry, wants),
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
            _ => single(&entry, 0, wants),
        }
    }

    fn apply_ops(&mut self, bytes: &[u8], entry: &Entry<'_>, wants: Wants<'_>) -> Result<Vec<Operation>> {
        let inner = inner(entry.o, 0, wants)?;
        let is = |name| raw::find(entry.o, name).map(|value| value.is_some_and(Value::is_true));
        let (is_partial, is_prepared) = (is("partialTxn")?, is("prepare")?);
        // Many writes of one statement are told together as well, and are no transaction.
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
pub(super) fn inner(o: &[u8], depth: usize, wants: Wants<'_>) -> Result<Vec<Operation>> {
    if depth > DEEPEST {
        return Err(corrupt("entries of the oplog are nested too deep"));
    }
    let all = raw::find(o, "applyOps")?.and_then(Value::array).ok_or_else(|| lacks("applyOps"))?;
    let mut operations = Vec::new();
    for field in raw::fields(all)? {
        let entry = Entry::read(field.value.document().ok_or_else(|| lacks("applyOps"))?)?;
        if entry.is_wanted(wants)? {
            operations.extend(single(&entry, depth, wants)?);
        }
    }
    Ok(operations)
}

/// An entry that stands alone.
fn single(entry: &Entry<'_>, depth: usize, wants: Wants<'_>) -> Result<Vec<Operation>> {
    let (id, write) = match entry.op {
        "n" => return Ok(Vec::new()),
        "c" => return commands::read(entry, depth, wants),
        "i" => (events::id(entry.o)?, Write::Insert(entry.o.to_vec())),
        "u" => (events::id(entry.o2.ok_or_else(|| lacks("o2"))?)?, update(entry)?),
        "d" => (events::id(entry.o)?, Write::Delete),
        other => return Err(unknown(other, entry.ns)),
    };
    Ok(vec![entry.operation(Name::parse(entry.ns)?, Action::Write { id, write })])
}

fn update(entry: &Entry<'_>) -> Result<Write> {
    let version = raw::find(entry.o, "$v")?.and_then(Value::number);
    let told = raw::find(entry.o, "diff")?.and_then(Value::document);
    match (version, told) {
        (Some(2), Some(told)) => {
            diff::check(told).map_err(|e| e.with("collection", entry.ns))?;
            Ok(Write::Diff(told.to_vec()))
        }
        // A whole document has its _id; one of operators has none.
        (None, _) if raw::find(entry.o, "_id")?.is_some() => Ok(Write::Replace(entry.o.to_vec())),
        _ => {
            Err(Error::new(ErrorKind::Unsupported, "an update of the oplog is in a form that servers before 5.0 wrote")
                .with("collection", entry.ns)
                .with("hint", "run the backup again with `changes = \"change-stream\"`"))
        }
    }
}

fn began_before() -> Error {
    corrupt("a transaction among the changes began before the first of them")
}

pub(super) fn lacks(field: &'static str) -> Error {
    corrupt("an entry of the oplog is not whole").with("lacks", field)
}
