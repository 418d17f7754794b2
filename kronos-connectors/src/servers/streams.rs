//! The streams of a dump: each is opened once and read by a task of its own, and the dump ends well
//! only if the reader of each has been given its end.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use kronos_core::{Checkpoint, Outline, Piece, Result, RunContext, Stream, StreamEnd, StreamId, StreamSender};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::error::{cancelled, echo, internal};

/// Pieces that wait for a slow reader.
const WAITING: usize = 4;
/// What has been read already is handed on in pieces of this size.
#[cfg(any(feature = "mongodb", feature = "mysql"))]
const PIECE: usize = 256 << 10;

/// What is read into one stream.
#[async_trait]
pub(crate) trait Reads: fmt::Debug + Send + Sync + 'static {
    /// Sends it.
    async fn read(&self, sender: &mut StreamSender) -> Result<Read>;
}

/// What a stream had, beside its bytes.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub rows: Option<u64>,
    pub warnings: Vec<String>,
}

impl Read {
    pub(crate) fn of_rows(rows: u64) -> Self {
        Self { rows: Some(rows), warnings: Vec::new() }
    }
}

/// Sends what has been read already.
#[cfg(any(feature = "mongodb", feature = "mysql"))]
pub(crate) async fn send(bytes: &bytes::Bytes, sender: &mut StreamSender) -> Result<()> {
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        sender.send(rest.split_to(rest.len().min(PIECE))).await?;
    }
    Ok(())
}

/// All streams of a dump.
#[derive(Debug)]
pub(crate) struct Streams<R>(Mutex<Vec<State<R>>>);

/// How far a stream is.
#[derive(Debug)]
enum State<R> {
    Waiting(R),
    /// Someone is about to open it, or has tried.
    Taken,
    Opened {
        /// The reader has been given the end mark.
        delivered: Arc<AtomicBool>,
        done: oneshot::Receiver<Result<(StreamEnd, Vec<String>)>>,
        /// Ends the reading when the dump is dropped.
        task: AbortOnDropHandle<()>,
    },
}

impl<R: Reads> Streams<R> {
    pub(crate) fn new(readings: Vec<R>) -> Self {
        Self(Mutex::new(readings.into_iter().map(State::Waiting).collect()))
    }

    fn states(&self) -> std::sync::MutexGuard<'_, Vec<State<R>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to read one; see [`Dump::open`](kronos_core::Dump::open).
    pub(crate) fn open(&self, outline: &Outline, stream: StreamId, run: &RunContext) -> Result<Stream> {
        let at = stream.0 as usize;
        let info = outline.streams.get(at).cloned().ok_or_else(|| internal("a stream that does not exist"))?;
        let twice = || internal("a stream was opened twice").with("stream", &info.name);
        let reading = match self.states().get_mut(at) {
            Some(state @ State::Waiting(_)) => match std::mem::replace(state, State::Taken) {
                State::Waiting(reading) => reading,
                _ => return Err(twice()),
            },
            Some(_) => return Err(twice()),
            None => return Err(internal("the dump has ended")),
        };
        let (mut sender, inner) = Stream::channel(info.clone(), WAITING);
        let (report, done) = oneshot::channel();
        let delivered = Arc::new(AtomicBool::new(false));
        let cancel = run.cancel.clone();
        let task = tokio::spawn(async move {
            let read = cancel.run_until_cancelled(reading.read(&mut sender)).await;
            let sent = match read.unwrap_or_else(|| Err(cancelled())) {
                Ok(read) => sender.finish(read.rows).await.map(|end| (end, read.warnings)),
                Err(error) => {
                    let copy = echo(&error);
                    sender.fail(error).await;
                    Err(copy)
                }
            };
            // Nobody listens when the dump has been dropped.
            let _ = report.send(sent);
        });
        let opened = State::Opened { delivered: delivered.clone(), done, task: AbortOnDropHandle::new(task) };
        if let Some(state) = self.states().get_mut(at) {
            *state = opened;
        }
        let seen = inner.inspect(move |piece| {
            if matches!(piece, Ok(Piece::End(_))) {
                delivered.store(true, Ordering::Release);
            }
        });
        Ok(Stream::new(info, seen))
    }

    /// The ends of all, and what the user should know of them.
    pub(crate) async fn ended(&self, outline: &Outline) -> Result<Checkpoint> {
        let states = std::mem::take(&mut *self.states());
        let (mut checkpoint, mut ended) = (Checkpoint::default(), Ok(()));
        for ((place, state), info) in (0..).zip(states).zip(&outline.streams) {
            match outcome(state).await {
                Ok((end, warnings)) => {
                    checkpoint.streams.insert(StreamId(place), end);
                    checkpoint.warnings.extend(warnings);
                }
                Err(error) if error.context("stream").is_some() => ended = ended.and(Err(error)),
                Err(error) => ended = ended.and(Err(error.with("stream", &info.name))),
            }
        }
        ended.map(|()| checkpoint)
    }

    /// Ends all reading; when this is over, nothing on the server is in use for it.
    pub(crate) async fn abort(&self) {
        let states = std::mem::take(&mut *self.states());
        for state in states {
            if let State::Opened { task, .. } = state {
                task.abort();
                // It has let go of its session.
                let _ = task.await;
            }
        }
    }
}

/// How a stream ended that must have been read to its end by now.
async fn outcome<R>(state: State<R>) -> Result<(StreamEnd, Vec<String>)> {
    let State::Opened { delivered, mut done, task: _task } = state else {
        return Err(internal("a stream was never opened"));
    };
    if delivered.load(Ordering::Acquire) {
        // The task reports right after its last piece.
        return done.await.map_err(|_| internal("the task that read a stream panicked"))?;
    }
    match done.try_recv() {
        Ok(Err(failure)) => Err(failure),
        _ => Err(internal("the dump was finished before a stream was read to its end")),
    }
}
