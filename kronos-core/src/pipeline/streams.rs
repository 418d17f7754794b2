//! Whole streams into an intake: read and cut, or copied from elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::id::{Digest, Id};
use crate::repository::index::{StoredStream, TreeBuilder};
use crate::stream::{Piece, Stream, StreamEnd, StreamInfo};

use super::cut::{Cutter, chunk_size};
use super::destination::Destination;
use super::fetch::Fetcher;
use super::intake::{Each, Intake, OpenPlace, Places};
use super::meta::keyed_id;

/// Chunks are handed to the hashing threads in batches of about this many bytes.
const BATCH: usize = 1 << 20;

impl Intake {
    /// Stores a stream that is being read, in every repository.
    pub(crate) async fn store(self: &Arc<Self>, stream: Stream) -> Result<Each<StoredStream>> {
        let info = stream.info().clone();
        let before = |to: &Destination| to.parent.as_ref()?.0.stream(&info.name).map(|s| s.chunk);
        let before = self.to.values().find_map(before);
        let chunk = chunk_size(info.cutting, info.size_hint, before, &self.chunker);
        let key = self.chunk_key;
        let batches = batches(stream, Cutter::new(chunk, &self.chunker));
        let named = batches.map(|batch| async {
            match batch? {
                Batch::Chunks(chunks) => {
                    let name = move || chunks.into_iter().map(|c| (keyed_id(&key, &c), c)).collect();
                    Ok(Named::Chunks(self.run.compute(name).await?))
                }
                Batch::End(end) => Ok::<_, Error>(Named::End(end)),
            }
        });
        let mut named = std::pin::pin!(named.buffered(self.run.limits.threads + 1));
        let mut sink = StreamSink::new(self.chunker.block_of(info.cutting));
        let mut hasher = Box::new(blake3::Hasher::new());
        let mut length = 0;
        while let Some(batch) = named.next().await {
            self.run.check_cancelled()?;
            match batch? {
                Named::Chunks(chunks) => {
                    let chunks: Vec<(Id, Bytes)> = chunks;
                    let bytes: usize = chunks.iter().map(|(_, c)| c.len()).sum();
                    length += bytes as u64;
                    // The digest is of what goes into the index, not of what came in: the two
                    // are compared before the commit.
                    let (same, chunks) = self
                        .run
                        .compute(move || {
                            for (_, chunk) in &chunks {
                                hasher.update(chunk);
                            }
                            (hasher, chunks)
                        })
                        .await?;
                    hasher = same;
                    for (id, chunk) in chunks {
                        self.take(&mut sink, id, &chunk).await?;
                    }
                    self.run.emit(&Event::Progress { bytes: bytes as u64, stored: 0 });
                    self.upload_meta().await?;
                }
                Named::End(end) => {
                    let stored = StreamEnd { length, digest: Digest(*hasher.finalize().as_bytes()), rows: end.rows };
                    return self.end(sink, &info, stored, chunk).await;
                }
            }
        }
        Err(Error::internal("a stream ended without its end mark"))
    }

    /// Stores a stream of another repository in the only one, chunk by chunk, reading only what is
    /// not there.
    pub(crate) async fn copy(
        self: &Arc<Self>,
        stored: &StoredStream,
        from: &Arc<Fetcher>,
        same_keys: bool,
    ) -> Result<StoredStream> {
        let mut sink = StreamSink::new(self.chunker.block_of(stored.info.cutting));
        let mut leaves = std::pin::pin!(from.leaves(&stored.top));
        let mut hasher = (!same_keys).then(|| Box::new(blake3::Hasher::new()));
        while let Some(leaf) = leaves.next().await {
            self.run.check_cancelled()?;
            for at in from.chunks(&leaf?.spans).await? {
                let known = if same_keys { self.known(at.id, at.length)? } else { None };
                if let Some(known) = known {
                    sink.places.clear();
                    sink.places.push((0, known));
                    self.append(&mut sink, at.id, at.length as usize)?;
                } else {
                    let chunk = from.chunk(&at).await?;
                    if let Some(hasher) = &mut hasher {
                        hasher.update(&chunk);
                    }
                    let id = if same_keys { at.id } else { keyed_id(&self.chunk_key, &chunk) };
                    self.take(&mut sink, id, &chunk).await?;
                }
                self.run.emit(&Event::Progress { bytes: u64::from(at.length), stored: 0 });
            }
            self.upload_meta().await?;
        }
        let digest = hasher.map(|h| Digest(*h.finalize().as_bytes()));
        if digest.is_some_and(|d| d != stored.end.digest) {
            return Err(Error::corrupt("the stream is not what was backed up").with("stream", &stored.info.name));
        }
        let mut each = self.end(sink, &stored.info, stored.end, stored.chunk).await?;
        each.pop_first().map(|(_, stored)| stored).ok_or_else(|| Error::internal("a stream was stored nowhere"))
    }

