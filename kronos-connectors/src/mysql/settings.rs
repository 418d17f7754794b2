//! What a MySQL or MariaDB source or target is made from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kronos_core::{Error, Result, Secret, SourceSettings, nearest};

use crate::servers::options::{choice, config, one_of, port, seconds, switch};

use super::names;

/// How rows are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// By Kronos, with several connections that see one state.
    #[default]
    Native,
    /// By `mysqldump` or `mariadb-dump`.
    Tool,
}

/// How the connection is secured; the modes of MySQL's own programs.
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
    const NAMES: [(&str, Self); 12] = [
        ("disable", Self::Disable),
        ("off", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
        ("on", Self::VerifyFull),
        ("disabled", Self::Disable),
        ("preferred", Self::Prefer),
        ("required", Self::Require),
        ("verify_ca", Self::VerifyCa),
        ("verify_identity", Self::VerifyFull),
    ];

    fn parse(text: &str) -> Result<Self> {
        match Self::NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
            Some((_, mode)) => Ok(*mode),
            None => Err(one_of("tls", text, Self::NAMES.map(|(name, _)| name))),
        }
    }
}

/// How the server is known, and Kronos to it. Files are PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// How the connection is secured.
    pub mode: TlsMode,
    /// Certificates of trusted authorities, instead of the public ones.
    pub ca: Option<PathBuf>,
    /// The certificate shown to the server.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// How several connections come to see one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::manual_non_exhaustive, reason = "the last one is for tests")]
pub enum Consistency {
    /// Commits are held back where the user may do that; else positions are compared (MySQL), or one
    /// connection reads everything.
    #[default]
    Auto,
    /// Commits are held back, or the backup fails.
    Lock,
    /// Nothing is held back: snapshots are opened again until all are of one position (MySQL), or there
    /// is but one (MariaDB).
    Positions,
    /// Nothing is done: for a test that has to see what this would lead to.
    #[doc(hidden)]
    Nothing,
}

/// What a restore looks at before it puts tables into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// Every row is read back, and must be what the backup holds, byte for byte.
    #[default]
    Bytes,
    /// The rows are counted.
    Count,
}

/// Settings of a MySQL or MariaDB source or target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MysqlSettings {
    /// A name, an address, or the path of a socket. Default: a socket in one of the usual places,
    /// else `localhost`.
    pub host: Option<String>,
    /// Port. Default 3306.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Option<Secret>,
    /// The databases chosen. Empty: all of the server but its own.
    pub databases: Vec<String>,
    /// How the connection is secured.
    pub tls: Tls,
    /// How rows are read and written.
    pub method: Method,
    /// How several connections come to see one state.
    pub consistency: Consistency,
    /// Whether tables that no snapshot can hold still make a backup fail. Default: they are named in
    /// a warning.
    pub strict: bool,
    /// Whether what a restore does goes into the target's binary log. Default: yes.
    pub binlog: bool,
    /// Whether a restore may use `LOAD DATA LOCAL`, where the server allows it. Default: yes.
    pub load: bool,
    /// What a restore looks at before it puts tables into place.
    pub check: Check,
    /// Directories in which the server's programs are looked for, before the usual ones.
    pub tools: Vec<PathBuf>,
    /// Bytes of a table that are read into one stream, about. Default 64 MiB.
    pub range: u64,
    /// How long a connection may take. Default 10 s.
    pub connect_timeout: Duration,
    /// How long it may take to hold commits back, while the server waits. Default 10 s.
    pub lock_timeout: Duration,
    /// How long rows are waited for before a connection counts as lost. Default 300 s.
    pub read_timeout: Duration,
    /// The target of an export: not a server, but a directory for plain files.
    pub export: Option<PathBuf>,
}

const OPTIONS: [&str; 21] = [
    "host",
    "socket",
    "port",
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "method",
    "consistency",
    "strict",
    "binlog",
    "load",
    "check",
    "tools",
    "connect_timeout",
    "lock_timeout",
    "read_timeout",
    "export",
    "ssl-mode",
    "ssl-ca",
    "ssl-cert",
];

