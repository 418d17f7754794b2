//! The mock database: its state, and what a connector can do with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kronos_core::{
    Capabilities, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine, Error,
    ErrorKind, Fingerprint, Outline, Restore, RestoreRequest, Result, RunContext, SourceSettings, StreamEnd,
    StreamInfo, TargetReport, matches,
};

use super::dump::MockDump;
use super::fault::{Fault, Script, failure};
use super::recipe::Recipe;
use super::restore::MockRestore;
use super::settings::MockSettings;
use super::{engine, spelling};

/// A made-up database, as a source and as a target. Clones are the same database.
#[derive(Debug, Clone)]
pub struct MockSource(Arc<Database>);

#[derive(Debug)]
struct Database {
    settings: MockSettings,
    streams: Mutex<BTreeMap<String, Recipe>>,
    script: Script,
}

impl MockSource {
    /// Makes one. `Config` when the settings make no sense.
    pub fn new(settings: MockSettings) -> Result<Self> {
        settings.validate()?;
        let streams = Mutex::new(settings.recipes().collect());
        Ok(Self(Arc::new(Database { settings, streams, script: Script::default() })))
    }

    /// Reads general settings: `host` is the name. Options: `size`, `streams`, `seed`, `change`,
    /// `pages`, `version`, `pause`, `proofs`; `fail` (such as `read:1MB:timeout`) and `times`.
    pub fn from_source(settings: &SourceSettings) -> Result<Self> {
        let (settings, planned) = spelling::read(settings)?;
        let source = Self::new(settings)?;
        if let Some((fault, times)) = planned {
            source.0.script.add(fault, times);
        }
        Ok(source)
    }

    /// Changes the share of the data that the settings name. Dumps that have begun keep what they see.
    pub fn advance(&self) {
        self.streams().values_mut().for_each(|recipe| recipe.version += 1);
    }

    /// How many bytes lie in the pages or pieces that the last [`advance`](Self::advance) changed.
    pub fn changed_bytes(&self) -> u64 {
        self.streams().values().map(Recipe::changed_bytes).sum()
    }

    /// What it holds: length and digest of each stream by its name. Makes every byte for it.
    pub fn contents(&self) -> BTreeMap<String, StreamEnd> {
        let streams = self.streams().clone();
        streams.into_iter().map(|(name, recipe)| (name, recipe.end())).collect()
    }

    /// From now on this goes wrong, each time.
    pub fn fail(&self, fault: Fault) {
        self.0.script.add(fault, None);
    }

    /// The next so many times this goes wrong.
    pub fn fail_times(&self, fault: Fault, times: u32) {
        self.0.script.add(fault, Some(times));
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.0.script.clear();
    }

    pub(super) fn pause(&self) -> Duration {
        self.0.settings.pause
    }

    pub(super) fn streams(&self) -> MutexGuard<'_, BTreeMap<String, Recipe>> {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults of an attempt, or that it cannot even begin.
    fn connect(&self, concerned: impl Fn(&Fault) -> bool) -> Result<Vec<Fault>> {
        match self.0.script.draw(|fault| matches!(fault, Fault::Connect(_))).first() {
            Some(Fault::Connect(kind)) => {
                Err(failure(*kind, "the mock does not let anyone in").with("mock", &self.0.settings.name))
            }
            _ => Ok(self.0.script.draw(concerned)),
        }
    }

    fn existing(&self, request: &RestoreRequest) -> Vec<String> {
        let streams = self.streams();
        let wanted = request.streams.iter().map(|stream| stream.info.name.clone());
        wanted.filter(|name| streams.contains_key(name)).collect()
    }
}

#[async_trait]
impl Connector for MockSource {
    fn engine(&self) -> Engine {
        engine()
    }

    fn describe(&self) -> String {
        format!("mock:{}", self.0.settings.name)
    }

    fn default_job(&self) -> String {
        self.0.settings.name.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_increments().with_parallel()
    }

    fn validate(&self) -> Result<()> {
        self.0.settings.validate()
    }

    async fn fingerprint(&self) -> Result<Fingerprint> {
        let identity = format!("name:{}", self.0.settings.name);
        Ok(Fingerprint { engine: engine(), identities: BTreeSet::from([identity]) })
    }

    async fn test_connection(&self) -> Result<ConnectionReport> {
        let begun = Instant::now();
        let refused = self.0.script.peek(|fault| match fault {
            Fault::Connect(kind) => Some(*kind),
            _ => None,
        });
        let (status, version) = match refused {
            None => (ConnectionStatus::Connected, Some("1".to_owned())),
            Some(ErrorKind::ConnectionFailed | ErrorKind::Timeout) => (ConnectionStatus::Disconnected, None),
            Some(_) => (ConnectionStatus::Error, None),
        };
        let message = refused.map(|kind| failure(kind, "the mock does not let anyone in").to_string());
        Ok(ConnectionReport { status, version, latency: begun.elapsed(), missing: Vec::new(), message })
    }

    async fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        let size = self.estimate_size().await?;
        Ok(vec![DatabaseInfo { name: self.0.settings.name.clone(), size, schema_version: None }])
    }

    async fn estimate_size(&self) -> Result<u64> {
        Ok(self.streams().values().map(|recipe| recipe.length).sum())
    }

    async fn begin_dump(&self, request: &DumpRequest, run: &RunContext) -> Result<Box<dyn Dump>> {
        run.check_cancelled()?;
        let faults = self.connect(Fault::concerns_dumps)?;
        let left_out = |name: &str| request.exclude.iter().any(|pattern| matches(pattern, name));
        let held: Vec<_> = self.streams().clone().into_iter().filter(|(name, _)| !left_out(name)).collect();
        let info = |(name, recipe): &(String, Recipe)| {
            let attributes = recipe.attributes();
            let before = request.previous.as_ref().and_then(|previous| previous.streams.get(name));
            StreamInfo {
                cutting: self.0.settings.cutting,
                size_hint: Some(recipe.length),
                // The bytes follow from the attributes alone: these are proof enough.
                unchanged: self.0.settings.proofs && before.is_some_and(|s| s.info.attributes == attributes),
                attributes,
                ..StreamInfo::new(name)
            }
        };
        let outline = Outline {
            streams: held.iter().map(info).collect(),
            server_version: Some("1".to_owned()),
            ..Outline::default()
        };
        let recipes = held.into_iter().map(|(_, recipe)| recipe).collect();
        Ok(Box::new(MockDump::new(outline, recipes, faults, self.pause(), run)))
    }

    async fn inspect_target(&self, request: &RestoreRequest) -> Result<TargetReport> {
        let needed = request.streams.iter().map(|stream| stream.end.length).sum();
        Ok(TargetReport { existing: self.existing(request), needed, ..TargetReport::default() })
    }

    async fn begin_restore(&self, request: &RestoreRequest, run: &RunContext) -> Result<Box<dyn Restore>> {
        run.check_cancelled()?;
        let faults = self.connect(Fault::concerns_restores)?;
        if let Some(name) = self.existing(request).first().filter(|_| !request.replace) {
            return Err(Error::new(ErrorKind::AlreadyExists, "the target has such a stream").with("stream", name));
        }
        Ok(Box::new(MockRestore::new(self.clone(), request, faults, run)))
    }
}
