//! Reading the chunks of a stream in their order, a window at a time: the blocks of a window are
//! read pack by pack, neighbours with one request, while those of the next windows are on their way.
//! Blocks of which later windows need something stay in memory; how often each is needed is counted
//! beforehand, in the index. So every block is read once, whatever order the chunks lie in, as long
//! as the blocks that have been begun fit into memory. That is why the number of strata has a limit.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::repository::index::{Span, StoredStream};

use super::cache::Cache;
use super::fetch::{Fetcher, Plain};

/// Blocks that lie no farther apart than this are read with what is between them.
const GAP: u64 = 64 << 10;
/// The most that is asked for at once.
const REQUEST: u64 = 4 << 20;
/// Windows of one stream that are on their way, so that there is always something to wait for.
const AHEAD: usize = 3;
/// Requests on their way for each.
const REQUESTS: usize = 2;
/// Runs of chunks in a window: each takes memory, however few bytes it stands for.
const SPANS: usize = 1 << 15;

/// The chunks of a stream, window after window. They are authentic; that they are the chunks of
/// their ids is for the reader to find out, who knows the digest of the whole.
pub(super) struct Windows {
    fetcher: Arc<Fetcher>,
    spans: Pin<Box<dyn futures::Stream<Item = Result<Span>> + Send>>,
    /// Bytes of the blocks of a window, about.
    size: u64,
    /// How many chunks of each block are still to come.
    to_come: BTreeMap<Id, Vec<u32>>,
    /// Blocks that have been begun.
    open: Cache<(Id, u32), Plain>,
    /// The next windows, on their way.
    ahead: VecDeque<Window>,
}

/// Some consecutive runs of chunks of a stream.
#[derive(Debug, Default)]
struct Window {
    spans: Vec<Span>,
    /// The blocks they need: those that are there, and those that this window or one before it waits for.
    blocks: BTreeMap<Id, BTreeMap<u32, Option<Plain>>>,
    /// Those that this window asks for, with offset and length.
    missing: BTreeMap<Id, Vec<(u32, u64, u32)>>,
    /// Bytes of these blocks in the clear.
    size: u64,
    /// One task, which asks.
    asking: JoinSet<Result<Opened>>,
}

/// Blocks in the clear, by pack and number.
type Opened = Vec<(Id, u32, Plain)>;

/// Consecutive blocks of one pack, read with one request.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    pack: Id,
    /// Each with where it lies in what comes back.
    blocks: Vec<(u32, Range<usize>)>,
    /// From the beginning of the pack's blocks.
    range: Range<u64>,
}

impl Windows {
    /// Begins to read one of so many streams that are read at the same time.
    pub(super) async fn of(fetcher: &Arc<Fetcher>, stored: &StoredStream, at_a_time: usize) -> Result<Self> {
        let share = |bytes: u64| bytes / at_a_time.max(1) as u64;
        let open = usize::try_from(share(fetcher.open_memory())).unwrap_or(usize::MAX);
        let mut windows = Self {
            fetcher: fetcher.clone(),
            spans: spans(fetcher, stored),
            size: share(fetcher.run.limits.memory / 32),
            to_come: BTreeMap::new(),
            open: Cache::new(open, Plain::memory),
            ahead: VecDeque::new(),
        };
        while let Some(span) = windows.spans.try_next().await? {
            *windows.count(&span).await? += u32::from(span.count);
        }
        windows.spans = spans(fetcher, stored);
        Ok(windows)
    }

    async fn count(&mut self, span: &Span) -> Result<&mut u32> {
        if !self.to_come.contains_key(&span.pack) {
            let table = self.fetcher.table(span.pack).await?;
            self.to_come.insert(span.pack, vec![0; table.blocks.len()]);
        }
        let blocks = self.to_come.get_mut(&span.pack);
        blocks.and_then(|blocks| blocks.get_mut(span.block as usize)).ok_or_else(|| no_block(span.pack))
    }

