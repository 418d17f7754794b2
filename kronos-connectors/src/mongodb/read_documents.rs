//! The documents of a collection into a stream, from the wire as they are. When the connection breaks,
//! they are read on after the last `_id`, where there is an order that allows it.

use bytes::BytesMut;
use futures::StreamExt;
use kronos_core::{Event, Result, StreamSender};
use mongodb::bson::{Bson, Document, RawBsonRef, RawDocumentBuf, doc};
use mongodb::raw_batch_cursor::RawBatch;

use super::bounds::of_text;
use super::connect::Server;
use super::error::{failed, is_lost, silent};
use super::plan::{Order, Part};
use super::reading::Reading;

/// Documents are handed on in pieces of about this size.
const PIECE: usize = 512 << 10;
/// How often a part is read on over another connection.
const ATTEMPTS: u32 = 5;

impl Reading {
    /// Sends the documents of a collection or of a part of it; gives their number.
    pub(super) async fn documents(&self, part: &Part, batch: u32, sender: &mut StreamSender) -> Result<u64> {
        let mut to = Into { sender, piece: BytesMut::new(), count: 0, last: None };
        let (mut attempt, mut before) = (1, 0);
        loop {
            let error = match read(&self.dump.server, part, batch, &mut to).await {
                Ok(()) => break,
                Err(error) if is_lost(&error) && part.order == Order::Id && attempt < ATTEMPTS => error,
                Err(error) => return Err(error.with("collection", part.name())),
            };
            self.dump.run.emit(&Event::Retrying {
                what: format!("read {}", part.name()),
                attempt,
                error: error.to_string(),
            });
            tokio::time::sleep(self.dump.run.limits.backoff * (1 << attempt)).await;
            // One that gets on is not one that fails for ever.
            attempt = if to.count > before { 1 } else { attempt + 1 };
            before = to.count;
        }
        to.flush().await?;
        Ok(to.count)
    }
}

/// Takes documents.
pub(super) trait Sink {
    /// One of them, as its bytes.
    fn take(&mut self, document: &[u8]);
    /// A batch of them has been taken.
    async fn pause(&mut self) -> Result<()>;
    /// The `_id` of the last one.
    fn last(&mut self) -> &mut Option<Bson>;
}

/// Into a stream.
struct Into<'a> {
    sender: &'a mut StreamSender,
    piece: BytesMut,
    count: u64,
    last: Option<Bson>,
}

impl Into<'_> {
    async fn flush(&mut self) -> Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.sender.send(self.piece.split().freeze()).await }
    }
}

impl Sink for Into<'_> {
    fn take(&mut self, document: &[u8]) {
        self.piece.extend_from_slice(document);
        self.count += 1;
    }

    async fn pause(&mut self) -> Result<()> {
        if self.piece.len() < PIECE {
            return Ok(());
        }
        let mut rest = self.piece.split().freeze();
        while !rest.is_empty() {
            self.sender.send(rest.split_to(rest.len().min(PIECE))).await?;
        }
        Ok(())
    }

    fn last(&mut self) -> &mut Option<Bson> {
        &mut self.last
    }
}

/// What the server is asked; after the last document that has come, if there is one.
fn question(part: &Part, batch: u32, last: Option<&Bson>) -> Result<Document> {
    let mut ask = doc! { "find": part.form.place(&part.collection), "batchSize": batch };
    if part.order != Order::Id {
        // A storage may be slower than a server is patient, and this cannot be read on. Of the others
        // some services allow no cursor that waits for ever.
        ask.insert("noCursorTimeout", true);
    }
    match part.order {
        Order::Natural => {}
        Order::Clustered => drop(ask.insert("sort", doc! { "_id": 1 })),
        Order::Id => {
            ask.extend(doc! { "sort": { "_id": 1 }, "hint": { "_id": 1 } });
            let from = match last {
                Some(last) => Some(doc! { "_id": last }),
                None => part.from.as_deref().map(of_text).transpose()?,
            };
            if let Some(from) = from {
                ask.insert("min", from);
            }
            if let Some(to) = &part.to {
                ask.insert("max", of_text(to)?);
            }
        }
    }
    ask.insert("readConcern", doc! { "level": "majority" });
    Ok(ask)
}