impl MysqlSettings {
    /// The defaults for a user of a server.
    pub fn new(host: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            host: Some(host.into()),
            port: 3306,
            user: user.into(),
            password: None,
            databases: Vec::new(),
            tls: Tls::default(),
            method: Method::default(),
            consistency: Consistency::default(),
            strict: false,
            binlog: true,
            load: true,
            check: Check::default(),
            tools: Vec::new(),
            range: 64 << 20,
            connect_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(5),
            export: None,
        }
    }

    /// Reads general settings. Options: `host`, `socket` (a path), `port`, `tls` (`disable`,
    /// `prefer`, `require`, `verify-ca`, `verify-full`), `tls_ca`, `tls_cert`, `tls_key`, `method`
    /// (`native`, `tool`), `consistency` (`auto`, `lock`, `positions`), `strict`, `binlog` (`on`,
    /// `off`), `load` (`on`, `off`), `check` (`bytes`, `count`), `tools` (directories with colons between),
    /// `connect_timeout`, `lock_timeout` and `read_timeout` (seconds), `export` (a directory).
    pub fn from_source(settings: &SourceSettings) -> Result<Self> {
        let mut read = Self::new("", settings.user.clone().unwrap_or_default());
        read.host = settings.host.clone().filter(|host| !host.is_empty());
        read.port = settings.port.unwrap_or(read.port);
        read.password.clone_from(&settings.password);
        read.databases.clone_from(&settings.databases);
        let mut mode = None;
        for (key, value) in &settings.options {
            match key.as_str() {
                "host" | "socket" => read.host = Some(value.clone()),
                "port" => read.port = port(value)?,
                "tls" | "ssl-mode" => mode = Some(TlsMode::parse(value)?),
                "tls_ca" | "ssl-ca" => read.tls.ca = Some(value.into()),
                "tls_cert" | "ssl-cert" => read.tls.certificate = Some(value.into()),
                "tls_key" | "ssl-key" => read.tls.key = Some(value.into()),
                "method" => {
                    read.method = choice("method", value, &[("native", Method::Native), ("tool", Method::Tool)])?;
                }
                "consistency" => {
                    let known = [
                        ("auto", Consistency::Auto),
                        ("lock", Consistency::Lock),
                        ("positions", Consistency::Positions),
                    ];
                    read.consistency = choice("consistency", value, &known)?;
                }
                "load" => read.load = switch("load", value)?,
                "strict" => read.strict = switch("strict", value)?,
                "binlog" => read.binlog = switch("binlog", value)?,
                "check" => read.check = choice("check", value, &[("bytes", Check::Bytes), ("count", Check::Count)])?,
                "tools" => read.tools = std::env::split_paths(value).filter(|path| path.is_absolute()).collect(),
                "connect_timeout" => read.connect_timeout = seconds("connect_timeout", value)?,
                "lock_timeout" => read.lock_timeout = seconds("lock_timeout", value)?,
                "read_timeout" => read.read_timeout = seconds("read_timeout", value)?,
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
            return Err(
                config("no user is named").with("hint", "write the user and an @ before the host, or give `user`")
            );
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

    /// Where the server is: a host, or the path of its socket.
    pub(super) fn place(&self) -> String {
        if let Some(host) = &self.host {
            return host.clone();
        }
        let usual =
            ["/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"];
        let found = usual.iter().find(|socket| Path::new(socket).exists());
        found.map_or_else(|| "localhost".to_owned(), |socket| (*socket).to_owned())
    }
}

fn unknown(key: &str) -> Error {
    let error = config("unknown option of a MySQL source").with("option", key);
    match nearest(key, OPTIONS) {
        Some(near) => error.with("did you mean", near),
        None => error.with("known", OPTIONS.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<MysqlSettings> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = SourceSettings { user: Some("me".to_owned()), options, ..SourceSettings::default() };
        let read = MysqlSettings::from_source(&settings)?;
        read.validate()?;
        Ok(read)
    }

    #[test]
    fn options_are_read_and_wrong_ones_named() {
        let found = read(&[("tls_ca", "/ca"), ("lock_timeout", "3s"), ("check", "count"), ("strict", "on")]).unwrap();
        assert_eq!((found.tls.mode, found.lock_timeout), (TlsMode::VerifyFull, Duration::from_secs(3)));
        assert_eq!((found.check, found.strict, found.binlog), (Check::Count, true, true));
        assert_eq!(read(&[("ssl-mode", "VERIFY_IDENTITY")]).unwrap().tls.mode, TlsMode::VerifyFull);
        let meant = |options: &[(&str, &str)]| read(options).unwrap_err().context("did you mean").unwrap().to_owned();
        assert_eq!(meant(&[("metod", "tool")]), "method");
        assert_eq!(meant(&[("consistency", "position")]), "positions");
        for bad in [&[("lock_timeout", "0")][..], &[("tls_cert", "/c")], &[("tls", "off"), ("tls_ca", "/c")]] {
            assert_eq!(read(bad).unwrap_err().kind(), kronos_core::ErrorKind::Config, "{bad:?}");
        }
    }

    #[test]
    fn the_servers_own_databases_are_not_backed_up() {
        let mut settings = MysqlSettings::new("db", "me");
        settings.databases = vec!["mysql".to_owned()];
        assert!(settings.validate().is_err());
        settings.databases = vec!["a".to_owned(), "a".to_owned()];
        assert!(settings.validate().is_err());
    }
}
