//! Streams: named sequences of bytes with an explicit end.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream as AsyncStream;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};
use crate::id::Digest;

/// The place of a stream in its [`Outline`](crate::Outline), counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u32);

/// When a stream is written back: all of one phase before any of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// What the data needs: schemas, tables.
    Before,
    /// The data.
    Data,
    /// What needs the data: indexes, constraints, triggers.
    After,
}

/// How a stream is cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cutting {
    /// At multiples of a page size in bytes, or of a power of two of it for large streams.
    Pages(u32),
    /// Where the content says so (FastCDC).
    Content,
}

/// What is known of a stream before it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// Unique in its backup, the same in every backup of the job: `app.db`, `public.orders`.
    pub name: String,
    /// When it is written back.
    pub phase: Phase,
    /// How it is cut.
    pub cutting: Cutting,
    /// Its length in bytes, as far as it is known.
    pub size_hint: Option<u64>,
    /// What the connector needs to write it back, or to tell whether it has changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Other names by which [`RestoreOptions::only`](crate::RestoreOptions) may choose it, such as
    /// that of the table of which it has a part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What it belongs to, such as a database: for [`shared`](Self::shared).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// It is restored with whatever is chosen of its group, or of all if it has none: the others
    /// cannot be written without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// The connector has proof that the stream equals the one of the same name in
    /// [`DumpRequest::previous`](crate::DumpRequest); it will not be opened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
}

impl StreamInfo {
    /// A data stream cut by content, with nothing else known.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            phase: Phase::Data,
            cutting: Cutting::Content,
            size_hint: None,
            attributes: BTreeMap::new(),
            aliases: Vec::new(),
            group: None,
            shared: false,
            unchanged: false,
        }
    }
}

/// The explicit end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// The number of bytes.
    pub length: u64,
    /// BLAKE3 of all bytes, without a key.
    pub digest: Digest,
    /// The number of rows or documents, where the engine has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// A part of a stream.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Some bytes, in order.
    Data(Bytes),
    /// The end. A stream that stops without it has failed.
    End(StreamEnd),
}

/// A stream being read. Owned and `'static`: it can be handed to another task.
pub struct Stream {
    info: StreamInfo,
    body: Pin<Box<dyn AsyncStream<Item = Result<Piece>> + Send>>,
    check: Option<Check>,
    ended: bool,
}

/// What a checked stream has given so far.
#[derive(Default)]
struct Check {
    hasher: Box<blake3::Hasher>,
    length: u64,
}

impl Stream {
    /// A stream over any source of pieces.
    pub fn new(info: StreamInfo, body: impl AsyncStream<Item = Result<Piece>> + Send + 'static) -> Self {
        Self { info, body: Box::pin(body), check: None, ended: false }
    }

    /// A stream and the sender that feeds it. At most `capacity` pieces wait in between.
    pub fn channel(info: StreamInfo, capacity: usize) -> (StreamSender, Self) {
        let (sender, receiver) = mpsc::channel(capacity);
        let body = futures::stream::unfold(receiver, |mut r| async { r.recv().await.map(|p| (p, r)) });
        let hasher = Box::new(blake3::Hasher::new());
        (StreamSender { sender, hasher, length: 0 }, Self::new(info, body))
    }

    /// A stream over bytes in memory.
    pub fn from_bytes(info: StreamInfo, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let end = StreamEnd { length: bytes.len() as u64, digest: Digest::of(&bytes), rows: None };
        Self::new(info, futures::stream::iter([Ok(Piece::Data(bytes)), Ok(Piece::End(end))]))
    }

    /// The same, failing with `Corrupt` at an end mark that is not of its bytes. What a
    /// [`Restore`](crate::Restore) gets is always checked.
    #[must_use]
    pub fn checked(mut self) -> Self {
        self.check = Some(Check::default());
        self
    }

