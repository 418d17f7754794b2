//! A database in memory: named streams of bytes that a test can change at will.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::connector::{
    Capabilities, Checkpoint, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine,
    Fingerprint, Outline, Restore, RestoreOutcome, RestoreRequest, TargetReport,
};
use crate::error::{Error, ErrorKind, Result};
use crate::run::RunContext;
use crate::stream::{Cutting, Piece, Stream, StreamEnd, StreamId, StreamInfo};

type Data = BTreeMap<String, Bytes>;

/// A source and target in memory. Clones share their data.
#[derive(Debug, Clone)]
pub struct MemorySource {
    name: String,
    data: Arc<Mutex<Data>>,
    cutting: Cutting,
    /// Bytes of a piece, and how long a reader waits for each.
    piece: usize,
    pause: Duration,
    /// Takes over streams that it can prove unchanged.
    proves: bool,
    /// How often each stream was opened.
    opened: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl MemorySource {
    /// An empty database. Two of one name are the same source.
    pub fn new(name: &str) -> Self {
        let data = Arc::default();
        Self {
            name: name.to_owned(),
            data,
            cutting: Cutting::Content,
            piece: 1000,
            pause: Duration::ZERO,
            proves: false,
            opened: Arc::default(),
        }
    }

    /// The same, cut at pages of this size.
    #[must_use]
    pub fn with_pages(mut self, page: u32) -> Self {
        self.cutting = Cutting::Pages(page);
        self
    }

    /// The same, whose reader waits before each piece.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The same, which does not read again what it can prove to be unchanged.
    #[must_use]
    pub fn with_proofs(mut self) -> Self {
        self.proves = true;
        self
    }

    /// Sets or replaces a stream.
    pub fn set(&self, stream: &str, bytes: impl Into<Bytes>) {
        self.lock().insert(stream.to_owned(), bytes.into());
    }

    /// Removes a stream.
    pub fn remove(&self, stream: &str) {
        self.lock().remove(stream);
    }

    /// How often each stream was opened to be read, since this was asked last.
    pub fn take_opened(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.opened.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All streams, now.
    pub fn contents(&self) -> BTreeMap<String, Bytes> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine's name.
fn engine() -> Engine {
    Engine::new("memory").expect("the name has lower-case letters only")
}

#[async_trait]
impl Connector for MemorySource {
    fn engine(&self) -> Engine {
        engine()
    }

    fn describe(&self) -> String {
        format!("memory {}", self.name)
    }

    fn default_job(&self) -> String {
        self.name.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_increments().with_parallel()
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    async fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint { engine: engine(), identities: BTreeSet::from([format!("name:{}", self.name)]) })
    }

    async fn test_connection(&self) -> Result<ConnectionReport> {
        Ok(ConnectionReport {
            status: ConnectionStatus::Connected,
            version: Some("1".to_owned()),
            latency: Duration::ZERO,
            missing: Vec::new(),
            message: None,
        })
    }

    async fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        let info = |(name, bytes): (&String, &Bytes)| DatabaseInfo {
            name: name.clone(),
            size: bytes.len() as u64,
            schema_version: None,
        };
        Ok(self.lock().iter().map(info).collect())
    }

    async fn estimate_size(&self) -> Result<u64> {
        Ok(self.lock().values().map(|b| b.len() as u64).sum())
    }

    async fn begin_dump(&self, request: &DumpRequest, run: &RunContext) -> Result<Box<dyn Dump>> {
        run.check_cancelled()?;
        let data: Vec<(String, Bytes)> = self.lock().clone().into_iter().collect();
        let same = |name: &str, bytes: &Bytes| {
            let before = request.previous.as_ref().and_then(|p| p.streams.get(name));
            self.proves && before.is_some_and(|s| s.end.digest == crate::Digest::of(bytes))
        };
        let info = |(name, bytes): &(String, Bytes)| StreamInfo {
            cutting: self.cutting,
            size_hint: Some(bytes.len() as u64),
            unchanged: same(name, bytes),
            ..StreamInfo::new(name)
        };
        let outline = Outline { streams: data.iter().map(info).collect(), ..Outline::default() };
        Ok(Box::new(MemoryDump {
            source: self.clone(),
            outline,
            data,
            opened: Mutex::default(),
            ended: Arc::default(),
        }))
    }

    async fn inspect_target(&self, request: &RestoreRequest) -> Result<TargetReport> {
        let existing = self.lock().keys().cloned().collect();
        let needed = request.streams.iter().map(|s| s.end.length).sum();
        Ok(TargetReport { existing, needed, ..TargetReport::default() })
    }

    async fn begin_restore(&self, request: &RestoreRequest, run: &RunContext) -> Result<Box<dyn Restore>> {
        run.check_cancelled()?;
        if !self.lock().is_empty() && !request.replace {
            return Err(Error::new(ErrorKind::AlreadyExists, "the target exists"));
        }
        let expected = request.streams.iter().map(|s| (s.info.name.clone(), s.end)).collect();
        Ok(Box::new(MemoryRestore { source: self.clone(), expected, fresh: Mutex::default() }))
    }
}

#[derive(Debug)]
struct MemoryDump {
    source: MemorySource,
    outline: Outline,
    data: Vec<(String, Bytes)>,
    opened: Mutex<BTreeSet<StreamId>>,
    ended: Arc<Mutex<BTreeMap<StreamId, StreamEnd>>>,
}

#[async_trait]
impl Dump for MemoryDump {
    fn outline(&self) -> &Outline {
        &self.outline
    }

