//! The connector: what the engine asks of a source, answered for SQLite files.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use async_trait::async_trait;
use kronos_core::{
    Capabilities, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine, ErrorKind,
    Fingerprint, Restore, RestoreRequest, Result, RunContext, SourceSettings, TargetReport,
};

use super::dump::SqliteDump;
use super::error;
use super::open::Database;
use super::restore::SqliteRestore;
use super::settings::{SqlitePlace, SqliteSettings};
use super::target::Target;

/// One or several SQLite files: one backup, one stream a file.
///
/// The bytes of a stream are the pages 2 to N of the file, and page 1 at last: a file that was
/// restored half way has no header and is no database. An empty file is an empty stream.
#[derive(Debug, Clone)]
pub struct SqliteSource {
    settings: SqliteSettings,
}

impl SqliteSource {
    /// Makes a source, or the target of a restore; touches no file.
    pub fn new(settings: SqliteSettings) -> Result<Self> {
        settings.validate()?;
        Ok(Self { settings })
    }

    /// The same from general settings; see [`SqliteSettings::from_source`].
    pub fn from_source(settings: &SourceSettings) -> Result<Self> {
        Self::new(SqliteSettings::from_source(settings)?)
    }

    /// Runs blocking work with the settings.
    /// Looks into the files, by connections of its own.
    #[cfg(feature = "inspect")]
    pub fn database(&self, pool: kronos_core::inspect::PoolSettings) -> super::SqliteDatabase {
        super::SqliteDatabase::of(self.settings.clone(), pool)
    }

    /// A source of settings that were checked.
    #[cfg(feature = "inspect")]
    pub(super) fn of(settings: &SqliteSettings) -> Self {
        Self { settings: settings.clone() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SqliteSettings) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let settings = self.settings.clone();
        tokio::task::spawn_blocking(move || work(&settings))
            .await
            .map_err(|e| error::internal("work on SQLite files panicked").with_source(e))?
    }
}

#[async_trait]
impl Connector for SqliteSource {
    fn engine(&self) -> Engine {
        Engine::SQLITE
    }

    fn describe(&self) -> String {
        match &self.settings.place {
            SqlitePlace::File(path) => format!("sqlite:{}", path.display()),
            SqlitePlace::Directory { path, files } if files.is_empty() => format!("sqlite:{}", path.display()),
            SqlitePlace::Directory { path, files } => format!("sqlite:{} ({})", path.display(), files.join(", ")),
        }
    }

    fn default_job(&self) -> String {
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        match &self.settings.place {
            SqlitePlace::File(path) => stem(path),
            SqlitePlace::Directory { files, .. } if files.len() == 1 => stem(Path::new(&files[0])),
            SqlitePlace::Directory { path, .. } => path.file_name().map(|name| name.to_string_lossy().into_owned()),
        }
        .unwrap_or_else(|| "sqlite".to_owned())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_increments().with_parallel()
    }

    fn validate(&self) -> Result<()> {
        self.settings.validate()
    }

    async fn fingerprint(&self) -> Result<Fingerprint> {
        self.blocking(|settings| Ok(Fingerprint { engine: Engine::SQLITE, identities: identities(settings)? })).await
    }

    async fn test_connection(&self) -> Result<ConnectionReport> {
        self.blocking(|settings| Ok(test(settings))).await
    }

    async fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        self.blocking(databases).await
    }

    async fn estimate_size(&self) -> Result<u64> {
        self.blocking(|settings| Ok(databases(settings)?.iter().map(|database| database.size).sum())).await
    }

    async fn begin_dump(&self, request: &DumpRequest, run: &RunContext) -> Result<Box<dyn Dump>> {
        Ok(Box::new(SqliteDump::begin(&self.settings, request, run).await?))
    }

    async fn inspect_target(&self, request: &RestoreRequest) -> Result<TargetReport> {
        let request = request.clone();
        self.blocking(move |settings| Ok(Target::plan(settings, &request)?.report(request.replace))).await
    }

    async fn begin_restore(&self, request: &RestoreRequest, run: &RunContext) -> Result<Box<dyn Restore>> {
        Ok(Box::new(SqliteRestore::begin(&self.settings, request, run).await?))
    }
}

fn databases(settings: &SqliteSettings) -> Result<Vec<DatabaseInfo>> {
    let mut found = Vec::new();
    for (name, path) in settings.source_files()? {
        let database = Database::open(&path)?;
        database.begin()?;
        let size = u64::from(database.pragma::<u32>("page_size")?) * u64::from(database.pragma::<u32>("page_count")?);
        let schema_version = Some(database.pragma::<i64>("user_version")?.to_string());
        found.push(DatabaseInfo { name, size, schema_version });
    }
    Ok(found)
}

fn test(settings: &SqliteSettings) -> ConnectionReport {
    let begun = Instant::now();
    let mut report = ConnectionReport {
        status: ConnectionStatus::Connected,
        version: Some(rusqlite::version().to_owned()),
        latency: begun.elapsed(),
        missing: Vec::new(),
        message: None,
    };
    if let Err(failure) = databases(settings) {
        report.status = match failure.kind() {
            ErrorKind::NotFound => ConnectionStatus::Disconnected,
            _ => ConnectionStatus::Error,
        };
        if failure.kind() == ErrorKind::PermissionDenied {
            let path = failure.context("path").unwrap_or("the database");
            report.missing.push(format!("read {path}, and write beside it if it is in WAL mode"));
        }
        report.message = Some(failure.to_string());
    }
    report.latency = begun.elapsed();
    report
}

/// Path and inode of each file: a moved file keeps its inode, one restored in place its path, and
/// a source to which a file is added keeps the others.
fn identities(settings: &SqliteSettings) -> Result<BTreeSet<String>> {
    let machine = &settings.machine;
    let mut identities = BTreeSet::new();
    for (_, path) in settings.source_files()? {
        let failed = |e| error::io(e, &path);
        let canonical = std::fs::canonicalize(&path).map_err(failed)?;
        let found = std::fs::metadata(&canonical).map_err(failed)?;
        identities.insert(format!("path:{machine}:{}", canonical.display()));
        identities.insert(format!("inode:{machine}:{}:{}", found.dev(), found.ino()));
    }
    Ok(identities)
}
