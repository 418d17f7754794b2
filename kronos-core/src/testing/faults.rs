//! A storage that fails on purpose: lost requests and answers, late effects, torn writes, bad
//! listings, latency and crashes, all from one seed.
//!
//! Under a current-thread runtime with paused time, one seed and one plan give one history.

mod listing;
mod plan;
mod state;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

pub use plan::FaultPlan;
use state::{Effect, Fate, Kind, Operation, State};
use upload::FaultUpload;

use crate::error::{Error, ErrorKind, Result, Retry};
use crate::storage::{Atomicity, Key, ObjectMeta, PutOutcome, Storage, StorageExt, Upload};
use crate::time::Timestamp;

/// Wraps a storage and makes it fail as a [`FaultPlan`] says. A clone is the same client.
///
/// One of these stands for one client process: after its crash, a new one over the same inner
/// storage is the restarted process. Every injected error has `Retry::Later`.
#[derive(Clone)]
pub struct FaultStorage {
    inner: Arc<dyn Storage>,
    state: Arc<Mutex<State>>,
    crash: CancellationToken,
}

/// How long a stalled client sleeps, in virtual time.
const STALL: Duration = Duration::from_mins(1);

impl FaultStorage {
    /// Wraps a storage.
    pub fn new(inner: Arc<dyn Storage>, seed: u64, plan: FaultPlan) -> Self {
        Self { inner, state: Arc::new(Mutex::new(State::new(seed, plan))), crash: CancellationToken::new() }
    }

    /// Changes the plan from the next operation on.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.lock().plan = plan;
    }

    /// Turns all faults off and makes every object readable. Late effects still come; a client
    /// that has crashed stays dead.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.plan = FaultPlan::default();
        state.unreadable.clear();
    }

    /// Lets every late effect happen now.
    pub async fn settle(&self) {
        self.apply_late(true).await;
    }

    /// Makes every read of an object fail until [`heal`](Self::heal).
    pub fn make_unreadable(&self, key: &Key) {
        self.lock().unreadable.insert(key.clone());
    }

    /// Returns once the client has crashed. A harness runs the client's work beside this and
    /// drops it, because the operation at which it crashed never returns.
    pub async fn crashed(&self) {
        self.crash.cancelled().await;
    }

    /// Whether the client has crashed.
    pub fn is_crashed(&self) -> bool {
        self.crash.is_cancelled()
    }

    /// How many operations were begun.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// How often each fault was injected, by its name.
    pub fn injected(&self) -> BTreeMap<&'static str, u64> {
        self.lock().injected.clone()
    }

    /// How many effects are still to come.
    pub fn late_effects(&self) -> usize {
        self.lock().late_effects()
    }

    /// The last operations, one line each, to be shown when a test fails.
    pub fn log(&self) -> Vec<String> {
        self.lock().lines()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an operation: late effects that are due come first, then its fate is drawn.
    async fn begin(&self, name: &'static str, kind: Kind, object: Option<&Key>) -> Result<Operation> {
        self.stop_if_crashed().await;
        self.apply_late(false).await;
        self.remember_listing().await?;
        let (operation, stalls) = {
            let mut state = self.lock();
            let operation = state.begin(name, kind, object);
            let stalls = state.plan.stall_at == Some(operation.number);
            (operation, stalls)
        };
        if stalls {
            tokio::time::sleep(STALL).await;
        }
        Ok(operation)
    }

    async fn run<T: Answer>(
        &self,
        operation: Operation,
        object: impl fmt::Display,
        effect: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        self.pause().await;
        let answer = match operation.fate {
            Fate::ErrorBefore | Fate::Late { .. } | Fate::Torn => Err(self.fault(&object)),
            Fate::Well => effect.await,
            Fate::ErrorAfter => match effect.await {
                Ok(_) => Err(self.fault(&object)),
                Err(e) => Err(e),
            },
            Fate::Crash { effect: happens, .. } => {
                if happens {
                    // Nobody is left to hear how it went.
                    let _ = effect.await;
                }
                self.lock().end(operation.number, if happens { "crash after" } else { "crash before" });
                self.crash.cancel();
                std::future::pending().await
            }
        };
        self.pause().await;
        let outcome = match &answer {
            Ok(value) => value.shown(),
            Err(e) => format!("{} ({:?})", e.kind().name(), operation.fate),
        };
        self.lock().end(operation.number, outcome);
        answer
    }

    async fn pause(&self) {
        let pause = {
            let mut state = self.lock();
            let longest = state.plan.latency;
            if longest == 0 { 0 } else { state.prng.below(longest + 1) }
        };
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.stop_if_crashed().await;
    }

    async fn stop_if_crashed(&self) {
        if self.crash.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }

    async fn apply_late(&self, all: bool) {
        let effects = self.lock().take_late(all);
        for effect in effects {
            // The caller was told of a failure long ago; if it now does fail, so be it.
            let _ = match effect {
                Effect::Put(key, bytes) => self.inner.put(&key, bytes).await,
                Effect::PutIfAbsent(key, bytes) => self.inner.put_if_absent(&key, bytes).await.map(drop),
                Effect::Delete(keys) => self.inner.delete(&keys).await,
            };
        }
    }

    /// Keeps a listing of now and then, for stale ones later.
    async fn remember_listing(&self) -> Result<()> {
        let wanted = {
            let mut state = self.lock();
            state.plan.stale_list > 0.0 && (state.past_listings.is_empty() || state.prng.chance(0.125))
        };
        if wanted {
            let all = self.inner.list_all(None).await?;
            self.lock().remember_listing(all);
        }
        Ok(())
    }

    /// Leaves the first part of an object behind, unless one of its name exists.
    async fn tear(&self, key: &Key, bytes: &[u8]) {
        let length = self.lock().prng.index(bytes.len());
        // A failure leaves nothing behind, which is a torn write as well.
        let _ = self.inner.put_if_absent(key, Bytes::copy_from_slice(&bytes[..length])).await;
    }

    fn fault(&self, object: &impl fmt::Display) -> Error {
        let (kind, message) = if self.lock().prng.chance(0.5) {
            (ErrorKind::ConnectionFailed, "injected: the connection broke")
        } else {
            (ErrorKind::Timeout, "injected: no answer in time")
        };
        Error::new(kind, message).with_retry(Retry::Later).with("object", object)
    }

    async fn read<T: Answer>(
        &self,
        name: &'static str,
        key: &Key,
        effect: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let operation = self.begin(name, Kind::Other, Some(key)).await?;
        let unreadable = self.lock().unreadable.contains(key);
        let effect = async {
            if unreadable {
                self.lock().count("unreadable");
                return Err(self.fault(key));
            }
            effect.await
        };
        self.run(operation, key, effect).await
    }
}

