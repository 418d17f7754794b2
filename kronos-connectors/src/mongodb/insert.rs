//! Documents into a collection, byte for byte: commands are put together of their bytes.

use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use tokio_util::task::AbortOnDropHandle;

use super::catalog::number;
use super::connect::{Server, is_written};
use super::error::{corrupt, has_code, internal};

/// A command has about so many bytes of documents, unless one alone has more.
const BYTES: usize = 6 << 20;
/// And no more documents than this.
const DOCUMENTS: usize = 20_000;
/// The server knows no such field of a command.
const UNKNOWN_FIELD: i32 = 40415;
/// What the type of a timestamp is in BSON.
const TIMESTAMP: u8 = 0x11;

/// Takes documents for one collection; a command is on its way while the next one is gathered.
#[derive(Debug)]
pub(super) struct Inserter<'a> {
    server: &'a Server,
    database: String,
    collection: String,
    batch: Batch,
    on_its_way: Option<AbortOnDropHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Batch {
    /// The inside of an array in BSON.
    bytes: Vec<u8>,
    count: usize,
    /// One has a timestamp of which a server makes the present time unless it is told not to.
    has_empty_time: bool,
}

impl<'a> Inserter<'a> {
    pub(super) fn new(server: &'a Server, database: &str, collection: &str) -> Self {
        let (database, collection) = (database.to_owned(), collection.to_owned());
        Self { server, database, collection, batch: Batch::default(), on_its_way: None }
    }

    /// Takes a document.
    pub(super) async fn push(&mut self, document: &[u8]) -> Result<()> {
        let is_full = self.batch.bytes.len() + document.len() > BYTES || self.batch.count == DOCUMENTS;
        if is_full && self.batch.count > 0 {
            self.send().await?;
        }
        self.batch.push(document)
    }

    /// Waits until all are written.
    pub(super) async fn finish(mut self) -> Result<()> {
        if self.batch.count > 0 {
            self.send().await?;
        }
        self.arrived().await
    }

    async fn send(&mut self) -> Result<()> {
        self.arrived().await?;
        let (batch, server) = (std::mem::take(&mut self.batch), self.server.clone());
        let (database, collection) = (self.database.clone(), self.collection.clone());
        let sent = tokio::spawn(async move { write(&server, &database, &collection, batch).await });
        self.on_its_way = Some(AbortOnDropHandle::new(sent));
        Ok(())
    }

    async fn arrived(&mut self) -> Result<()> {
        match self.on_its_way.take() {
            Some(sent) => sent.await.map_err(|_| internal("the task that writes documents panicked"))?,
            None => Ok(()),
        }
    }
}

impl Batch {
    fn push(&mut self, document: &[u8]) -> Result<()> {
        self.has_empty_time = self.has_empty_time || has_empty_time(document)?;
        self.bytes.push(0x03);
        self.bytes.extend_from_slice(self.count.to_string().as_bytes());
        self.bytes.push(0);
        self.bytes.extend_from_slice(document);
        self.count += 1;
        Ok(())
    }

    /// The command that writes them.
    fn command(&self, collection: &str) -> Result<RawDocumentBuf> {
        // Nothing is checked that the source has let through, and the order stays for capped ones.
        let mut head = doc! { "insert": collection, "ordered": true, "bypassDocumentValidation": true };
        if self.has_empty_time {
            head.insert("bypassEmptyTsReplacement", true);
        }
        let head = RawDocumentBuf::try_from(&head).map_err(|e| internal("a command").with_source(e))?;
        let mut bytes = head.into_bytes();
        bytes.reserve(self.bytes.len() + 32);
        bytes.pop();
        bytes.push(0x04);
        bytes.extend_from_slice(b"documents\0");
        bytes.extend_from_slice(&length(self.bytes.len() + 5)?);
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(&[0, 0]);
        let all = length(bytes.len())?;
        bytes[..4].copy_from_slice(&all);
        RawDocumentBuf::from_bytes(bytes).map_err(|e| internal("a command").with_source(e))
    }
}

fn length(length: usize) -> Result<[u8; 4]> {
    i32::try_from(length).map(i32::to_le_bytes).map_err(|_| internal("a command is too large"))
}

/// Whether a server would put the present time into a document: where a timestamp of its first level
/// is zero.
pub(super) fn has_empty_time(document: &[u8]) -> Result<bool> {
    if !document.contains(&TIMESTAMP) {
        return Ok(false);
    }
    let raw = RawDocument::from_bytes(document).map_err(|_| corrupt("this is no document"))?;
    for element in raw {
        let (_, value) = element.map_err(|_| corrupt("this is no document"))?;
        if let RawBsonRef::Timestamp(time) = value
            && (time.time, time.increment) == (0, 0)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn write(server: &Server, database: &str, collection: &str, batch: Batch) -> Result<()> {
    let what = "write documents";
    let answer = server.raw(database, what, batch.command(collection)?).await.map_err(|error| {
        if batch.has_empty_time && has_code(&error, &[UNKNOWN_FIELD]) {
            return Error::new(
                ErrorKind::Unsupported,
                "this server would put the present time in the place of an empty timestamp",
            )
            .with_source(error);
        }
        error
    })?;
    is_written(&answer, what)?;
    let written = number(answer.get("n"));
    if written != batch.count as u64 {
        return Err(Error::new(ErrorKind::QueryFailed, "the server wrote other documents than it was given")
            .with("given", batch.count)
            .with("written", written));
    }
    Ok(())
}

/// A few documents that are small.
pub(super) async fn insert(server: &Server, database: &str, collection: &str, documents: &[Document]) -> Result<()> {
    let documents: Vec<Bson> = documents.iter().cloned().map(Bson::Document).collect();
    let ask = doc! { "insert": collection, "documents": documents, "writeConcern": { "w": "majority" } };
    server.command(database, "write documents", ask).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{Timestamp, rawdoc};

    #[test]
    fn a_command_has_the_very_bytes_of_its_documents() {
        let mut batch = Batch::default();
        let documents: Vec<_> = (0..12).map(|n| rawdoc! { "_id": n, "a.b": { "$x": "y" } }).collect();
        for document in &documents {
            batch.push(document.as_bytes()).unwrap();
        }
        let command = batch.command("t").unwrap();
        let array = command.get_array("documents").unwrap();
        let found: Vec<_> = array.into_iter().map(|d| d.unwrap().as_document().unwrap().to_owned()).collect();
        assert_eq!(found, documents);
        assert!(Document::try_from(command).unwrap().get("bypassEmptyTsReplacement").is_none());
    }

    #[test]
    fn empty_timestamps_are_seen_where_servers_see_them() {
        let empty = Timestamp { time: 0, increment: 0 };
        let is_seen = |document: RawDocumentBuf| has_empty_time(document.as_bytes()).unwrap();
        assert!(is_seen(rawdoc! { "_id": 1, "t": empty }));
        assert!(!is_seen(rawdoc! { "_id": 1, "t": { "t": empty } }));
        assert!(!is_seen(rawdoc! { "_id": 1, "t": Timestamp { time: 0, increment: 1 } }));
    }
}