    /// What was known before it was read.
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// The next piece. After [`Piece::End`] there is `None`; `None` before it is an error.
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        use futures::StreamExt;
        if self.ended {
            return Ok(None);
        }
        match self.body.next().await {
            Some(Ok(piece)) => {
                self.pass(&piece)?;
                Ok(Some(piece))
            }
            Some(Err(e)) => Err(e),
            None => {
                Err(Error::new(ErrorKind::Io, "the stream stopped before its end mark").with("stream", &self.info.name))
            }
        }
    }

    /// Takes note of what goes out.
    fn pass(&mut self, piece: &Piece) -> Result<()> {
        match (piece, &mut self.check) {
            (Piece::Data(bytes), Some(check)) => {
                check.hasher.update(bytes);
                check.length += bytes.len() as u64;
            }
            (Piece::End(end), Some(check))
                if (check.length, Digest(*check.hasher.finalize().as_bytes())) != (end.length, end.digest) =>
            {
                return Err(Error::corrupt("the stream is not what was backed up").with("stream", &self.info.name));
            }
            (Piece::End(_), _) => self.ended = true,
            (Piece::Data(_), None) => {}
        }
        Ok(())
    }

    /// Reads all of it into memory. For small streams only.
    pub async fn collect(mut self) -> Result<(Vec<u8>, StreamEnd)> {
        let mut bytes = Vec::new();
        loop {
            match self.next().await? {
                Some(Piece::Data(data)) => bytes.extend_from_slice(&data),
                Some(Piece::End(end)) => return Ok((bytes, end)),
                None => return Err(Error::internal("a stream was read after its end")),
            }
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("info", &self.info).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// Feeds a [`Stream`], counts and digests what goes through it. Dropped without
/// [`finish`](Self::finish), it leaves a stream that ends in an error.
#[derive(Debug)]
pub struct StreamSender {
    sender: mpsc::Sender<Result<Piece>>,
    hasher: Box<blake3::Hasher>,
    length: u64,
}

impl StreamSender {
    /// Appends bytes; waits while the reader is behind. `Cancelled` when the reader has gone.
    pub async fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.count(&bytes);
        self.sender.send(Ok(Piece::Data(bytes))).await.map_err(|_| Error::cancelled())
    }

    /// The same, from a thread that may block.
    pub fn blocking_send(&mut self, bytes: Bytes) -> Result<()> {
        self.count(&bytes);
        self.sender.blocking_send(Ok(Piece::Data(bytes))).map_err(|_| Error::cancelled())
    }

    /// Whether the next piece goes out without waiting; `Cancelled` when the reader has gone. For
    /// a thread that has something better to do than to wait for a slow reader.
    pub fn has_room(&self) -> Result<bool> {
        if self.sender.is_closed() { Err(Error::cancelled()) } else { Ok(self.sender.capacity() > 0) }
    }

    /// The number of bytes that went through, and BLAKE3 of them.
    pub fn so_far(&self) -> (u64, Digest) {
        (self.length, Digest(*self.hasher.finalize().as_bytes()))
    }

    /// Ends the stream well; gives the end mark for the [`Checkpoint`](crate::Checkpoint).
    pub async fn finish(self, rows: Option<u64>) -> Result<StreamEnd> {
        let end = self.end(rows);
        self.sender.send(Ok(Piece::End(end))).await.map_err(|_| Error::cancelled())?;
        Ok(end)
    }

    /// The same, from a thread that may block.
    pub fn blocking_finish(self, rows: Option<u64>) -> Result<StreamEnd> {
        let end = self.end(rows);
        self.sender.blocking_send(Ok(Piece::End(end))).map_err(|_| Error::cancelled())?;
        Ok(end)
    }

    /// Ends the stream with an error.
    pub async fn fail(self, error: Error) {
        // A reader that has gone needs no error any more.
        let _ = self.sender.send(Err(error)).await;
    }

    /// The same, from a thread that may block.
    pub fn blocking_fail(self, error: Error) {
        let _ = self.sender.blocking_send(Err(error));
    }

    fn count(&mut self, bytes: &Bytes) {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn end(&self, rows: Option<u64>) -> StreamEnd {
        StreamEnd { length: self.length, digest: Digest(*self.hasher.finalize().as_bytes()), rows }
    }
}

impl AsyncStream for Stream {
    type Item = Result<Piece>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = std::task::ready!(self.body.as_mut().poll_next(cx));
        Poll::Ready(piece.map(|piece| piece.and_then(|piece| self.pass(&piece).map(|()| piece))))
    }
}
