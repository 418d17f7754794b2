//! What is asked of the server that is restored to, by raw commands: documents go as they are.

use futures::StreamExt as _;
use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::raw_batch_cursor::RawBatchCursor;

use super::super::catalog::number;
use super::super::connect::Server;
use super::super::error::{corrupt, failed, has_code, of_server, silent};
use super::super::insert::has_empty_time;
use super::operation::Name;
use super::raw::{self, ARRAY, BOOLEAN, Builder, DOCUMENT, INT32, STRING, Value};

/// So many bytes of documents go with a command; one document always does.
const MOST_BYTES: usize = 12 << 20;
const WHAT: &str = "apply the changes";

/// What a collection of the target is like, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// The order of its documents is theirs, and so large it may become.
    pub(super) capped: Option<u64>,
    /// Texts that differ may be one `_id`.
    pub(super) has_collation: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) server: Server,
}

impl Target {
    /// What it is like; `None`: there is none.
    pub(super) async fn kind(&self, name: &Name) -> Result<Option<Kind>> {
        let command = doc! { "listCollections": 1, "filter": { "name": &name.collection }, "cursor": {} };
        let answer = self.command(&name.database, command).await?;
        let found = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let Some(found) = found.map_err(|_| wrong())?.first() else { return Ok(None) };
        let found = found.as_document().ok_or_else(wrong)?;
        if matches!(found.get_str("type"), Ok("view" | "timeseries")) {
            return Ok(None);
        }
        let none = Document::new();
        let options = found.get_document("options").unwrap_or(&none);
        let size = options.get("size").map_or(u64::MAX, |size| number(Some(size)));
        let capped = options.get_bool("capped").unwrap_or_default().then_some(size);
        Ok(Some(Kind { capped, has_collation: options.contains_key("collation") }))
    }

    /// Finds documents by their ids, or their ids alone, and hands them on as they come.
    pub(super) async fn find(&self, name: &Name, ids: &[Value<'_>], ids_alone: bool) -> Result<RawBatchCursor> {
        let list = array(ids.iter().copied())?;
        let within = wrapped("$in", Value { kind: ARRAY, bytes: &list })?;
        let filter = wrapped("_id", Value { kind: DOCUMENT, bytes: &within })?;
        let only = wrapped("_id", Value { kind: INT32, bytes: &1_i32.to_le_bytes() })?;
        let mut command = named("find", name);
        command.push(b"filter", Value { kind: DOCUMENT, bytes: &filter });
        if ids_alone {
            command.push(b"projection", Value { kind: DOCUMENT, bytes: &only });
        }
        let database = self.server.database(&name.database);
        self.within(database.run_raw_cursor_command(document(command)?).batch()).await
    }

    /// Deletes documents; gives how many there were.
    pub(super) async fn delete(&self, name: &Name, ids: &[Value<'_>]) -> Result<u64> {
        let mut deleted = 0;
        let mut rest = ids;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(fitting(rest.iter().map(|id| id.bytes.len() + 64)));
            rest = later;
            let one = |id: &Value<'_>| {
                let equal = wrapped("$eq", *id)?;
                let filter = wrapped("_id", Value { kind: DOCUMENT, bytes: &equal })?;
                let mut delete = Builder::new();
                delete.push(b"q", Value { kind: DOCUMENT, bytes: &filter });
                delete.push(b"limit", Value { kind: INT32, bytes: &1_i32.to_le_bytes() });
                delete.finish()
            };
            let all = batch.iter().map(one).collect::<Result<Vec<_>>>()?;
            let answer = self.write("delete", name, "deletes", &all, false).await?;
            deleted += number(answer.get("n"));
        }
        Ok(deleted)
    }