impl fmt::Debug for FaultStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStorage")
            .field("inner", &self.inner)
            .field("operations", &self.operations())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Storage for FaultStorage {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn atomicity(&self) -> Atomicity {
        self.inner.atomicity()
    }

    fn notices(&self) -> Vec<String> {
        self.inner.notices()
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        let operation = self.begin("put", Kind::Put, Some(key)).await?;
        match operation.fate {
            Fate::Late { due } => self.lock().postpone(due, Effect::Put(key.clone(), bytes.clone())),
            Fate::Torn | Fate::Crash { torn: true, .. } => self.tear(key, &bytes).await,
            _ => {}
        }
        self.run(operation, key, self.inner.put(key, bytes)).await
    }

    async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<PutOutcome> {
        let operation = self.begin("put_if_absent", Kind::PutIfAbsent, Some(key)).await?;
        if let Fate::Late { due } = operation.fate {
            self.lock().postpone(due, Effect::PutIfAbsent(key.clone(), bytes.clone()));
        }
        self.run(operation, key, self.inner.put_if_absent(key, bytes)).await
    }

    async fn begin_upload(&self, key: &Key) -> Result<Box<dyn Upload>> {
        let operation = self.begin("begin_upload", Kind::Other, Some(key)).await?;
        let inner = self.run(operation, key, self.inner.begin_upload(key)).await?;
        Ok(Box::new(FaultUpload { storage: self.clone(), key: key.clone(), inner, written: Vec::new(), ended: false }))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.read("get", key, self.inner.get(key)).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        self.read("get_range", key, self.inner.get_range(key, range)).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        self.read("head", key, self.inner.head(key)).await
    }

    async fn list(&self, prefix: Option<&Key>, after: Option<&Key>) -> Result<Vec<ObjectMeta>> {
        let operation = self.begin("list", Kind::Other, prefix).await?;
        let effect = async {
            let page = self.inner.list(prefix, after).await?;
            Ok(listing::spoil(&mut self.lock(), prefix, after, page))
        };
        self.run(operation, prefix.map_or("", Key::as_str), effect).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<()> {
        let operation = self.begin("delete", Kind::Delete, keys.first()).await?;
        match operation.fate {
            Fate::Late { due } => self.lock().postpone(due, Effect::Delete(keys.to_vec())),
            // Some of several are gone.
            Fate::ErrorBefore | Fate::Crash { effect: false, .. } if keys.len() > 1 => {
                let some = self.lock().prng.index(keys.len());
                let _ = self.inner.delete(&keys[..some]).await;
            }
            _ => {}
        }
        self.run(operation, keys.first().map_or("", Key::as_str), self.inner.delete(keys)).await
    }

    async fn remove_leftovers(&self, before: Timestamp) -> Result<u64> {
        let operation = self.begin("remove_leftovers", Kind::Other, None).await?;
        self.run(operation, "", self.inner.remove_leftovers(before)).await
    }

    async fn free_space(&self) -> Result<Option<u64>> {
        let operation = self.begin("free_space", Kind::Other, None).await?;
        self.run(operation, "", self.inner.free_space()).await
    }
}

/// What the log shows of an answer.
trait Answer: Send {
    fn shown(&self) -> String {
        "ok".to_owned()
    }
}

impl Answer for () {}
impl Answer for u64 {}
impl Answer for Option<u64> {}
impl Answer for Box<dyn Upload> {}

impl Answer for PutOutcome {
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Answer for Bytes {
    fn shown(&self) -> String {
        format!("{} bytes", self.len())
    }
}

impl Answer for ObjectMeta {
    fn shown(&self) -> String {
        format!("{} bytes", self.size)
    }
}

impl Answer for Vec<ObjectMeta> {
    fn shown(&self) -> String {
        format!("{} objects", self.len())
    }
}
