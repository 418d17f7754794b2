//! Reading runs of chunks in their order, a window at a time: each block of a window is read once,
//! pack by pack, neighbours with one request. What the next window needs as well stays in the
//! cache; so a stream is read once, whatever order its chunks lie in, as long as the blocks that it
//! has begun fit there. That is why the number of strata has a limit.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::error::{Error, Result};
use crate::id::Id;
use crate::repository::index::Span;

use super::fetch::{Fetcher, Plain};

/// Blocks that lie no farther apart than this are read with what is between them.
const GAP: u64 = 64 << 10;
/// The most that is asked for at once.
const REQUEST: u64 = 4 << 20;
/// Requests on their way for one stream.
const REQUESTS: usize = 4;
/// Runs of chunks in a window: each takes memory, however few bytes it stands for.
const SPANS: usize = 1 << 15;

/// Some consecutive runs of chunks of a stream.
#[derive(Debug, Default)]
pub(super) struct Window {
    spans: Vec<Span>,
    /// The blocks they need, and how many of each one's chunks.
    blocks: BTreeMap<Id, BTreeMap<u32, u64>>,
    /// Bytes of these blocks in the clear.
    size: u64,
}

impl Window {
    fn is_full(&self, size: u64) -> bool {
        self.size >= size || self.spans.len() >= SPANS
    }
}

/// Consecutive blocks of one pack, read with one request.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    pack: Id,
    /// Each with where it lies in what comes back.
    blocks: Vec<(u32, Range<usize>)>,
    /// From the beginning of the pack's blocks.
    range: Range<u64>,
}

impl Fetcher {
    /// Groups runs of chunks: each group needs blocks of about `size` bytes, and one at least.
    pub(super) fn windows<S>(
        self: Arc<Self>,
        spans: S,
        size: u64,
    ) -> impl futures::Stream<Item = Result<Window>> + use<S>
    where
        S: futures::Stream<Item = Result<Span>> + Send + 'static,
    {
        let state = (self, Box::pin(spans));
        futures::stream::try_unfold(state, move |(fetcher, mut spans)| async move {
            let mut window = Window::default();
            while !window.is_full(size) {
                let Some(span) = spans.try_next().await? else { break };
                fetcher.add(&mut window, span).await?;
            }
            Ok(if window.spans.is_empty() { None } else { Some((window, (fetcher, spans))) })
        })
    }

    async fn add(&self, window: &mut Window, span: Span) -> Result<()> {
        let blocks = window.blocks.entry(span.pack).or_default();
        if let Some(used) = blocks.get_mut(&span.block) {
            *used += u64::from(span.count);
        } else {
            let table = self.table(span.pack).await?;
            let entry = table.blocks.get(span.block as usize).ok_or_else(|| no_block(span.pack))?;
            window.size += entry.plain();
            blocks.insert(span.block, u64::from(span.count));
        }
        window.spans.push(span);
        Ok(())
    }

    /// The bytes of each run of chunks in a window.
    pub(super) async fn read(&self, window: &Window) -> Result<Vec<Bytes>> {
        let mut plain = BTreeMap::new();
        let mut requests = Vec::new();
        for (pack, blocks) in &window.blocks {
            let table = self.table(*pack).await?;
            let mut missing = Vec::new();
            for number in blocks.keys() {
                if let Some(found) = self.blocks.peek(&(*pack, *number)) {
                    plain.insert((*pack, *number), found);
                } else {
                    let entry = table.blocks.get(*number as usize).ok_or_else(|| no_block(*pack))?;
                    missing.push((*number, entry.offset, entry.length));
                }
            }
            requests.extend(coalesce(*pack, missing));
        }
        let mut arriving =
            futures::stream::iter(requests).map(|request| self.request(request)).buffer_unordered(REQUESTS);
        while let Some(opened) = arriving.try_next().await? {
            for (at, block) in opened {
                let used = window.blocks.get(&at.0).and_then(|blocks| blocks.get(&at.1));
                // Of the others nothing is left to read, unless the stream repeats itself.
                if used.is_none_or(|used| *used < block.chunks()) {
                    self.blocks.put(at, block.clone());
                }
                plain.insert(at, block);
            }
        }
        let bytes = |span: &Span| plain.get(&(span.pack, span.block)).ok_or_else(|| no_block(span.pack))?.span(span);
        window.spans.iter().map(bytes).collect()
    }

