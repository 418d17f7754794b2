//! What a PostgreSQL source or target is made from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kronos_core::{Error, Result, Secret, SourceSettings, nearest};

use crate::servers::options::{choice, config, one_of, port, seconds, switch};

use super::names;

/// How rows are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// By Kronos, with several connections that share one snapshot.
    #[default]
    Native,
    /// By `pg_dump -Fc` and `pg_restore`.
    Tool,
}

/// How the connection is secured; the modes of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// Not at all.
    Disable,
    /// If the server can. Whoever sits in between can prevent it.
    #[default]
    Prefer,
    /// Always, with anyone.
    Require,
    /// Always, with a server whose certificate a trusted authority has signed.
    VerifyCa,
    /// The same, and the certificate is for the host's name.
    VerifyFull,
}

impl TlsMode {
    const NAMES: [(&str, Self); 7] = [
        ("disable", Self::Disable),
        ("off", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
        ("on", Self::VerifyFull),
    ];

    fn parse(text: &str) -> Result<Self> {
        match Self::NAMES.iter().find(|(name, _)| *name == text) {
            Some((_, mode)) => Ok(*mode),
            None => Err(one_of("tls", text, Self::NAMES.map(|(name, _)| name))),
        }
    }

    /// As libpq calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// How the server is known, and Kronos to it. Files are PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// How the connection is secured.
    pub mode: TlsMode,
    /// Certificates of trusted authorities, beside the system's.
    pub ca: Option<PathBuf>,
    /// The certificate shown to the server.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Settings of a PostgreSQL source or target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresSettings {
    /// A name, an address, or the directory of a socket. Default: a socket in one of the usual
    /// directories, else `localhost`.
    pub host: Option<String>,
    /// Port. Default 5432.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Option<Secret>,
    /// The databases chosen. Empty: all of the server that the user may open.
    pub databases: Vec<String>,
    /// How the connection is secured.
    pub tls: Tls,
    /// How rows are read and written.
    pub method: Method,
    /// Directories in which `pg_dump` and the others are looked for, before the usual ones.
    pub tools: Vec<PathBuf>,
    /// Where a restore puts a schema for `pg_restore`. Default: the system's directory for such files.
    pub spool_dir: Option<PathBuf>,
    /// The database from which others are made and renamed. Default `postgres`.
    pub maintenance_database: String,
    /// How long a connection may take. Default 10 s.
    pub connect_timeout: Duration,
    /// How long a lock on a table is waited for. Default 60 s.
    pub lock_timeout: Duration,
    /// How long rows are waited for before a connection counts as lost. Default 300 s.
    pub read_timeout: Duration,
    /// Whether tablespaces are kept by a restore. Default: yes.
    pub tablespaces: bool,
    /// The target of an export: not a server, but a directory for plain files.
    pub export: Option<PathBuf>,
}

const OPTIONS: [&str; 17] = [
    "host",
    "port",
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "method",
    "tools",
    "spool_dir",
    "maintenance_database",
    "connect_timeout",
    "lock_timeout",
    "read_timeout",
    "tablespaces",
    "export",
    "sslmode",
    "sslrootcert",
];

impl PostgresSettings {
    /// The defaults for a user of a server.
    pub fn new(host: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            host: Some(host.into()),
            port: 5432,
            user: user.into(),
            password: None,
            databases: Vec::new(),
            tls: Tls::default(),
            method: Method::default(),
            tools: Vec::new(),
            spool_dir: None,
            maintenance_database: "postgres".to_owned(),
            connect_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_mins(1),
            read_timeout: Duration::from_mins(5),
            tablespaces: true,
            export: None,
        }
    }

