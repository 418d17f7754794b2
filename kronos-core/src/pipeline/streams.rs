//! Whole streams into an intake: read and cut, taken over unread, or copied from elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::id::{Digest, Id};
use crate::repository::index::{StoredStream, TreeBuilder};
use crate::stream::{Piece, Stream, StreamEnd, StreamInfo};

use super::cut::{Cutter, chunk_size};
use super::fetch::Fetcher;
use super::intake::{ChunkPlace, Intake, OpenPlace};
use super::meta::keyed_id;

/// Chunks are handed to the hashing threads in batches of about this many bytes.
const BATCH: usize = 1 << 20;

impl Intake {
    /// Stores a stream that is being read.
    pub(crate) async fn store(self: &Arc<Self>, stream: Stream) -> Result<StoredStream> {
        let info = stream.info().clone();
        let before = self.parent.as_ref().and_then(|(root, _)| root.stream(&info.name)).map(|s| s.chunk);
        let chunk = chunk_size(info.cutting, info.size_hint, before, self.job.repository().chunker());
        let key = self.chunk_key;
        let batches = batches(stream, Cutter::new(chunk, self.job.repository().chunker()));
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
        let mut sink = StreamSink::default();
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
                    return self.end(sink, info, stored, chunk).await;
                }
            }
        }
        Err(Error::internal("a stream ended without its end mark"))
    }

    /// The streams of the parent that can be taken over unread: all that their index leads to is
    /// there, as far as is known.
    pub(crate) async fn usable_streams(&self) -> Result<BTreeSet<String>> {
        let Some((root, fetcher)) = &self.parent else { return Ok(BTreeSet::new()) };
        let broken = self.lock().broken.clone();
        let touched = root.packs.iter().any(|p| self.damage.touches(p.info.id));
        let mut usable = BTreeSet::new();
        for stream in root.streams.iter().filter(|s| !broken.contains(&s.info.name)) {
            if !touched || self.is_whole(stream, fetcher).await? {
                usable.insert(stream.info.name.clone());
            }
        }
        Ok(usable)
    }

    async fn is_whole(&self, stream: &StoredStream, fetcher: &Arc<Fetcher>) -> Result<bool> {
        let nodes = fetcher.references(stream.levels, &stream.top).await?;
        if nodes.iter().any(|n| self.damage.is_bad(n.pack, n.block)) {
            return Ok(false);
        }
        let mut leaves = std::pin::pin!(fetcher.leaves(&stream.top));
        while let Some(leaf) = leaves.next().await {
            match leaf {
                Ok(leaf) if leaf.spans.iter().any(|s| self.damage.is_bad(s.pack, s.block)) => return Ok(false),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Corrupt => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Takes over a stream of the parent that the connector has proved unchanged.
    pub(crate) async fn take_over(&self, info: &StreamInfo) -> Result<StoredStream> {
        let wanted =
            || Error::internal("a stream is called unchanged that the parent has not").with("stream", &info.name);
        let (root, fetcher) = self.parent.as_ref().ok_or_else(wanted)?;
        let stored = root.stream(&info.name).ok_or_else(wanted)?.clone();
        let nodes = fetcher.references(stored.levels, &stored.top).await?;
        let mut leaves = std::pin::pin!(fetcher.leaves(&stored.top));
        while let Some(leaf) = leaves.next().await {
            let leaf = leaf?;
            let mut shared = self.lock();
            for span in leaf.spans {
                let unknown = || Error::corrupt("the table of a pack cannot be read").with("pack", span.pack);
                let pack = *shared.by_id.get(&span.pack).ok_or_else(unknown)?;
                let state = &mut shared.packs[pack as usize];
                state.live += state.average * u64::from(span.count);
            }
        }
        let mut shared = self.lock();
        for node in &nodes {
            shared.meta.use_in_place(node);
        }
        Ok(StoredStream { info: info.clone(), ..stored })
    }

    /// Stores a stream of another repository chunk by chunk, reading only what is not there.
    pub(crate) async fn copy(
        self: &Arc<Self>,
        stored: &StoredStream,
        from: &Arc<Fetcher>,
        same_keys: bool,
    ) -> Result<StoredStream> {
        let mut sink = StreamSink::default();
        let mut leaves = std::pin::pin!(from.leaves(&stored.top));
        let mut hasher = (!same_keys).then(|| Box::new(blake3::Hasher::new()));
        while let Some(leaf) = leaves.next().await {
            self.run.check_cancelled()?;
            for at in from.chunks(&leaf?.spans).await? {
                let known = if same_keys { self.known(at.id, at.length) } else { None };
                if let Some(known) = known {
                    self.append(&mut sink, at.id, at.length as usize, known)?;
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
        self.end(sink, stored.info.clone(), stored.end, stored.chunk).await
    }

    fn append(&self, sink: &mut StreamSink, id: Id, length: usize, at: ChunkPlace) -> Result<()> {
        let length = u32::try_from(length).map_err(|_| Error::internal("a chunk is larger than 4 GiB"))?;
        sink.tree.push(id, length, at, &mut self.lock().meta)
    }

    /// References a chunk, or puts it into the stream's block.
    async fn take(self: &Arc<Self>, sink: &mut StreamSink, id: Id, chunk: &Bytes) -> Result<()> {
        let at = self.place(&mut sink.open, id, chunk).await?;
        self.append(sink, id, chunk.len(), at)
    }

    async fn end(&self, sink: StreamSink, info: StreamInfo, end: StreamEnd, chunk: u32) -> Result<StoredStream> {
        let (levels, top) = {
            let mut shared = self.lock();
            shared.spare.extend(sink.open.0);
            sink.tree.finish(&mut shared.meta)?
        };
        self.upload_meta().await?;
        Ok(StoredStream { info, end, chunk, levels, top })
    }
}

/// What has been stored of one stream.
#[derive(Debug, Default)]
struct StreamSink {
    tree: TreeBuilder,
    open: OpenPlace,
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