    /// Inserts documents, one after another where their order is theirs.
    pub(super) async fn insert(&self, name: &Name, documents: &[Vec<u8>], in_order: bool) -> Result<()> {
        let mut rest = documents;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(fitting(rest.iter().map(Vec::len)));
            rest = later;
            self.write("insert", name, "documents", batch, in_order).await?;
        }
        Ok(())
    }

    /// Puts a document in the place of another, without moving it; whether there was one.
    pub(super) async fn replace(&self, name: &Name, id: Value<'_>, new: &[u8]) -> Result<bool> {
        let equal = wrapped("$eq", id)?;
        let filter = wrapped("_id", Value { kind: DOCUMENT, bytes: &equal })?;
        let mut update = Builder::new();
        update.push(b"q", Value { kind: DOCUMENT, bytes: &filter });
        update.push(b"u", Value { kind: DOCUMENT, bytes: new });
        let answer = self.write("update", name, "updates", &[update.finish()?], true).await?;
        Ok(number(answer.get("n")) == 1)
    }

    async fn write(&self, verb: &str, name: &Name, list: &str, all: &[Vec<u8>], in_order: bool) -> Result<Document> {
        let of = |bytes| Value { kind: DOCUMENT, bytes };
        let items = array(all.iter().map(|bytes| of(bytes.as_slice())))?;
        let mut command = named(verb, name);
        command.push(list.as_bytes(), Value { kind: ARRAY, bytes: &items });
        command.push(b"ordered", Value { kind: BOOLEAN, bytes: &[in_order.into()] });
        if verb != "delete" {
            // They were let in once, perhaps before a rule was made.
            command.push(b"bypassDocumentValidation", Value { kind: BOOLEAN, bytes: &[1] });
        }
        let mut has_empty = false;
        for document in all.iter().filter(|_| verb == "insert") {
            has_empty = has_empty || has_empty_time(document)?;
        }
        if has_empty {
            // Else the server writes the time of now. Servers that do not know this refuse it.
            command.push(b"bypassEmptyTsReplacement", Value { kind: BOOLEAN, bytes: &[1] });
        }
        let answer = self.server.raw(&name.database, WHAT, document(command)?).await;
        let answer = answer.map_err(|e| e.with("collection", name))?;
        refused(&answer, "writeErrors").map_or(Ok(()), |error| Err(error.with("collection", name)))?;
        Ok(answer)
    }

    pub(super) async fn command(&self, database: &str, command: Document) -> Result<Document> {
        self.server.command(database, WHAT, command).await
    }

    /// A command whose options are as they came.
    pub(super) async fn define(&self, verb: &str, name: &Name, options: &[u8], but: &[&str]) -> Result<()> {
        let mut command = named(verb, name);
        for field in raw::fields(options)? {
            if !but.iter().any(|name| name.as_bytes() == field.name) {
                command.push(field.name, field.value);
            }
        }
        let done = self.server.raw(&name.database, WHAT, document(command)?).await;
        done.map(drop).map_err(|e| e.with("collection", name))
    }

    /// Drops a collection, if it is there.
    pub(super) async fn drop_collection(&self, name: &Name) -> Result<()> {
        match self.command(&name.database, doc! { "drop": &name.collection }).await {
            Err(error) if !has_code(&error, &[26]) => Err(error.with("collection", name)),
            _ => Ok(()),
        }
    }

    pub(super) async fn rename(&self, from: &Name, to: &Name) -> Result<()> {
        let command = doc! { "renameCollection": from.to_string(), "to": to.to_string(), "dropTarget": true };
        self.command("admin", command).await.map(|_| ()).map_err(|error| error.with("collection", from))
    }

    /// The next documents of a cursor.
    pub(super) async fn next(&self, cursor: &mut RawBatchCursor) -> Result<Option<Vec<Vec<u8>>>> {
        let Some(batch) = self.within(async { cursor.next().await.transpose() }).await? else { return Ok(None) };
        let mut documents = Vec::new();
        for value in batch.doc_slices().map_err(|_| wrong())? {
            let document = value.ok().and_then(mongodb::bson::RawBsonRef::as_document).ok_or_else(wrong)?;
            documents.push(document.as_bytes().to_vec());
        }
        Ok(Some(documents))
    }

    /// A server that says nothing any more is not waited for without end.
    async fn within<T>(&self, asked: impl IntoFuture<Output = mongodb::error::Result<T>>) -> Result<T> {
        let done = tokio::time::timeout(self.server.wait, asked.into_future()).await;
        done.map_err(|_| silent(self.server.wait, WHAT))?.map_err(|e| failed(&e, WHAT))
    }
}

/// What the server refused, if it did.
fn refused(answer: &Document, list: &str) -> Option<Error> {
    let first = answer.get_array(list).ok()?.first()?.as_document()?;
    let code = first.get_i32("code").unwrap_or_default();
    Some(of_server(
        code,
        first.get_str("codeName").unwrap_or_default(),
        first.get_str("errmsg").unwrap_or_default(),
        WHAT,
    ))
}

/// How many of the first fit into one command.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut sum = 0;
    let fitting = sizes.take(10_000).take_while(|size| {
        sum += size + 16;
        sum <= MOST_BYTES
    });
    fitting.count().max(1)
}

fn named(verb: &str, name: &Name) -> Builder {
    let mut text = i32::try_from(name.collection.len() + 1).unwrap_or_default().to_le_bytes().to_vec();
    text.extend_from_slice(name.collection.as_bytes());
    text.push(0);
    let mut command = Builder::new();
    command.push(verb.as_bytes(), Value { kind: STRING, bytes: &text });
    command
}

fn wrapped(name: &str, value: Value<'_>) -> Result<Vec<u8>> {
    let mut built = Builder::new();
    built.push(name.as_bytes(), value);
    built.finish()
}

fn array<'a>(values: impl Iterator<Item = Value<'a>>) -> Result<Vec<u8>> {
    let mut built = Builder::new();
    values.enumerate().for_each(|(at, value)| built.push(at.to_string().as_bytes(), value));
    built.finish()
}

fn document(built: Builder) -> Result<RawDocumentBuf> {
    RawDocumentBuf::from_bytes(built.finish()?).map_err(|_| corrupt("a change cannot be written as a document"))
}

fn wrong() -> Error {
    Error::new(ErrorKind::QueryFailed, "the server answered wrongly").with("while", WHAT)
}
