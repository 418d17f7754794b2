//! A dump: streams that are read several at a time, and what was written meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use kronos_core::{
    Checkpoint, Dump, DumpRequest, Event, Outline, Piece, Result, RunContext, Stream, StreamEnd, StreamId,
};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::begin::{Begun, begin};
use super::error::{cancelled, echo, internal};
use super::reading::{Common, Reading};
use super::settings::MongodbSettings;

/// Pieces that wait for a slow reader.
const WAITING: usize = 4;

/// A server being read.
#[derive(Debug)]
pub(super) struct MongodbDump {
    outline: Outline,
    common: Arc<Common>,
    states: Mutex<Vec<State>>,
}

/// How far a stream is.
#[derive(Debug)]
enum State {
    Waiting(Reading),
    /// Someone is about to open it, or has tried.
    Taken,
    Opened {
        /// The reader has been given the end mark.
        delivered: Arc<AtomicBool>,
        done: oneshot::Receiver<Result<StreamEnd>>,
        /// Ends the reading when the dump is dropped.
        task: AbortOnDropHandle<()>,
    },
}

impl MongodbDump {
    pub(super) async fn begin(settings: &MongodbSettings, request: &DumpRequest, run: &RunContext) -> Result<Self> {
        run.check_cancelled()?;
        let found = run.cancel.run_until_cancelled(begin(settings, request, run)).await;
        let Begun { outline, common, readings, notices } = found.ok_or_else(cancelled)??;
        for message in notices {
            run.emit(&Event::Notice { message });
        }
        let states = readings.into_iter().map(State::Waiting).collect();
        Ok(Self { outline, common, states: Mutex::new(states) })
    }

    fn states(&self) -> std::sync::MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Dump for MongodbDump {
    fn outline(&self) -> &Outline {
        &self.outline
    }

    async fn open(&self, stream: StreamId) -> Result<Stream> {
        let at = stream.0 as usize;
        let info = self.outline.streams.get(at).cloned().ok_or_else(|| internal("a stream that does not exist"))?;
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
        let cancel = self.common.run.cancel.clone();
        let task = tokio::spawn(async move {
            let read = cancel.run_until_cancelled(reading.read(&mut sender)).await;
            let sent = match read.unwrap_or_else(|| Err(cancelled())) {
                Ok(rows) => sender.finish(rows).await,
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

    async fn finish(self: Box<Self>) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint::default();
        let states = std::mem::take(&mut *self.states());
        let mut ended = Ok(());
        for ((place, state), info) in (0..).zip(states).zip(&self.outline.streams) {
            match outcome(state).await {
                Ok(end) => drop(checkpoint.streams.insert(StreamId(place), end)),
                Err(error) if error.context("stream").is_some() => ended = ended.and(Err(error)),
                Err(error) => ended = ended.and(Err(error.with("stream", &info.name))),
            }
        }
        checkpoint.position = self.common.position.get().cloned();
        checkpoint.warnings = std::mem::take(&mut *self.common.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        self.common.release().await;
        ended.map(|()| checkpoint)
    }

    async fn abort(self: Box<Self>) {
        let states = std::mem::take(&mut *self.states());
        for state in states {
            if let State::Opened { task, .. } = state {
                task.abort();
                // It has let go of its cursor.
                let _ = task.await;
            }
        }
        self.common.release().await;
    }
}

/// How a stream ended that must have been read to its end by now.
async fn outcome(state: State) -> Result<StreamEnd> {
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
