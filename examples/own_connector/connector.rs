//! The connector: what the directory is, what it can do, how a dump and a restore begin.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use async_trait::async_trait;
use kronos_core::{
    Capabilities, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine, Error,
    ErrorKind, Fingerprint, Restore, RestoreRequest, Result, RunContext, SourceSettings, TargetReport,
};

use crate::dump::JsonDump;
use crate::restore::JsonRestore;

/// The engine's name. It is kept in every backup, so that no other engine restores it.
pub(crate) fn engine() -> Engine {
    Engine::new("json-files").expect("lower-case letters and a dash")
}

/// The JSON files of one directory, as a source or as a target.
#[derive(Debug, Clone)]
pub(crate) struct JsonFiles {
    directory: PathBuf,
}

impl JsonFiles {
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// For the registry: `host` is the directory. What is not understood is refused, never passed over.
    pub(crate) fn from_settings(settings: &SourceSettings) -> Result<Self> {
        match (&settings.host, settings.databases.is_empty(), settings.options.is_empty()) {
            (Some(directory), true, true) => Ok(Self::new(directory)),
            _ => Err(Error::new(ErrorKind::Config, "JSON files need a directory as host and nothing else")),
        }
    }

    async fn look(&self) -> Result<BTreeMap<String, Seen>> {
        let directory = self.directory.clone();
        blocking(move || look(&directory, &[])).await
    }

    /// The files that a restore would push aside. A target that is not there is an empty one.
    async fn existing(&self) -> Result<Vec<String>> {
        match self.look().await {
            Ok(files) => Ok(files.into_keys().collect()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }
}

#[async_trait]
impl Connector for JsonFiles {
    fn engine(&self) -> Engine {
        engine()
    }

    fn describe(&self) -> String {
        format!("json-files:{}", self.directory.display())
    }

    fn default_job(&self) -> String {
        self.directory.file_name().map_or_else(|| "json".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    fn capabilities(&self) -> Capabilities {
        // No increments: that a file's time is the same is no proof that its content is. What did
        // not change is read again, but not stored again.
        Capabilities::new().with_parallel()
    }

    fn validate(&self) -> Result<()> {
        if self.directory.file_name().is_none() {
            return Err(Error::new(ErrorKind::Config, "not the path of a directory that can be replaced"));
        }
        Ok(())
    }

    async fn fingerprint(&self) -> Result<Fingerprint> {
        let path = std::path::absolute(&self.directory).map_err(|e| failed(e, &self.directory))?;
        // Other machines have the same paths. A connector for more than one machine adds its name.
        Ok(Fingerprint { engine: engine(), identities: BTreeSet::from([format!("path:{}", path.display())]) })
    }

    async fn test_connection(&self) -> Result<ConnectionReport> {
        let (begun, found) = (Instant::now(), self.look().await);
        let status = match &found {
            Ok(_) => ConnectionStatus::Connected,
            Err(e) if e.kind() == ErrorKind::NotFound => ConnectionStatus::Disconnected,
            Err(_) => ConnectionStatus::Error,
        };
        let (version, message) = (Some("RFC 8259".to_owned()), found.err().map(|e| e.to_string()));
        Ok(ConnectionReport { status, version, latency: begun.elapsed(), missing: Vec::new(), message })
    }

    async fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        Ok(vec![DatabaseInfo { name: self.default_job(), size: self.estimate_size().await?, schema_version: None }])
    }

    async fn estimate_size(&self) -> Result<u64> {
        Ok(self.look().await?.values().map(|seen| seen.size).sum())
    }

    async fn begin_dump(&self, request: &DumpRequest, run: &RunContext) -> Result<Box<dyn Dump>> {
        run.check_cancelled()?;
        Ok(Box::new(JsonDump::begin(&self.directory, &request.exclude, run).await?))
    }

    async fn inspect_target(&self, request: &RestoreRequest) -> Result<TargetReport> {
        let needed = request.streams.iter().map(|stream| stream.end.length).sum();
        Ok(TargetReport { existing: self.existing().await?, needed, ..TargetReport::default() })
    }

    async fn begin_restore(&self, request: &RestoreRequest, run: &RunContext) -> Result<Box<dyn Restore>> {
        run.check_cancelled()?;
        if !request.replace && !self.existing().await?.is_empty() {
            return Err(Error::new(ErrorKind::AlreadyExists, "the directory has files").with("target", self.describe()));
        }
        Ok(Box::new(JsonRestore::begin(&self.directory, request, run).await?))
    }
}

/// A file as a listing shows it. Another inode is another file; another size or time, other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    inode: u64,
    pub(crate) size: u64,
    modified: (i64, i64),
}

impl Seen {
    pub(crate) fn of(meta: &std::fs::Metadata) -> Self {
        Self { inode: meta.ino(), size: meta.size(), modified: (meta.mtime(), meta.mtime_nsec()) }
    }
}

/// The JSON files of a directory, but those left out.
pub(crate) fn look(directory: &Path, exclude: &[String]) -> Result<BTreeMap<String, Seen>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).map_err(|e| failed(e, directory))? {
        let entry = entry.map_err(|e| failed(e, directory))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| plain(name).is_ok()) else { continue };
        if !exclude.iter().any(|pattern| kronos_core::matches(pattern, name)) {
            found.insert(name.to_owned(), Seen::of(&entry.metadata().map_err(|e| failed(e, directory))?));
        }
    }
    Ok(found)
}

/// Checks the name of a file. It may come from a backup that someone forged, and must not lead out
/// of the directory.
pub(crate) fn plain(name: &str) -> Result<&str> {
    let is_json = name.strip_suffix(".json").is_some_and(|stem| !stem.is_empty());
    let good = is_json && !name.starts_with('.') && !name.contains(['/', '\0']);
    if good { Ok(name) } else { Err(Error::new(ErrorKind::Corrupt, "not the name of a JSON file").with("file", name)) }
}

/// An error of the operating system, as the kind on which callers branch.
pub(crate) fn failed(error: io::Error, path: &Path) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Io,
    };
    Error::new(kind, "reading or writing a file failed").with("path", path.display()).with_source(error)
}

/// Runs what may wait for a disk on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::new(ErrorKind::Internal, "a worker thread failed").with_source(e))?
}