    async fn request(&self, request: Request) -> Result<Vec<((Id, u32), Plain)>> {
        let info = self.pack_use(request.pack)?.info;
        let (reader, table) = (self.reader(info).await?, self.table(request.pack).await?);
        let sealed = self.sealed(&reader, &request.range).await?;
        futures::stream::iter(request.blocks)
            .map(|(number, range)| {
                let (reader, table, sealed) = (reader.clone(), table.clone(), sealed.slice(range));
                async move {
                    let plain = self.open(reader, number, table, sealed).await?;
                    Ok::<_, Error>(((request.pack, number), plain))
                }
            })
            .buffer_unordered(self.run.limits.threads.max(1))
            .try_collect()
            .await
    }
}

/// What to ask for to get some blocks of a pack, of which each has a number, an offset and a length.
fn coalesce(pack: Id, mut blocks: Vec<(u32, u64, u32)>) -> Vec<Request> {
    // A pack's blocks lie in the order of their numbers, but nothing makes a table say so.
    blocks.sort_unstable_by_key(|(number, offset, _)| (*offset, *number));
    let mut requests: Vec<Request> = Vec::new();
    for (number, offset, length) in blocks {
        let end = offset.saturating_add(u64::from(length));
        let joins =
            |r: &Request| offset.saturating_sub(r.range.end) <= GAP && end.saturating_sub(r.range.start) <= REQUEST;
        if !requests.last().is_some_and(joins) {
            requests.push(Request { pack, blocks: Vec::new(), range: offset..offset });
        }
        let Some(request) = requests.last_mut() else { continue };
        request.range.end = request.range.end.max(end);
        let from = usize::try_from(offset - request.range.start).unwrap_or(usize::MAX);
        request.blocks.push((number, from..from.saturating_add(length as usize)));
    }
    requests
}

fn no_block(pack: Id) -> Error {
    Error::corrupt("an index names a block that is not there").with("pack", pack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_read_together() {
        let pack = Id([1; 16]);
        let request =
            |range: Range<u64>, blocks: &[(u32, Range<usize>)]| Request { pack, blocks: blocks.to_vec(), range };
        assert_eq!(coalesce(pack, vec![]), []);
        assert_eq!(
            coalesce(pack, vec![(2, 200, 50), (1, 100, 100)]),
            [request(100..250, &[(1, 0..100), (2, 100..150)])]
        );
        let near = coalesce(pack, vec![(0, 0, 100), (1, 100 + GAP, 100)]);
        assert_eq!(near.iter().map(|r| r.range.clone()).collect::<Vec<_>>(), [0..200 + GAP]);
        let far = coalesce(pack, vec![(0, 0, 100), (1, 101 + GAP, 100)]);
        assert_eq!(far.iter().map(|r| r.range.clone()).collect::<Vec<_>>(), [0..100, 101 + GAP..201 + GAP]);
    }

    #[test]
    fn a_request_has_a_limit_but_for_a_single_block() {
        let pack = Id([1; 16]);
        let block: u32 = 1 << 20;
        let many = coalesce(pack, (0..9).map(|n| (n, u64::from(n * block), block)).collect());
        assert_eq!(many.iter().map(|r| r.blocks.len()).collect::<Vec<_>>(), [4, 4, 1]);
        assert!(many.iter().all(|r| r.range.end - r.range.start <= REQUEST));
        let large = coalesce(pack, vec![(0, 0, 9 << 20), (1, 9 << 20, 1)]);
        assert_eq!(large.len(), 2);
    }

    #[test]
    fn a_forged_table_is_no_trouble() {
        let pack = Id([1; 16]);
        let requests = coalesce(pack, vec![(0, u64::MAX - 3, 100), (1, 5, 100), (2, 5, 100), (3, 20, 10)]);
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].blocks, [(1, 0..100), (2, 0..100), (3, 15..25)]);
    }
}
