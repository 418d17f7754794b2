//! A restore into the mock: every byte is compared with the one that belongs there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{
    Error, ErrorKind, Piece, Restore, RestoreOutcome, RestoreRequest, Result, RunContext, Stream, StreamEnd,
};

use super::MockSource;
use super::fault::{Fault, failure};
use super::recipe::{PIECE, Recipe};

#[derive(Debug)]
pub(super) struct MockRestore {
    target: MockSource,
    expected: BTreeMap<String, StreamEnd>,
    faults: Vec<Fault>,
    run: RunContext,
    /// Bytes that have come in, in all streams.
    passed: AtomicU64,
    written: Mutex<BTreeMap<String, Recipe>>,
}

impl MockRestore {
    pub(super) fn new(target: MockSource, request: &RestoreRequest, faults: Vec<Fault>, run: &RunContext) -> Self {
        let expected = request.streams.iter().map(|stream| (stream.info.name.clone(), stream.end)).collect();
        let (passed, written) = (AtomicU64::new(0), Mutex::default());
        Self { target, expected, faults, run: run.clone(), passed, written }
    }

    /// Whether these bytes may come in now.
    fn admit(&self, bytes: usize) -> Result<()> {
        let passed = self.passed.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        for fault in &self.faults {
            match *fault {
                Fault::Write { after, kind } if passed > after => {
                    return Err(failure(kind, "the mock fails while it is written"));
                }
                Fault::Cancel { after } if passed > after => self.run.cancel.cancel(),
                _ => {}
            }
        }
        self.run.check_cancelled()
    }
}

#[async_trait]
impl Restore for MockRestore {
    async fn write(&self, mut stream: Stream) -> Result<()> {
        let name = stream.info().name.clone();
        let wrong = |message: &str| Error::new(ErrorKind::Corrupt, message).with("stream", &name);
        let recipe = Recipe::from_attributes(&stream.info().attributes).map_err(|e| e.with("stream", &name))?;
        let (mut scratch, mut length) = (vec![0; PIECE], 0);
        while let Some(piece) = stream.next().await? {
            match piece {
                Piece::Data(bytes) => {
                    self.admit(bytes.len())?;
                    for part in bytes.chunks(PIECE) {
                        let right = &mut scratch[..part.len()];
                        recipe.fill(length, right);
                        if part != right {
                            let place = part.iter().zip(right).take_while(|(a, b)| a == b).count() as u64;
                            return Err(wrong("not the bytes that were backed up").with("offset", length + place));
                        }
                        length += part.len() as u64;
                    }
                }
                Piece::End(end) => {
                    if self.expected.get(&name) != Some(&end) {
                        return Err(wrong("not the stream that the backup holds"));
                    }
                    if length != recipe.length {
                        return Err(wrong("the stream is not as long as it was").with("length", length));
                    }
                }
            }
        }
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(name, recipe);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<RestoreOutcome> {
        self.run.check_cancelled()?;
        if let Some(kind) = self.faults.iter().find_map(|fault| match fault {
            Fault::Place(kind) => Some(*kind),
            _ => None,
        }) {
            return Err(failure(kind, "the mock fails at the end of a restore"));
        }
        let written = self.written.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !written.keys().eq(self.expected.keys()) {
            return Err(Error::new(ErrorKind::Io, "not every stream was written"));
        }
        let created: Vec<String> = written.keys().cloned().collect();
        let checks = written.iter().map(|(name, recipe)| format!("{name}: {} bytes as they were", recipe.length));
        let outcome = RestoreOutcome { checks: checks.collect(), created, ..RestoreOutcome::default() };
        self.target.streams().extend(written);
        Ok(outcome)
    }

    async fn abort(self: Box<Self>) {}
}
