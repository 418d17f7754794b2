//! What a MongoDB source or target is made from.

mod choices;

use std::path::PathBuf;
use std::time::Duration;

use kronos_core::{Error, Result, Secret, SourceSettings, nearest};

pub use self::choices::{Changes, Check, Method, Tls, TlsMode};
use crate::servers::options::{choice, config, port, seconds, switch};

use super::names;

/// Settings of a MongoDB source or target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MongodbSettings {
    /// Hosts with or without ports, or the one name of `mongodb+srv`.
    pub hosts: Vec<String>,
    /// Port of the hosts that are given without. Default 27017.
    pub port: u16,
    /// The hosts are found under the one name that is given.
    pub srv: bool,
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// The database of the user. Default `admin`.
    pub auth_database: Option<String>,
    /// How the user logs in: `SCRAM-SHA-256`, `SCRAM-SHA-1`, `MONGODB-X509`, `PLAIN`. Default: what
    /// the server likes best.
    pub auth_mechanism: Option<String>,
    /// The name that the replica set must have.
    pub replica_set: Option<String>,
    /// The one host is talked to alone, whatever replica set it belongs to.
    pub direct: Option<bool>,
    /// The databases chosen. Empty: all of the server but its own.
    pub databases: Vec<String>,
    /// How the connection is secured.
    pub tls: Tls,
    /// How documents are read.
    pub method: Method,
    /// Directories in which `mongodump` is looked for first.
    pub tools: Vec<PathBuf>,
    /// From where what is written during a backup is known.
    pub changes: Changes,
    /// What a restore looks at before it puts collections into place.
    pub check: Check,
    /// Bytes of a collection that are read into one stream, about. Default 64 MiB.
    pub range: u64,
    /// The target of an export: not a server, but a directory for plain files.
    pub export: Option<PathBuf>,
    /// How long a connection may take. Default 10 s.
    pub connect_timeout: Duration,
    /// How long documents are waited for before a connection counts as lost. Default 300 s.
    pub read_timeout: Duration,
    /// After how long without a word from it a restore counts as dead, and the next one to the same
    /// database settles what it left. Default 60 s.
    pub silence: Duration,
}

const OPTIONS: [&str; 18] = [
    "host",
    "port",
    "srv",
    "tls",
    "tls_ca",
    "tls_cert",
    "auth_database",
    "auth_mechanism",
    "replica_set",
    "direct",
    "method",
    "tools",
    "changes",
    "check",
    "export",
    "connect_timeout",
    "read_timeout",
    "silence",
];
/// What connection strings often say, and what is the same for Kronos whatever they say: it asks for
/// what it needs with each command.
const WITHOUT_EFFECT: [&str; 8] =
    ["retryWrites", "retryReads", "w", "journal", "wtimeoutMS", "appName", "maxPoolSize", "readConcernLevel"];