/// Reads documents into a sink, after the last one that it has.
pub(super) async fn read(server: &Server, part: &Part, batch: u32, sink: &mut impl Sink) -> Result<()> {
    let what = "read documents";
    let mut known = sink.last().clone();
    let ask = question(part, batch, known.as_ref())?;
    let raw = RawDocumentBuf::try_from(&ask).map_err(|e| super::error::internal("a question").with_source(e))?;
    let database = server.database(&part.database);
    let asked = database.run_raw_cursor_command(raw).batch_size(batch).batch();
    let asked = tokio::time::timeout(server.wait, asked).await.map_err(|_| silent(server.wait, what))?;
    let mut cursor = asked.map_err(|e| failed(&e, what))?;
    loop {
        let next = tokio::time::timeout(server.wait, cursor.next()).await.map_err(|_| silent(server.wait, what))?;
        let Some(batch) = next else { return Ok(()) };
        take(&batch.map_err(|e| failed(&e, what))?, part.order, &mut known, sink)?;
        sink.pause().await?;
    }
}

/// Takes the documents of a batch; the first one not, if it is the one that came last before.
fn take(batch: &RawBatch, order: Order, known: &mut Option<Bson>, sink: &mut impl Sink) -> Result<()> {
    let wrong = || super::error::internal("the server sent something else than documents");
    let mut last = None;
    for value in batch.doc_slices().map_err(|e| failed(&e, "read documents"))? {
        let Ok(RawBsonRef::Document(document)) = value else { return Err(wrong()) };
        if let Some(known) = known.take() {
            let id = document.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok());
            if id.is_some_and(|id| is_same(&id, &known)) {
                continue;
            }
        }
        sink.take(document.as_bytes());
        last = Some(document);
    }
    if let (Order::Id, Some(document)) = (order, last) {
        let id = document.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok());
        *sink.last() = Some(id.ok_or_else(wrong)?);
    }
    Ok(())
}

/// Whether an index takes two values for one: numbers of different kinds may be.
fn is_same(a: &Bson, b: &Bson) -> bool {
    let number = |value: &Bson| match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        #[allow(clippy::cast_precision_loss, reason = "equal ones stay equal, and others were not the next")]
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(n) => Some(*n),
        _ => None,
    };
    match (number(a), number(b)) {
        #[allow(clippy::float_cmp, reason = "the very same value is meant")]
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Form;
    use super::*;

    #[test]
    fn it_is_read_on_after_the_last_one() {
        let mut part = Part {
            database: "shop".into(),
            collection: "orders".into(),
            form: Form::Documents,
            order: Order::Id,
            from: Some(super::super::bounds::text(&doc! { "_id": 5 }).unwrap()),
            to: Some(super::super::bounds::text(&doc! { "_id": 9 }).unwrap()),
        };
        let ask = question(&part, 10, None).unwrap();
        assert_eq!(
            (ask.get_document("min").unwrap(), ask.get_document("max").unwrap()),
            (&doc! { "_id": 5 }, &doc! { "_id": 9 })
        );
        let ask = question(&part, 10, Some(&Bson::Int32(7))).unwrap();
        assert_eq!(ask.get_document("min").unwrap(), &doc! { "_id": 7 });
        part.form = Form::Buckets;
        part.order = Order::Natural;
        let ask = question(&part, 10, None).unwrap();
        assert!(ask.get_str("find").unwrap() == "system.buckets.orders" && !ask.contains_key("min"));
        assert!(is_same(&Bson::Int32(5), &Bson::Double(5.0)) && !is_same(&Bson::Int32(5), &Bson::Null));
    }
}
