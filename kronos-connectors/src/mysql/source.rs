//! The connector: what the engine asks of a source, answered for a MySQL or MariaDB server.

use std::collections::BTreeSet;
use std::time::Instant;

use async_trait::async_trait;
use kronos_core::{
    Capabilities, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine, Error,
    ErrorKind, Fingerprint, Preflight, Restore, RestoreRequest, Result, RunContext, SourceSettings, TargetReport,
};

use super::catalog;
use super::connect::Session;
use super::dump::MysqlDump;
use super::names::shown;
use super::preflight::preflight;
use super::restore::MysqlRestore;
use super::settings::MysqlSettings;
use super::target;

/// Databases of one MySQL or MariaDB server: one backup.
#[derive(Debug, Clone)]
pub struct MysqlSource {
    settings: MysqlSettings,
}

impl MysqlSource {
    /// Makes a source, or the target of a restore; connects to nothing.
    pub fn new(settings: MysqlSettings) -> Result<Self> {
        settings.validate()?;
        Ok(Self { settings })
    }

    /// The same from general settings; see [`MysqlSettings::from_source`].
    pub fn from_source(settings: &SourceSettings) -> Result<Self> {
        Self::new(MysqlSettings::from_source(settings)?)
    }

    /// Looks into the server, by connections of its own.
    #[cfg(feature = "inspect")]
    pub fn database(&self, pool: kronos_core::inspect::PoolSettings) -> Result<super::MysqlDatabase> {
        match self.settings.export {
            None => Ok(super::MysqlDatabase::of(self.settings.clone(), pool)),
            Some(_) => Err(Error::new(ErrorKind::Config, "a directory of exported files is no source")),
        }
    }

    /// A source of settings that were checked.
    #[cfg(feature = "inspect")]
    pub(super) fn of(settings: &MysqlSettings) -> Self {
        Self { settings: settings.clone() }
    }
}

/// What a server is called by itself, whoever asks.
async fn identities(session: &mut Session) -> Result<Vec<String>> {
    if !session.server.is_mariadb {
        let uuid: String = session.value("ask who the server is", "SELECT @@global.server_uuid").await?;
        return Ok(vec![uuid]);
    }
    let sql = "SELECT CONCAT_WS(':', @@global.hostname, @@global.port, @@global.datadir)";
    let place: String = session.value("ask who the server is", sql).await?;
    // Not every version has a name for itself.
    let sql = "SHOW GLOBAL VARIABLES LIKE 'server_uid'";
    let own: Vec<(String, String)> = session.rows("ask who the server is", sql).await?;
    Ok(std::iter::once(place).chain(own.into_iter().map(|(_, uid)| uid)).collect())
}

#[async_trait]
impl Connector for MysqlSource {
    fn engine(&self) -> Engine {
        Engine::MYSQL
    }

    fn describe(&self) -> String {
        let settings = &self.settings;
        if let Some(directory) = &settings.export {
            return directory.display().to_string();
        }
        let place = format!("mysql://{}@{}", settings.user, settings.address());
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
        let mut session = self.settings.open().await?;
        let servers = identities(&mut session).await?;
        let named = catalog::folded(&mut session, &self.settings.databases).await?;
        session.close().await;
        let mut identities = BTreeSet::new();
        for server in servers {
            if self.settings.databases.is_empty() {
                identities.insert(format!("server:{server}"));
            }
            identities.extend(named.iter().map(|name| format!("database:{server}:{name}")));
        }
        Ok(Fingerprint { engine: Engine::MYSQL, identities })
    }

    async fn test_connection(&self) -> Result<ConnectionReport> {
        let begun = Instant::now();
        let opened = self.settings.open().await;
        let mut report = ConnectionReport {
            status: ConnectionStatus::Connected,
            version: None,
            latency: begun.elapsed(),
            missing: Vec::new(),
            message: None,
        };
        match opened {
            Ok(session) => {
                report.version = Some(session.server.shown());
                session.close().await;
            }
            Err(error) => {
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
        preflight(&self.settings).await
    }

    async fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        let mut session = self.settings.open().await?;
        let found = catalog::databases(&mut session).await?;
        let named = catalog::folded(&mut session, &self.settings.databases).await?;
        session.close().await;
        let info = |(name, size): (String, u64)| DatabaseInfo { name, size, schema_version: None };
        if self.settings.databases.is_empty() {
            return Ok(found.into_iter().map(info).collect());
        }
        let one = |name: &String| {
            let row = found.iter().find(|(found, _)| found == name).cloned();
            let none =
                || Error::new(ErrorKind::NotFound, "the server has no such database").with("database", shown(name));
            row.map(info).ok_or_else(none)
        };
        named.iter().map(one).collect()
    }

    async fn estimate_size(&self) -> Result<u64> {
        Ok(self.databases().await?.iter().map(|database| database.size).sum())
    }

    async fn begin_dump(&self, request: &DumpRequest, run: &RunContext) -> Result<Box<dyn Dump>> {
        if self.settings.export.is_some() {
            return Err(Error::new(ErrorKind::Config, "a directory of exported files is no source"));
        }
        Ok(Box::new(MysqlDump::begin(&self.settings, request, run).await?))
    }

    async fn inspect_target(&self, request: &RestoreRequest) -> Result<TargetReport> {
        target::inspect(&self.settings, request).await
    }

    async fn begin_restore(&self, request: &RestoreRequest, run: &RunContext) -> Result<Box<dyn Restore>> {
        MysqlRestore::begin(&self.settings, request, run).await
    }
}