    /// References a chunk, or puts it into the stream's blocks.
    async fn take(self: &Arc<Self>, sink: &mut StreamSink, id: Id, chunk: &Bytes) -> Result<()> {
        self.place_for_each(&mut sink.open, id, chunk, &mut sink.places).await?;
        self.append(sink, id, chunk.len())
    }

    /// Appends a chunk to the stream's index in each repository, in the place that it has there.
    fn append(&self, sink: &mut StreamSink, id: Id, length: usize) -> Result<()> {
        let length = u32::try_from(length).map_err(|_| Error::internal("a chunk is larger than 4 GiB"))?;
        for (member, at) in &sink.places {
            let Some(to) = self.to.get(member) else { continue };
            sink.trees.entry(*member).or_default().push(id, length, *at, &mut to.lock().meta)?;
        }
        Ok(())
    }

    async fn end(
        &self,
        mut sink: StreamSink,
        info: &StreamInfo,
        end: StreamEnd,
        chunk: u32,
    ) -> Result<Each<StoredStream>> {
        self.leave(&mut sink.open);
        let mut each = Each::new();
        for (member, to) in self.members() {
            let tree = sink.trees.remove(&member).unwrap_or_default();
            let (levels, top) = tree.finish(&mut to.lock().meta)?;
            each.insert(member, StoredStream { info: info.clone(), end, chunk, levels, top });
        }
        self.upload_meta().await?;
        Ok(each)
    }
}

/// What has been stored of one stream.
#[derive(Debug)]
struct StreamSink {
    trees: Each<TreeBuilder>,
    open: OpenPlace,
    /// Of the chunk that is being stored.
    places: Places,
}

impl StreamSink {
    fn new(block: u32) -> Self {
        Self { trees: Each::new(), open: OpenPlace::new(block), places: Places::new() }
    }
}

enum Batch {
    Chunks(Vec<Bytes>),
    End(StreamEnd),
}

enum Named {
    Chunks(Vec<(Id, Bytes)>),
    End(StreamEnd),
}

/// The chunks of a stream, some at a time, and its end mark.
fn batches(stream: Stream, cutter: Cutter) -> impl futures::Stream<Item = Result<Batch>> {
    let state = (stream, Some(cutter), None::<StreamEnd>);
    futures::stream::try_unfold(state, |(mut stream, mut cutter, end)| async move {
        if let Some(end) = end {
            return Ok(Some((Batch::End(end), (stream, None, None))));
        }
        let Some(mut cut) = cutter.take() else { return Ok(None) };
        let mut chunks = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH {
            match stream.next().await? {
                Some(Piece::Data(data)) => {
                    bytes += data.len();
                    cut.push(data, &mut chunks);
                }
                Some(Piece::End(end)) => {
                    cut.finish(&mut chunks);
                    return Ok(Some((Batch::Chunks(chunks), (stream, None, Some(end)))));
                }
                None => return Err(Error::internal("a stream was read after its end")),
            }
        }
        Ok(Some((Batch::Chunks(chunks), (stream, Some(cut), None))))
    })
}