    async fn open(&self, stream: StreamId) -> Result<Stream> {
        let missing = || Error::new(ErrorKind::NotFound, "no such stream");
        let (_, bytes) = self.data.get(stream.0 as usize).ok_or_else(missing)?;
        if !self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(stream) {
            return Err(Error::new(ErrorKind::Internal, "a stream is opened once"));
        }
        let info = self.outline.streams[stream.0 as usize].clone();
        *self.source.opened.lock().unwrap_or_else(PoisonError::into_inner).entry(info.name.clone()).or_default() += 1;
        let end = StreamEnd { length: bytes.len() as u64, digest: crate::Digest::of(bytes), rows: None };
        let (piece, pause, ended) = (self.source.piece, self.source.pause, self.ended.clone());
        let body = futures::stream::try_unfold(Some(bytes.clone()), move |rest| {
            let ended = ended.clone();
            async move {
                let Some(mut rest) = rest else { return Ok(None) };
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                if rest.is_empty() {
                    ended.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, end);
                    return Ok(Some((Piece::End(end), None)));
                }
                let next = rest.split_to(piece.min(rest.len()));
                Ok(Some((Piece::Data(next), Some(rest))))
            }
        });
        Ok(Stream::new(info, body))
    }

    async fn finish(self: Box<Self>) -> Result<Checkpoint> {
        let streams = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if streams.len() != self.outline.streams.iter().filter(|s| !s.unchanged).count() {
            return Err(Error::new(ErrorKind::Io, "not every stream was read to its end"));
        }
        Ok(Checkpoint { streams, ..Checkpoint::default() })
    }

    async fn abort(self: Box<Self>) {}
}

#[derive(Debug)]
struct MemoryRestore {
    source: MemorySource,
    expected: BTreeMap<String, StreamEnd>,
    fresh: Mutex<Data>,
}

#[async_trait]
impl Restore for MemoryRestore {
    async fn write(&self, stream: Stream) -> Result<()> {
        let name = stream.info().name.clone();
        let (bytes, end) = stream.collect().await?;
        if self.expected.get(&name) != Some(&end) {
            return Err(Error::new(ErrorKind::Corrupt, "a stream and its end mark differ").with("stream", name));
        }
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(name, bytes.into());
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<RestoreOutcome> {
        let fresh = self.fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !fresh.keys().eq(self.expected.keys()) {
            return Err(Error::new(ErrorKind::Io, "not every stream was written"));
        }
        let created = fresh.keys().cloned().collect();
        *self.source.lock() = fresh;
        Ok(RestoreOutcome { created, ..RestoreOutcome::default() })
    }

    async fn abort(self: Box<Self>) {}
}