    /// Reads general settings. Options: `host` (a socket's directory), `port`, `tls` (`disable`, `prefer`,
    /// `require`, `verify-ca`, `verify-full`), `tls_ca`, `tls_cert`, `tls_key`, `method` (`native`,
    /// `tool`), `tools` (directories with colons between), `spool_dir`, `maintenance_database`,
    /// `connect_timeout`, `lock_timeout` and `read_timeout` (seconds), `tablespaces` (`on`, `off`), `export` (a directory).
    pub fn from_source(settings: &SourceSettings) -> Result<Self> {
        let mut read = Self::new("", settings.user.clone().unwrap_or_default());
        read.host = settings.host.clone().filter(|host| !host.is_empty());
        read.port = settings.port.unwrap_or(read.port);
        read.password.clone_from(&settings.password);
        read.databases.clone_from(&settings.databases);
        let mut mode = None;
        for (key, value) in &settings.options {
            match key.as_str() {
                "host" => read.host = Some(value.clone()),
                "port" => read.port = port(value)?,
                "tls" | "sslmode" => mode = Some(TlsMode::parse(value)?),
                "tls_ca" | "sslrootcert" => read.tls.ca = Some(value.into()),
                "tls_cert" => read.tls.certificate = Some(value.into()),
                "tls_key" => read.tls.key = Some(value.into()),
                "method" => {
                    read.method = choice("method", value, &[("native", Method::Native), ("tool", Method::Tool)])?;
                }
                "tools" => read.tools = std::env::split_paths(value).filter(|path| path.is_absolute()).collect(),
                "spool_dir" => read.spool_dir = Some(value.into()),
                "maintenance_database" => read.maintenance_database.clone_from(value),
                "connect_timeout" => read.connect_timeout = seconds("connect_timeout", value)?,
                "lock_timeout" => read.lock_timeout = seconds("lock_timeout", value)?,
                "read_timeout" => read.read_timeout = seconds("read_timeout", value)?,
                "tablespaces" => read.tablespaces = switch("tablespaces", value)?,
                "export" => read.export = Some(value.into()),
                _ => return Err(unknown(key)),
            }
        }
        // Who names an authority wants to be sure.
        let default = if read.tls.ca.is_some() { TlsMode::VerifyFull } else { TlsMode::default() };
        read.tls.mode = mode.unwrap_or(default);
        Ok(read)
    }

    /// Checks everything that can be checked without touching network or files.
    pub(super) fn validate(&self) -> Result<()> {
        if self.export.is_some() {
            return Ok(());
        }
        if self.user.is_empty() {
            return Err(config("no user is named").with("hint", "write postgres://USER@HOST/DATABASE"));
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err(config("a client's certificate and its key belong together")
                .with("hint", "give both `tls_cert` and `tls_key`"));
        }
        let has_files = self.tls.ca.is_some() || self.tls.certificate.is_some();
        if self.tls.mode == TlsMode::Disable && has_files {
            return Err(config("certificates are given for a connection without TLS")
                .with("hint", "`tls = \"verify-full\"` uses them"));
        }
        names::check(&self.maintenance_database)?;
        for (place, name) in self.databases.iter().enumerate() {
            names::check(name)?;
            if self.databases[..place].contains(name) {
                return Err(config("a database is named twice").with("database", name));
            }
        }
        Ok(())
    }

    /// Where the server is: a host, or the directory of its socket.
    pub(super) fn place(&self) -> String {
        if let Some(host) = &self.host {
            return host.clone();
        }
        let socket = format!(".s.PGSQL.{}", self.port);
        let usual = ["/var/run/postgresql", "/run/postgresql", "/tmp"];
        let found = usual.iter().find(|directory| Path::new(directory).join(&socket).exists());
        found.map_or_else(|| "localhost".to_owned(), |directory| (*directory).to_owned())
    }
}

fn unknown(key: &str) -> Error {
    let error = config("unknown option of a PostgreSQL source").with("option", key);
    match nearest(key, OPTIONS) {
        Some(near) => error.with("did you mean", near),
        None => error.with("known", OPTIONS.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<PostgresSettings> {
        let settings = SourceSettings {
            host: Some("db".to_owned()),
            user: Some("me".to_owned()),
            options: options.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            ..SourceSettings::default()
        };
        PostgresSettings::from_source(&settings).and_then(|read| read.validate().map(|()| read))
    }

    #[test]
    fn who_names_an_authority_gets_the_strictest_mode() {
        assert_eq!(read(&[]).unwrap().tls.mode, TlsMode::Prefer);
        assert_eq!(read(&[("tls_ca", "/ca.pem")]).unwrap().tls.mode, TlsMode::VerifyFull);
        assert_eq!(read(&[("tls_ca", "/ca.pem"), ("tls", "verify-ca")]).unwrap().tls.mode, TlsMode::VerifyCa);
    }

    #[test]
    fn bad_settings_are_told_with_what_was_meant() {
        let meant = |options: &[(&str, &str)]| {
            read(options).unwrap_err().context("did you mean").map(str::to_owned).unwrap_or_default()
        };
        assert_eq!(meant(&[("tls", "verify_full")]), "verify-full");
        assert_eq!(meant(&[("metod", "tool")]), "method");
        assert_eq!(meant(&[("method", "native ")]), "native");
        for bad in [&[("lock_timeout", "0")][..], &[("tls_cert", "/c")], &[("tls", "off"), ("tls_ca", "/c")]] {
            assert_eq!(read(bad).unwrap_err().kind(), kronos_core::ErrorKind::Config, "{bad:?}");
        }
        let mut twice = PostgresSettings::new("db", "me");
        twice.databases = vec!["a".to_owned(), "a".to_owned()];
        assert!(twice.validate().is_err());
    }
}
