//! A dump: threads that read snapshots, and the streams that they feed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use kronos_core::{
    Checkpoint, Dump, DumpRequest, Error, Outline, Piece, Result, RunContext, Stream, StreamId, StreamInfo,
};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::begin::{Begun, begin};
use super::content::{Sent, Waiting, spawn, take, watch};
use super::error;
use super::outlet::{Outlet, WAITING};
use super::settings::SqliteSettings;

/// The snapshots of a source being read.
#[derive(Debug)]
pub(super) struct SqliteDump {
    outline: Outline,
    states: Mutex<Vec<State>>,
    stop: CancellationToken,
    /// Ends every thread when the dump is dropped.
    _stop_on_drop: DropGuard,
}

/// How far a stream is.
#[derive(Debug)]
enum State {
    /// Equal to the previous backup's; never opened.
    Unchanged,
    /// Not opened yet.
    Waiting(Waiting),
    /// Being read.
    Opened {
        /// The reader has been given the end mark.
        delivered: Arc<AtomicBool>,
        done: oneshot::Receiver<Result<Sent>>,
    },
}

impl SqliteDump {
    /// Takes the snapshots, on a thread that may block.
    pub(super) async fn begin(settings: &SqliteSettings, request: &DumpRequest, run: &RunContext) -> Result<Self> {
        run.check_cancelled()?;
        let stop = run.cancel.child_token();
        // From here on: if the caller stops waiting, the work stops too.
        let stop_on_drop = stop.clone().drop_guard();
        let (settings, request, now) = (settings.clone(), request.clone(), run.clock.now());
        let token = stop.clone();
        let Begun { outline, contents } = tokio::task::spawn_blocking(move || begin(&settings, &request, now, &token))
            .await
            .map_err(|e| error::internal("taking the snapshots panicked").with_source(e))??;

        let waiting: Vec<Waiting> = contents.iter().flatten().cloned().collect();
        let token = stop.clone();
        spawn(move || watch(&waiting, &token))?;
        let states = contents.into_iter().map(|c| c.map_or(State::Unchanged, State::Waiting)).collect();
        Ok(Self { outline, states: Mutex::new(states), stop, _stop_on_drop: stop_on_drop })
    }

    fn take_states(&self) -> Vec<State> {
        std::mem::take(&mut *self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn info(&self, stream: StreamId) -> Result<&StreamInfo> {
        self.outline.streams.get(stream.0 as usize).ok_or_else(|| error::internal("a stream that does not exist"))
    }
}

#[async_trait]
impl Dump for SqliteDump {
    fn outline(&self) -> &Outline {
        &self.outline
    }

    async fn open(&self, stream: StreamId) -> Result<Stream> {
        let info = self.info(stream)?.clone();
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.get_mut(stream.0 as usize);
        let Some(State::Waiting(waiting)) = state.as_deref() else {
            return Err(
                error::internal("a stream was opened that is unchanged or open already").with("stream", &info.name)
            );
        };
        let waiting = waiting.clone();
        let (sender, inner) = Stream::channel(info.clone(), WAITING);
        let (report, done) = oneshot::channel();
        let stop = self.stop.clone();
        spawn(move || {
            let outlet = Outlet::new(sender, stop.clone());
            let sent = match take(&waiting) {
                Some(Ok(content)) => content.send(outlet, &stop),
                Some(Err(failure)) => {
                    let echo = error::echo(&failure);
                    outlet.fail(failure);
                    Err(echo)
                }
                None => Err(error::internal("the content of a stream was taken before")),
            };
            // Nobody listens when the dump has been dropped.
            let _ = report.send(sent);
        })?;
        let delivered = Arc::new(AtomicBool::new(false));
        if let Some(state) = state {
            *state = State::Opened { delivered: delivered.clone(), done };
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
        for ((place, state), info) in (0..).zip(self.take_states()).zip(&self.outline.streams) {
            let sent = match state {
                State::Unchanged => continue,
                State::Waiting(_) => Err(error::internal("a stream was never opened")),
                State::Opened { delivered, done } => outcome(&delivered, done).await,
            };
            let sent =
                sent.map_err(|e| if e.context("stream").is_some() { e } else { e.with("stream", &info.name) })?;
            checkpoint.streams.insert(StreamId(place), sent.end);
            checkpoint.warnings.extend(sent.warning);
        }
        Ok(checkpoint)
    }

    async fn abort(self: Box<Self>) {
        self.stop.cancel();
        let mut unread = Vec::new();
        for state in self.take_states() {
            match state {
                State::Unchanged => {}
                State::Waiting(waiting) => unread.push(waiting),
                // However it ended: it has let go of its database.
                State::Opened { done, .. } => drop(done.await),
            }
        }
        // Closing a database may wait for the disk, and the watching thread may be at it.
        let _ = tokio::task::spawn_blocking(move || unread.iter().for_each(|waiting| drop(take(waiting)))).await;
    }
}

/// How a stream ended that must have been read to its end by now.
async fn outcome(delivered: &AtomicBool, mut done: oneshot::Receiver<Result<Sent>>) -> Result<Sent> {
    let gone = || error::internal("the thread that read a database panicked");
    if delivered.load(Ordering::Acquire) {
        // The thread reports right after its last piece.
        return done.await.map_err(|_| gone())?;
    }
    let unread = || error::internal("the dump was finished before a stream was read to its end");
    match done.try_recv() {
        Ok(Err(failure)) => Err(failure),
        Ok(Ok(_)) | Err(oneshot::error::TryRecvError::Empty) => Err::<Sent, Error>(unread()),
        Err(oneshot::error::TryRecvError::Closed) => Err(gone()),
    }
}