    /// The bytes of the next runs of chunks; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Bytes>>> {
        while self.ahead.len() < AHEAD {
            let Some(window) = self.plan().await? else { break };
            self.ahead.push_back(window);
        }
        let Some(mut window) = self.ahead.pop_front() else { return Ok(None) };
        if let Some(asked) = window.asking.join_next().await {
            let opened = asked.map_err(|e| Error::internal("a reading task failed").with_source(e))??;
            for (pack, number, plain) in opened {
                self.arrived(&mut window, pack, number, plain);
            }
        }
        let bytes = |span: &Span| {
            let plain = window.blocks.get(&span.pack).and_then(|blocks| blocks.get(&span.block)?.as_ref());
            plain.ok_or_else(|| no_block(span.pack))?.span(span)
        };
        let parts = window.spans.iter().map(bytes).collect::<Result<_>>()?;
        for (pack, blocks) in window.blocks {
            let Some(to_come) = self.to_come.get(&pack) else { continue };
            for (number, plain) in blocks {
                match plain {
                    Some(plain) if to_come.get(number as usize).is_some_and(|n| *n > 0) => {
                        self.open.put((pack, number), plain);
                    }
                    _ => self.open.remove(&(pack, number)),
                }
            }
        }
        Ok(Some(parts))
    }

    /// A block is there: for its window, and for all that wait for it.
    fn arrived(&mut self, window: &mut Window, pack: Id, number: u32, plain: Plain) {
        for later in &mut self.ahead {
            if let Some(place) = later.blocks.get_mut(&pack).and_then(|blocks| blocks.get_mut(&number)) {
                *place = Some(plain.clone());
            }
        }
        window.blocks.entry(pack).or_default().insert(number, Some(plain));
    }

    /// The window after those that are on their way, which begins to ask for its blocks.
    async fn plan(&mut self) -> Result<Option<Window>> {
        let mut window = Window::default();
        while window.size < self.size && window.spans.len() < SPANS {
            let Some(span) = self.spans.try_next().await? else { break };
            self.add(&mut window, span).await?;
        }
        if window.spans.is_empty() {
            return Ok(None);
        }
        let missing = std::mem::take(&mut window.missing);
        let requests: Vec<_> = missing.into_iter().flat_map(|(pack, blocks)| coalesce(pack, blocks)).collect();
        if !requests.is_empty() {
            window.asking.spawn(self.fetcher.clone().ask(requests));
        }
        Ok(Some(window))
    }

    async fn add(&mut self, window: &mut Window, span: Span) -> Result<()> {
        let to_come = self.count(&span).await?;
        *to_come = to_come.saturating_sub(span.count.into());
        let (pack, number) = (span.pack, span.block);
        let blocks = window.blocks.entry(pack).or_default();
        if let std::collections::btree_map::Entry::Vacant(new) = blocks.entry(number) {
            let table = self.fetcher.table(pack).await?;
            let entry = table.blocks.get(number as usize).ok_or_else(|| no_block(pack))?;
            window.size += entry.plain();
            let mut before = self.ahead.iter().filter_map(|before| before.blocks.get(&pack)?.get(&number));
            let known = self.open.peek(&(pack, number)).map(Some).or_else(|| before.next().cloned());
            if known.is_none() {
                window.missing.entry(pack).or_default().push((number, entry.offset, entry.length));
            }
            new.insert(known.flatten());
        }
        window.spans.push(span);
        Ok(())
    }
}

fn spans(fetcher: &Arc<Fetcher>, stored: &StoredStream) -> Pin<Box<dyn futures::Stream<Item = Result<Span>> + Send>> {
    let leaves = fetcher.leaves(&stored.top);
    Box::pin(leaves.map_ok(|leaf| futures::stream::iter(leaf.spans.into_iter().map(Ok))).try_flatten())
}

impl Fetcher {
    /// Reads blocks, whatever order they come in.
    async fn ask(self: Arc<Self>, requests: Vec<Request>) -> Result<Opened> {
        let mut arriving = futures::stream::iter(requests)
            .map(|request| async { Ok::<_, Error>((request.pack, self.request(request).await?)) })
            .buffer_unordered(REQUESTS);
        let mut all = Opened::new();
        while let Some((pack, opened)) = arriving.try_next().await? {
            all.extend(opened.into_iter().map(|(number, plain)| (pack, number, plain)));
        }
        Ok(all)
    }

    async fn request(&self, request: Request) -> Result<Vec<(u32, Plain)>> {
        let info = self.pack_use(request.pack)?.info;
        let (reader, table) = (self.reader(info).await?, self.table(request.pack).await?);
        let sealed = self.sealed(&reader, &request.range).await?;
        futures::stream::iter(request.blocks)
            .map(|(number, range)| {
                let (reader, table, sealed) = (reader.clone(), table.clone(), sealed.slice(range));
                async move { Ok((number, self.open(reader, number, table, sealed, false).await?)) }
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
        assert_eq!((near.len(), &near[0].range), (1, &(0..200 + GAP)));
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
