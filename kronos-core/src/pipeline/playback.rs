//! A whole stream of a backup, as it was, read ahead by a task of its own.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::repository::index::StoredStream;
use crate::run::RunContext;
use crate::stream::{Piece, Stream, StreamEnd, StreamInfo};

use super::fetch::Fetcher;
use super::ledger::STRATA;
use super::window::Windows;

impl Fetcher {
    /// How many streams can be read at a time so that the blocks they have begun stay in memory.
    pub(crate) fn at_a_time(&self) -> usize {
        let open = STRATA as u64 * u64::from(self.block_size());
        let fit = usize::try_from(self.open_memory() / open.max(1)).unwrap_or(usize::MAX);
        self.run.limits.parallel.min(fit).max(1)
    }

    /// A whole stream, one of so many that are read at the same time.
    pub(crate) fn stream(self: &Arc<Self>, stored: &StoredStream, at_a_time: usize) -> Stream {
        let info = StreamInfo { unchanged: false, ..stored.info.clone() };
        let (sender, receiver) = mpsc::channel(1);
        let reading = Reading { fetcher: self.clone(), stored: stored.clone(), at_a_time };
        let mut tasks = JoinSet::new();
        tasks.spawn(reading.run(sender));
        let state = Playback { receiver, tasks, ready: Vec::new().into_iter(), run: self.run.clone() };
        Stream::new(info, futures::stream::try_unfold(state, Playback::next)).checked()
    }
}

enum Part {
    Data(Vec<Bytes>),
    End(StreamEnd),
}

/// The task that reads ahead.
struct Reading {
    fetcher: Arc<Fetcher>,
    stored: StoredStream,
    at_a_time: usize,
}

impl Reading {
    async fn run(self, sender: mpsc::Sender<Result<Part>>) {
        if let Err(e) = self.send(&sender).await {
            // Whoever does not listen any more needs no error.
            let _ = sender.send(Err(e.with("stream", &self.stored.info.name))).await;
        }
    }

    async fn send(&self, sender: &mpsc::Sender<Result<Part>>) -> Result<()> {
        let mut windows = Windows::of(&self.fetcher, &self.stored, self.at_a_time).await?;
        loop {
            // One window is with the reader, another on its way to it: not more.
            let Ok(place) = sender.reserve().await else { return Ok(()) };
            let Some(parts) = windows.next().await? else { break };
            place.send(Ok(Part::Data(parts)));
        }
        // Nobody listens, nobody misses it.
        let _ = sender.send(Ok(Part::End(self.stored.end))).await;
        Ok(())
    }
}

/// The end at which the stream is read. Dropping it ends the task.
struct Playback {
    receiver: mpsc::Receiver<Result<Part>>,
    tasks: JoinSet<()>,
    ready: std::vec::IntoIter<Bytes>,
    run: RunContext,
}

impl Playback {
    async fn next(mut self) -> Result<Option<(Piece, Self)>> {
        loop {
            self.run.check_cancelled()?;
            if let Some(bytes) = self.ready.next() {
                self.run.emit(&Event::Progress { bytes: bytes.len() as u64, stored: 0 });
                return Ok(Some((Piece::Data(bytes), self)));
            }
            match self.receiver.recv().await {
                Some(Ok(Part::Data(parts))) => self.ready = parts.into_iter(),
                Some(Ok(Part::End(end))) => return Ok(Some((Piece::End(end), self))),
                Some(Err(e)) => return Err(e),
                None => {
                    return match self.tasks.join_next().await {
                        Some(Err(e)) => Err(Error::internal("a reading task failed").with_source(e)),
                        _ => Ok(None),
                    };
                }
            }
        }
    }
}
