//! The connector: what the engine asks of a source, answered for a MongoDB server.

use std::collections::BTreeSet;
use std::time::Instant;

use async_trait::async_trait;
use kronos_core::{
    Capabilities, ConnectionReport, ConnectionStatus, Connector, DatabaseInfo, Dump, DumpRequest, Engine, Error,
    ErrorKind, Fingerprint, Preflight, Restore, RestoreRequest, Result, RunContext, SourceSettings, TargetReport,
};
use mongodb::bson::doc;

use super::catalog;
use super::connect::{Kind, Server};
use super::dump::MongodbDump;
use super::error::if_allowed;
use super::preflight::preflight;
use super::restore::MongodbRestore;
use super::settings::MongodbSettings;
use super::target;

/// Databases of one MongoDB server, replica set or sharded cluster: one backup.
#[derive(Debug, Clone)]
pub struct MongodbSource {
    settings: MongodbSettings,
}

impl MongodbSource {
    /// Makes a source, or the target of a restore; connects to nothing.
    pub fn new(settings: MongodbSettings) -> Result<Self> {
        settings.validate()?;
        Ok(Self { settings })
    }

    /// The same from general settings; see [`MongodbSettings::from_source`].
    pub fn from_source(settings: &SourceSettings) -> Result<Self> {
        Self::new(MongodbSettings::from_source(settings)?)
    }

    /// Looks into the server, by connections of its own.
    #[cfg(feature = "inspect")]
    pub fn database(&self, pool: kronos_core::inspect::PoolSettings) -> Result<super::MongodbDatabase> {
        match self.settings.export {
            None => Ok(super::MongodbDatabase::of(self.settings.clone(), pool)),
            Some(_) => Err(Error::new(ErrorKind::Config, "a directory of exported files is no source")),
        }
    }

    /// A source of settings that were checked.
    #[cfg(feature = "inspect")]
    pub(super) fn of(settings: &MongodbSettings) -> Self {
        Self { settings: settings.clone() }
    }

    /// What a server is called by itself, whoever asks, and whichever member of a set is asked.
    async fn identities(&self, server: &Server) -> Result<Vec<String>> {
        let mut found: Vec<String> = match &server.kind {
            Kind::Standalone => vec![self.settings.address()],
            Kind::Mongos => {
                let ask = doc! { "find": "version", "limit": 1, "singleBatch": true };
                let version = if_allowed(server.list("config", "ask who the cluster is", ask).await)?;
                let id =
                    version.unwrap_or_default().first().and_then(|version| version.get_object_id("clusterId").ok());
                id.map_or_else(|| vec![self.settings.address()], |id| vec![format!("cluster {id}")])
            }
            Kind::ReplicaSet(name) => server.members.iter().map(|member| format!("{name}/{member}")).collect(),
        };
        if let Kind::ReplicaSet(_) = &server.kind {
            let config = server.command("admin", "ask who the replica set is", doc! { "replSetGetConfig": 1 }).await;
            let config = if_allowed(config)?.unwrap_or_default();
            let id = config.get_document("config").and_then(|config| config.get_document("settings"));
            if let Ok(id) = id.and_then(|settings| settings.get_object_id("replicaSetId")) {
                found.push(format!("set {id}"));
            }
        }
        if found.is_empty() {
            found.push(self.settings.address());
        }
        Ok(found)
    }
}

#[async_trait]
impl Connector for MongodbSource {
    fn engine(&self) -> Engine {
        Engine::MONGODB
    }

    fn describe(&self) -> String {
        let settings = &self.settings;
        if let Some(directory) = &settings.export {
            return directory.display().to_string();
        }
        let scheme = if settings.srv { "mongodb+srv" } else { "mongodb" };
        let user = settings.user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
        let place = format!("{scheme}://{user}{}", settings.address());
        match settings.databases.as_slice() {
            [] => place,
            [one] => format!("{place}/{one}"),
            several => format!("{place} ({})", several.join(", ")),
        }
    }

    fn default_job(&self) -> String {
        match (self.settings.databases.as_slice(), self.settings.hosts.first()) {
            ([one], _) => one.clone(),
            (_, Some(host)) if !host.is_empty() => host.clone(),
            _ => "mongodb".to_owned(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_increments().with_parallel()
    }

    fn validate(&self) -> Result<()> {
        self.settings.validate()
    }

    async fn fingerprint(&self) -> Result<Fingerprint> {
        let server = self.settings.open().await?;
        let servers = self.identities(&server).await?;
        server.close().await;
        let mut identities = BTreeSet::new();
        for server in servers {
            if self.settings.databases.is_empty() {
                identities.insert(format!("server:{server}"));
            }
            identities.extend(self.settings.databases.iter().map(|name| format!("database:{server}:{name}")));
        }
        Ok(Fingerprint { engine: Engine::MONGODB, identities })
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
            Ok(server) => {
                report.version = Some(server.shown());
                server.close().await;
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
        let server = self.settings.open().await?;
        let found: Vec<String> = catalog::databases(&server).await?.into_iter().map(|(name, _)| name).collect();
        let wanted = if self.settings.databases.is_empty() { &found } else { &self.settings.databases };
        let mut databases = Vec::new();
        for name in wanted {
            if !found.contains(name) {
                return Err(Error::new(ErrorKind::NotFound, "the server has no such database").with("database", name));
            }
            let size = catalog::size(&server, name).await?;
            databases.push(DatabaseInfo { name: name.clone(), size, schema_version: None });
        }
        server.close().await;
        Ok(databases)
    }

    async fn estimate_size(&self) -> Result<u64> {
        Ok(self.databases().await?.iter().map(|database| database.size).sum())
    }

    async fn begin_dump(&self, request: &DumpRequest, run: &RunContext) -> Result<Box<dyn Dump>> {
        if self.settings.export.is_some() {
            return Err(Error::new(ErrorKind::Config, "a directory of exported files is no source"));
        }
        Ok(Box::new(MongodbDump::begin(&self.settings, request, run).await?))
    }

    async fn inspect_target(&self, request: &RestoreRequest) -> Result<TargetReport> {
        target::inspect(&self.settings, request).await
    }

    async fn begin_restore(&self, request: &RestoreRequest, run: &RunContext) -> Result<Box<dyn Restore>> {
        MongodbRestore::begin(&self.settings, request, run).await
    }
}
