//! A dump of the mock: streams that are made as they are read, and fail as planned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use blake3::Hasher;
use kronos_core::{
    Checkpoint, Digest, Dump, Error, ErrorKind, Outline, Piece, Result, RunContext, Stream, StreamEnd, StreamId,
};

use super::fault::{Fault, failure};
use super::recipe::{self, Recipe};

#[derive(Debug)]
pub(super) struct MockDump {
    outline: Outline,
    recipes: Vec<Recipe>,
    opened: Mutex<BTreeSet<StreamId>>,
    shared: Arc<Shared>,
}

/// What the streams of one dump have in common.
#[derive(Debug)]
struct Shared {
    run: RunContext,
    pause: Duration,
    faults: Vec<Fault>,
    /// Bytes that have gone out in all streams.
    passed: AtomicU64,
    ended: Mutex<BTreeMap<StreamId, StreamEnd>>,
}

/// One stream on its way.
struct Reading {
    id: StreamId,
    recipe: Recipe,
    at: u64,
    hasher: Box<Hasher>,
    ended: bool,
    shared: Arc<Shared>,
}

impl MockDump {
    /// `recipes` are those of the outline's streams, in their order.
    pub(super) fn new(
        outline: Outline,
        recipes: Vec<Recipe>,
        faults: Vec<Fault>,
        pause: Duration,
        run: &RunContext,
    ) -> Self {
        let (passed, ended) = (AtomicU64::new(0), Mutex::default());
        let shared = Arc::new(Shared { run: run.clone(), pause, faults, passed, ended });
        Self { outline, recipes, opened: Mutex::default(), shared }
    }
}

#[async_trait]
impl Dump for MockDump {
    fn outline(&self) -> &Outline {
        &self.outline
    }

    async fn open(&self, id: StreamId) -> Result<Stream> {
        let place = id.0 as usize;
        let (Some(info), Some(recipe)) = (self.outline.streams.get(place), self.recipes.get(place)) else {
            return Err(Error::new(ErrorKind::NotFound, "no such stream"));
        };
        if !self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return Err(Error::new(ErrorKind::Internal, "a stream is opened once").with("stream", &info.name));
        }
        let shared = Arc::clone(&self.shared);
        let reading = Reading { id, recipe: *recipe, at: 0, hasher: Box::default(), ended: false, shared };
        let pieces = futures::stream::try_unfold(reading, |mut reading| async {
            Ok(reading.next().await?.map(|piece| (piece, reading)))
        });
        Ok(Stream::new(info.clone(), pieces))
    }

    async fn finish(self: Box<Self>) -> Result<Checkpoint> {
        self.shared.run.check_cancelled()?;
        if let Some(kind) = self.shared.faults.iter().find_map(|fault| match fault {
            Fault::Finish(kind) => Some(*kind),
            _ => None,
        }) {
            return Err(failure(kind, "the mock fails at the end of a dump"));
        }
        let streams = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if streams.len() != self.outline.streams.iter().filter(|stream| !stream.unchanged).count() {
            return Err(Error::new(ErrorKind::Io, "not every stream was read to its end"));
        }
        Ok(Checkpoint { streams, ..Checkpoint::default() })
    }

    async fn abort(self: Box<Self>) {}
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Piece>> {
        if self.ended {
            return Ok(None);
        }
        self.wait().await?;
        let mut bytes = vec![0; recipe::piece(self.recipe.length - self.at)];
        if bytes.is_empty() {
            self.ended = true;
            let end = self.end();
            self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner).insert(self.id, end);
            return Ok(Some(Piece::End(end)));
        }
        let passed = self.shared.passed.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
        for fault in &self.shared.faults {
            match *fault {
                Fault::Read { after, kind } if passed > after => {
                    return Err(failure(kind, "the mock fails while it is read"));
                }
                Fault::Stop { after } if passed > after => {
                    self.ended = true;
                    return Ok(None);
                }
                Fault::Cancel { after } if passed > after => {
                    self.shared.run.cancel.cancel();
                    self.shared.run.check_cancelled()?;
                }
                _ => {}
            }
        }
        self.recipe.fill(self.at, &mut bytes);
        self.hasher.update(&bytes);
        self.at += bytes.len() as u64;
        Ok(Some(Piece::Data(bytes.into())))
    }

    /// The pause before each piece, which ends early when the run is cancelled.
    async fn wait(&self) -> Result<()> {
        if !self.shared.pause.is_zero() {
            // Whether it ended by time or by the token is seen below.
            let _ = tokio::time::timeout(self.shared.pause, self.shared.run.cancel.cancelled()).await;
        }
        self.shared.run.check_cancelled()
    }

    fn end(&self) -> StreamEnd {
        let mut hasher = self.hasher.clone();
        if self.shared.faults.contains(&Fault::WrongEnd) {
            hasher.update(b"of other bytes");
        }
        StreamEnd { length: self.recipe.length, digest: Digest(*hasher.finalize().as_bytes()), rows: None }
    }
}
