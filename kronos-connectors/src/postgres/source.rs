//! The connector: what the engine asks of a source, answered for a PostgreSQL server.

use std::collections::BTreeSet;
use std::time::Instant;

use async_trait::async_trait;
use kronos_core::{
    Capabilities, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine, Error,
    ErrorKind, Fingerprint, Preflight, Restore, RestoreRequest, Result, RunContext, SourceSettings, TargetReport,
};

use super::catalog;
use super::connect::shown as version_shown;
use super::dump::PostgresDump;
use super::names::shown;
use super::preflight::preflight;
use super::restore::PostgresRestore;
use super::settings::PostgresSettings;
use super::target;

/// Databases of one PostgreSQL server: one backup.
#[derive(Debug, Clone)]
pub struct PostgresSource {
    settings: PostgresSettings,
}

impl PostgresSource {
    /// Makes a source, or the target of a restore; connects to nothing.
    pub fn new(settings: PostgresSettings) -> Result<Self> {
        settings.validate()?;
        Ok(Self { settings })
    }

    /// The same from general settings; see [`PostgresSettings::from_source`].
    pub fn from_source(settings: &SourceSettings) -> Result<Self> {
        Self::new(PostgresSettings::from_source(settings)?)
    }

    /// Looks into the server, by connections of its own.
    #[cfg(feature = "inspect")]
    pub fn database(&self, pool: kronos_core::inspect::PoolSettings) -> Result<super::PostgresDatabase> {
        Ok(super::PostgresDatabase::of(self.server()?.clone(), pool))
    }

    /// A source of settings that were checked.
    #[cfg(feature = "inspect")]
    pub(super) fn of(settings: &PostgresSettings) -> Self {
        Self { settings: settings.clone() }
    }

    /// Only a server can be read.
    fn server(&self) -> Result<&PostgresSettings> {
        match self.settings.export {
            None => Ok(&self.settings),
            Some(_) => Err(Error::new(ErrorKind::Config, "a directory of exported files is no source")),
        }
    }
}

#[async_trait]
impl Connector for PostgresSource {
    fn engine(&self) -> Engine {
        Engine::POSTGRES
    }

    fn describe(&self) -> String {
        let settings = &self.settings;
        if let Some(directory) = &settings.export {
            return directory.display().to_string();
        }
        let place = format!("postgres://{}@{}", settings.user, settings.address());
        match settings.databases.as_slice() {
            [] => place,
            [one] => format!("{place}/{one}"),
            several => format!("{place} ({})", several.join(", ")),
        }
    }

    fn default_job(&self) -> String {
        match self.settings.databases.as_slice() {
            [one] => one.clone(),
            _ => self.settings.place().trim_matches('/').to_owned(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_increments().with_parallel()
    }

    fn validate(&self) -> Result<()> {
        self.settings.validate()
    }

    async fn fingerprint(&self) -> Result<Fingerprint> {
        let settings = self.server()?;
        let mut identities = BTreeSet::new();
        let named: Vec<Option<&String>> = match settings.databases.as_slice() {
            [] => vec![None],
            several => several.iter().map(Some).collect(),
        };
        for database in named {
            let mut session = settings.open(database.unwrap_or(&settings.maintenance_database)).await?;
            let (system, oid): (i64, i64) = session
                .row(
                    "ask who the server is",
                    "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
                        (SELECT oid::int8 FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
                )
                .await?;
            session.close().await;
            identities.insert(match database {
                None => format!("server:{system}"),
                Some(name) => format!("database:{system}:{name}"),
            });
            // A database that was renamed is still the same.
            if database.is_some() {
                identities.insert(format!("oid:{system}:{oid}"));
            }
        }
        Ok(Fingerprint { engine: Engine::POSTGRES, identities })
    }

    async fn test_connection(&self) -> Result<ConnectionReport> {
        let settings = self.server()?;
        let begun = Instant::now();
        let mut report = ConnectionReport {
            status: ConnectionStatus::Connected,
            version: None,
            latency: begun.elapsed(),
            missing: Vec::new(),
            message: None,
        };
        let database = settings.databases.first().unwrap_or(&settings.maintenance_database);
        match settings.open(database).await {
            Ok(session) => {
                report.latency = begun.elapsed();
                report.version = Some(version_shown(session.version));
                session.close().await;
            }
            Err(error) => {
                report.latency = begun.elapsed();
                report.status = match error.kind() {
                    ErrorKind::ConnectionFailed | ErrorKind::Timeout => ConnectionStatus::Disconnected,
                    _ => ConnectionStatus::Error,
                };
                report.message = Some(error.to_string());
            }
        }
        Ok(report)
    }

    async fn preflight(&self) -> Result<Preflight> {
        preflight(self.server()?).await
    }

    async fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        let settings = self.server()?;
        let (chosen, _) = settings.chosen().await?;
        // Of all databases the first may be gone by now.
        let known = if settings.databases.is_empty() { &settings.maintenance_database } else { &chosen[0] };
        let mut session = settings.open(known).await?;
        let found = catalog::databases(&mut session).await?;
        session.close().await;
        let info = |name: &String| {
            let row = found.iter().find(|row| row.name == *name);
            let row = row.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "the server has no such database").with("database", shown(name))
            })?;
            let size = row.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            Ok(DatabaseInfo { name: name.clone(), size, schema_version: None })
        };
        chosen.iter().map(info).collect()
    }

    async fn estimate_size(&self) -> Result<u64> {
        Ok(self.databases().await?.iter().map(|database| database.size).sum())
    }

    async fn begin_dump(&self, request: &DumpRequest, run: &RunContext) -> Result<Box<dyn Dump>> {
        Ok(Box::new(PostgresDump::begin(self.server()?, request, run).await?))
    }

    async fn inspect_target(&self, request: &RestoreRequest) -> Result<TargetReport> {
        target::inspect(&self.settings, request).await
    }

    async fn begin_restore(&self, request: &RestoreRequest, run: &RunContext) -> Result<Box<dyn Restore>> {
        PostgresRestore::begin(&self.settings, request, run).await
    }
}