impl MongodbSettings {
    /// The defaults for a host.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            hosts: vec![host.into()],
            port: 27017,
            srv: false,
            user: None,
            password: None,
            auth_database: None,
            auth_mechanism: None,
            replica_set: None,
            direct: None,
            databases: Vec::new(),
            tls: Tls::default(),
            method: Method::default(),
            tools: Vec::new(),
            changes: Changes::default(),
            check: Check::default(),
            range: 64 << 20,
            export: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(5),
            silence: Duration::from_mins(1),
        }
    }

    /// Reads general settings. The host may be several with commas between. Options, and their names in
    /// MongoDB's connection strings: `host`, `port`, `srv` (`on`, `off`), `tls` (`off`, `require`,
    /// `verify-full`), `tls_ca` (`tlsCAFile`), `tls_cert` (`tlsCertificateKeyFile`: certificate and key),
    /// `auth_database` (`authSource`), `auth_mechanism` (`authMechanism`), `replica_set` (`replicaSet`),
    /// `direct` (`directConnection`), `method` (`native`, `tool`), `tools` (directories with colons
    /// between), `changes` (`auto`, `change-stream`, `oplog`, `none`), `check`
    /// (`bytes`, `count`), `connect_timeout`, `read_timeout` and `silence` (seconds), `export` (a
    /// directory).
    pub fn from_source(settings: &SourceSettings) -> Result<Self> {
        let mut read = Self::new("localhost");
        if let Some(hosts) = settings.host.as_deref().filter(|host| !host.is_empty()) {
            read.hosts = split(hosts);
        }
        read.port = settings.port.unwrap_or(read.port);
        read.user = settings.user.clone().filter(|user| !user.is_empty());
        read.password.clone_from(&settings.password);
        read.databases.clone_from(&settings.databases);
        for (key, value) in &settings.options {
            match key.as_str() {
                "host" => read.hosts = split(value),
                "port" => read.port = port(value)?,
                "srv" => read.srv = switch("srv", value)?,
                "tls" | "ssl" => read.tls.mode = Some(TlsMode::parse(value)?),
                "tls_ca" | "tlsCAFile" => read.tls.ca = Some(value.into()),
                "tls_cert" | "tlsCertificateKeyFile" => read.tls.certificate = Some(value.into()),
                "auth_database" | "authSource" => read.auth_database = Some(value.clone()),
                "auth_mechanism" | "authMechanism" => read.auth_mechanism = Some(value.clone()),
                "replica_set" | "replicaSet" => read.replica_set = Some(value.clone()),
                "direct" | "directConnection" => read.direct = Some(switch("direct", value)?),
                "changes" => {
                    let known = [
                        ("auto", Changes::Auto),
                        ("change-stream", Changes::ChangeStream),
                        ("oplog", Changes::Oplog),
                        ("none", Changes::None),
                    ];
                    read.changes = choice("changes", value, &known)?;
                }
                "check" => read.check = choice("check", value, &[("bytes", Check::Bytes), ("count", Check::Count)])?,
                "export" => read.export = Some(value.into()),
                "connect_timeout" => read.connect_timeout = seconds("connect_timeout", value)?,
                "read_timeout" => read.read_timeout = seconds("read_timeout", value)?,
                "silence" => read.silence = seconds("silence", value)?,
                "method" => {
                    read.method = choice("method", value, &[("native", Method::Native), ("tool", Method::Tool)])?;
                }
                "tools" => read.tools = std::env::split_paths(value).filter(|path| path.is_absolute()).collect(),
                _ if WITHOUT_EFFECT.contains(&key.as_str()) => {}
                _ => return Err(unknown(key)),
            }
        }
        Ok(read)
    }

    /// Checks everything that can be checked without touching network or files.
    pub(super) fn validate(&self) -> Result<()> {
        if self.export.is_some() {
            return Ok(());
        }
        if self.hosts.is_empty() || self.hosts.iter().any(String::is_empty) {
            return Err(config("a host is empty"));
        }
        if self.srv && (self.hosts.len() > 1 || self.hosts[0].contains(':')) {
            return Err(config("mongodb+srv takes one name without a port"));
        }
        if self.direct == Some(true) && self.hosts.len() > 1 {
            return Err(config("a direct connection is one to a single host").with("option", "direct"));
        }
        if self.password.is_some() && self.user.is_none() {
            return Err(
                config("no user is named").with("hint", "write the user and an @ before the host, or give `user`")
            );
        }
        let has_files = self.tls.ca.is_some() || self.tls.certificate.is_some();
        if self.tls.mode == Some(TlsMode::Disable) && has_files {
            return Err(config("certificates are given for a connection without TLS")
                .with("hint", "`tls = \"verify-full\"` uses them"));
        }
        for (place, name) in self.databases.iter().enumerate() {
            names::check(name)?;
            if names::is_of_server(name) {
                return Err(config("this database is the server's own").with("database", name));
            }
            if self.databases[..place].contains(name) {
                return Err(config("a database is named twice").with("database", name));
            }
        }
        Ok(())
    }

    /// How the connection is secured.
    pub(super) fn tls_mode(&self) -> TlsMode {
        let is_wanted = self.srv || self.tls.ca.is_some() || self.tls.certificate.is_some();
        self.tls.mode.unwrap_or(if is_wanted { TlsMode::VerifyFull } else { TlsMode::Disable })
    }

    /// The hosts for people.
    pub(super) fn address(&self) -> String {
        let with_port = |host: &String| {
            if self.srv || host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
                host.clone()
            } else {
                format!("{host}:{}", self.port)
            }
        };
        self.hosts.iter().map(with_port).collect::<Vec<_>>().join(",")
    }
}

fn split(hosts: &str) -> Vec<String> {
    hosts.split(',').map(|host| host.trim().to_owned()).collect()
}

fn unknown(key: &str) -> Error {
    let error = config("unknown option of a MongoDB source").with("option", key);
    match nearest(key, OPTIONS) {
        Some(near) => error.with("did you mean", near),
        None => error.with("known", OPTIONS.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(host: &str, options: &[(&str, &str)]) -> Result<MongodbSettings> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = SourceSettings { host: Some(host.to_owned()), options, ..SourceSettings::default() };
        let read = MongodbSettings::from_source(&settings)?;
        read.validate()?;
        Ok(read)
    }

    #[test]
    fn options_are_read_and_wrong_ones_named() {
        let found = read("a,b:27018", &[("tlsCAFile", "/ca"), ("replicaSet", "rs0"), ("changes", "oplog"), ("w", "1")]);
        let found = found.unwrap();
        assert_eq!((found.address().as_str(), found.tls_mode()), ("a:27017,b:27018", TlsMode::VerifyFull));
        assert_eq!((found.replica_set.as_deref(), found.changes), (Some("rs0"), Changes::Oplog));
        let meant = |options: &[(&str, &str)]| {
            read("a", options).unwrap_err().context("did you mean").map(str::to_owned).unwrap()
        };
        assert_eq!(meant(&[("authdatabase", "x")]), "auth_database");
        assert_eq!(meant(&[("changes", "opolog")]), "oplog");
        for bad in [&[("read_timeout", "0")][..], &[("method", "dump")], &[("tls", "off"), ("tls_ca", "/c")]] {
            assert_eq!(read("a", bad).unwrap_err().kind(), kronos_core::ErrorKind::Config, "{bad:?}");
        }
        assert!(read("a:1", &[("srv", "on")]).is_err() && read("a,b", &[("direct", "on")]).is_err());
        assert_eq!(read("cluster.example.org", &[("srv", "on")]).unwrap().tls_mode(), TlsMode::VerifyFull);
    }

    #[test]
    fn the_servers_own_databases_are_not_backed_up() {
        let mut settings = MongodbSettings::new("db");
        settings.databases = vec!["admin".to_owned()];
        assert!(settings.validate().is_err());
        settings.databases = vec!["a".to_owned(), "a".to_owned()];
        assert!(settings.validate().is_err());
    }
}
