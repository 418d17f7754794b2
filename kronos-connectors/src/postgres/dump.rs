//! A dump: snapshots that are held, streams that are read out of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use kronos_core::{
    Checkpoint, Dump, DumpRequest, Event, Outline, Piece, Result, RunContext, Stream, StreamEnd, StreamId, StreamInfo,
};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::begin::{Begun, begin};
use super::error::{echo, internal};
use super::reading::{Common, Reading};
use super::settings::PostgresSettings;

/// Pieces that wait for a slow reader.
const WAITING: usize = 4;
/// A snapshot that is held for longer is worth a warning: the server could not clean up behind it.
const LONG: Duration = Duration::from_hours(6);

/// A server being read.
#[derive(Debug)]
pub(super) struct PostgresDump {
    outline: Outline,
    common: Arc<Common>,
    states: Mutex<Vec<State>>,
    position: Option<String>,
    begun: Instant,
}

/// How far a stream is.
#[derive(Debug)]
enum State {
    Waiting(Box<Reading>),
    Opened {
        /// The reader has been given the end mark.
        delivered: Arc<AtomicBool>,
        done: oneshot::Receiver<Result<(StreamEnd, Vec<String>)>>,
        /// Ends the reading when the dump is dropped.
        task: AbortOnDropHandle<()>,
    },
}

impl PostgresDump {
    pub(super) async fn begin(settings: &PostgresSettings, request: &DumpRequest, run: &RunContext) -> Result<Self> {
        run.check_cancelled()?;
        let begun = Instant::now();
        let found = run.cancel.run_until_cancelled(begin(settings, request, run)).await;
        let Begun { outline, common, readings, position, notices } = found.ok_or_else(super::error::cancelled)??;
        for message in notices {
            run.emit(&Event::Notice { message });
        }
        let states = readings.into_iter().map(|reading| State::Waiting(Box::new(reading))).collect();
        Ok(Self { outline, common, states: Mutex::new(states), position, begun })
    }

    fn take_states(&self) -> Vec<State> {
        std::mem::take(&mut *self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets go of everything on the server.
    async fn release(&self) {
        self.common.workers.close().await;
        futures::future::join_all(self.common.holders.iter().map(super::reading::Held::release)).await;
    }
}

#[async_trait]
impl Dump for PostgresDump {
    fn outline(&self) -> &Outline {
        &self.outline
    }

    async fn open(&self, stream: StreamId) -> Result<Stream> {
        let info = self.outline.streams.get(stream.0 as usize).cloned();
        let info: StreamInfo = info.ok_or_else(|| internal("a stream that does not exist"))?;
        let (mut sender, inner) = Stream::channel(info.clone(), WAITING);
        let (report, done) = oneshot::channel();
        let delivered = Arc::new(AtomicBool::new(false));
        {
            let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
            let state = states.get_mut(stream.0 as usize).ok_or_else(|| internal("the dump has ended"))?;
            let (begin, reading) = oneshot::channel::<Box<Reading>>();
            let cancel = self.common.run.cancel.clone();
            let task = tokio::spawn(async move {
                let Ok(reading) = reading.await else { return };
                let read = cancel.run_until_cancelled(reading.read(&mut sender)).await;
                let sent = match read.unwrap_or_else(|| Err(super::error::cancelled())) {
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
            match std::mem::replace(state, opened) {
                State::Waiting(reading) => drop(begin.send(reading)),
                before @ State::Opened { .. } => {
                    *state = before;
                    return Err(internal("a stream was opened twice").with("stream", &info.name));
                }
            }
        }
        let seen = inner.inspect(move |piece| {
            if matches!(piece, Ok(Piece::End(_))) {
                delivered.store(true, Ordering::Release);
            }
        });
        Ok(Stream::new(info, seen))
    }

    async fn finish(self: Box<Self>) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint { position: self.position.clone(), ..Checkpoint::default() };
        let ended = async {
            for ((place, state), info) in (0..).zip(self.take_states()).zip(&self.outline.streams) {
                let (end, warnings) = outcome(state).await.map_err(|e| named(e, &info.name))?;
                checkpoint.streams.insert(StreamId(place), end);
                checkpoint.warnings.extend(warnings);
            }
            let mut meanwhile = 0;
            for holder in &self.common.holders {
                holder
                    .check(self.common.settings.read_timeout)
                    .await
                    .map_err(|e| e.with("database", &holder.database))?;
                meanwhile = meanwhile.max(holder.transactions().await?);
            }
            Ok(meanwhile)
        }
        .await;
        self.release().await;
        let meanwhile = ended?;
        let held = self.begun.elapsed();
        if !self.common.holders.is_empty() {
            let message = effects(held, meanwhile);
            if held > LONG {
                checkpoint.warnings.push(message);
            } else {
                self.common.run.emit(&Event::Notice { message });
            }
        }
        Ok(checkpoint)
    }

    async fn abort(self: Box<Self>) {
        for state in self.take_states() {
            if let State::Opened { task, .. } = state {
                task.abort();
                // It has let go of its session.
                let _ = task.await;
            }
        }
        self.release().await;
    }
}

/// What the snapshot meant to the server.
fn effects(held: Duration, transactions: i64) -> String {
    let held = match held.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    };
    format!(
        "the snapshot was held for {held}, in which {transactions} transactions began: what they left behind \
         VACUUM could not clean up until now"
    )
}

fn named(error: kronos_core::Error, stream: &str) -> kronos_core::Error {
    if error.context("stream").is_some() { error } else { error.with("stream", stream) }
}

/// How a stream ended that must have been read to its end by now.
async fn outcome(state: State) -> Result<(StreamEnd, Vec<String>)> {
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
