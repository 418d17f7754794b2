//! Connections, and what is set in every session of Kronos.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use kronos_core::{Error, ErrorKind, Result, Retry};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{ClientIdentity, Conn, DriverError, OptsBuilder, SslOpts};

use super::error::{failed, silent};
use super::numbered::Numbered;
use super::settings::{MysqlSettings, TlsMode};
use super::watch::Watch;

/// The largest packet that the protocol can have.
const LARGEST: usize = 1 << 30;
/// The server may wait so long for Kronos, which may have to wait for a slow storage.
const PATIENCE: u32 = 604_800;

/// What every session of Kronos has for `sql_mode`: nothing is refused or changed that the server has
/// stored, be it a zero that counts or a 30th of February.
pub(super) const MODE: &str = "ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO";

/// How often a statement that changes the catalog is tried.
const ATTEMPTS: u32 = 5;

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    pub is_mariadb: bool,
    /// As in (10, 11, 4).
    pub version: (u32, u32, u32),
}

impl Server {
    pub(super) fn shown(self) -> String {
        let (major, minor, patch) = self.version;
        format!("{} {major}.{minor}.{patch}", self.name())
    }

    pub(super) fn name(self) -> &'static str {
        if self.is_mariadb { "MariaDB" } else { "MySQL" }
    }

    /// MariaDB, since a version.
    pub(super) fn is_mariadb_since(self, major: u32, minor: u32) -> bool {
        self.is_mariadb && (self.version.0, self.version.1) >= (major, minor)
    }

    /// MySQL, since a version.
    pub(super) fn is_mysql_since(self, major: u32, minor: u32) -> bool {
        !self.is_mariadb && (self.version.0, self.version.1) >= (major, minor)
    }

    /// Reads `8.0.36`, `10.11.4-MariaDB-1`, `5.5.5-10.6.12-MariaDB`.
    fn parse(text: &str) -> Option<Self> {
        let is_mariadb = text.contains("MariaDB");
        let text = if is_mariadb { text.strip_prefix("5.5.5-").unwrap_or(text) } else { text };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        Some(Self { is_mariadb, version: (next()?, next()?, next().unwrap_or_default()) })
    }
}

/// A connection, and what is known of the server behind it.
pub(super) struct Session {
    pub connection: Conn,
    pub server: Server,
    /// How long an answer is waited for.
    pub wait: Duration,
    pub watch: Watch,
    pub number: Numbered,
}

/// The driver would show the password.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.connection.id())
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl MysqlSettings {
    /// A connection with everything set, and no database chosen.
    pub(super) async fn open(&self) -> Result<Session> {
        let connection = self.connect().await?;
        let server = Server { is_mariadb: false, version: (0, 0, 0) };
        let watch = Watch::new(self, &connection);
        let number = Numbered::of(&connection);
        let mut session = Session { connection, server, wait: self.read_timeout, watch, number };
        let version: String = session.value("ask for the server's version", "SELECT VERSION()").await?;
        let strange = || {
            Error::new(ErrorKind::Unsupported, "the server tells no version that Kronos knows")
                .with("version", &version)
        };
        session.server = Server::parse(&version).ok_or_else(strange)?;
        let oldest = if session.server.is_mariadb { (10, 6) } else { (8, 0) };
        if (session.server.version.0, session.server.version.1) < oldest {
            return Err(Error::new(ErrorKind::Unsupported, "this version of the server is not supported")
                .with("version", session.server.shown())
                .with("hint", format!("{}.{} is the oldest that is", oldest.0, oldest.1)));
        }
        session.prepare(self.lock_timeout).await?;
        Ok(session)
    }

    pub(super) async fn connect(&self) -> Result<Conn> {
        let first = self.attempt(self.tls.mode != TlsMode::Disable).await;
        let connected = match first {
            Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
                if self.tls.mode == TlsMode::Prefer =>
            {
                self.attempt(false).await
            }
            done => done,
        };
        connected.map_err(|e| self.refused(e))
    }

    async fn attempt(&self, secure: bool) -> mysql_async::Result<Conn> {
        let late = || mysql_async::Error::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let once = || async {
            let connecting = Conn::new(self.options(secure));
            tokio::time::timeout(self.connect_timeout, connecting).await.map_err(|_| late())?
        };
        self.log_in(once).await
    }

    fn refused(&self, error: mysql_async::Error) -> Error {
        let is_late = matches!(&error, mysql_async::Error::Io(mysql_async::IoError::Io(io)) if io.kind() == std::io::ErrorKind::TimedOut);
        let error = if is_late {
            Error::new(ErrorKind::Timeout, "the server did not answer in time")
                .with("after", format!("{} s", self.connect_timeout.as_secs()))
                .with_retry(Retry::Later)
        } else {
            failed(error, "connect")
        };
        let error = error.with("server", self.address());
        match error.kind() {
            ErrorKind::Authentication if self.password.is_none() => error
                .with("hint", "no password was given: MYSQL_PWD, ~/.my.cnf, or `password_file` in the configuration"),
            _ => error,
        }
    }

    /// Ends a session of ours that may hang. That it is gone already is no matter.
    pub(super) async fn end(&self, former: Numbered) {
        let ended = async {
            let mut session = self.open().await?;
            if former.is_ours(&mut session.connection).await? {
                session.run("end a session", &format!("KILL CONNECTION {}", former.id)).await?;
            }
            session.close().await;
            Ok::<_, Error>(())
        };
        let _ = tokio::time::timeout(self.connect_timeout.max(self.read_timeout), ended).await;
    }

    /// Host and port, or the socket, for people.
    pub(super) fn address(&self) -> String {
        let place = self.place();
        match () {
            () if place.starts_with('/') => place,
            () if place.contains(':') => format!("[{place}]:{}", self.port),
            () => format!("{place}:{}", self.port),
        }
    }

    /// For connections of a pool, which keep statements prepared.
    #[cfg(feature = "inspect")]
    pub(super) fn pooled(&self, secure: bool) -> OptsBuilder {
        self.options(secure).stmt_cache_size(100)
    }

    fn options(&self, secure: bool) -> OptsBuilder {
        let place = self.place();
        let mut options = OptsBuilder::default()
            .user(Some(&self.user))
            .pass(self.password.as_ref().map(|password| password.expose().to_owned()))
            .prefer_socket(false)
            .tcp_port(self.port)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(Duration::from_mins(1)))
            .stmt_cache_size(0)
            .wait_timeout(Some(PATIENCE as usize))
            .max_allowed_packet(Some(LARGEST));
        if place.starts_with('/') {
            // The driver takes a host for TLS and such; a socket needs neither.
            return options.ip_or_hostname("localhost").socket(Some(place));
        }
        options = options.ip_or_hostname(place);
        if secure { options.ssl_opts(Some(self.tls_options())) } else { options }
    }

    fn tls_options(&self) -> SslOpts {
        let mode = self.tls.mode;
        let mut tls = SslOpts::default()
            .with_danger_accept_invalid_certs(matches!(mode, TlsMode::Prefer | TlsMode::Require))
            .with_danger_skip_domain_validation(mode != TlsMode::VerifyFull);
        if let Some(ca) = &self.tls.ca {
            tls = tls.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true);
        }
        if let (Some(certificate), Some(key)) = (&self.tls.certificate, &self.tls.key) {
            let file = |path: &PathBuf| path.clone().into();
            tls = tls.with_client_identity(Some(ClientIdentity::new(file(certificate), file(key))));
        }
        tls
    }
}

impl Session {
    /// What makes values come out the same everywhere and always: times in one zone, text in the
    /// bytes in which it is kept, `SHOW CREATE` in one form. And nothing that the server changes or
    /// refuses of what it has itself stored.
    async fn prepare(&mut self, lock_timeout: Duration) -> Result<()> {
        let what = "prepare the session";
        let lock = lock_timeout.as_secs().max(1);
        let common = format!(
            "SET SESSION sql_mode = '{MODE}', time_zone = '+00:00', \
                character_set_client = utf8mb4, character_set_connection = utf8mb4, character_set_results = NULL, \
                sql_quote_show_create = 1, sql_select_limit = DEFAULT, autocommit = 1, \
                foreign_key_checks = 0, unique_checks = 0, \
                net_write_timeout = {PATIENCE}, net_read_timeout = {PATIENCE}, wait_timeout = {PATIENCE}, \
                lock_wait_timeout = {lock}, innodb_lock_wait_timeout = {lock}, \
                transaction_isolation = 'REPEATABLE-READ'"
        );
        let common = if self.server.is_mariadb && !self.server.is_mariadb_since(11, 1) {
            common.replace("transaction_isolation", "tx_isolation")
        } else {
            common
        };
        self.run(what, &common).await?;
        let own = if self.server.is_mariadb {
            "SET SESSION max_statement_time = 0, idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, \
                check_constraint_checks = 0, sql_if_exists = 0, system_versioning_asof = DEFAULT"
        } else {
            "SET SESSION max_execution_time = 0"
        };
        self.run(what, own).await?;
        if !self.server.is_mariadb {
            // What is estimated of tables may be a day old otherwise.
            self.run(what, "SET SESSION information_schema_stats_expiry = 0").await?;
        }
        if !self.server.is_mariadb && self.server.version >= (8, 0, 30) {
            // Keys that the server has made by itself would be in no list.
            self.run(what, "SET SESSION show_gipk_in_create_table_and_information_schema = ON").await?;
        }
        self.verify().await
    }

    /// A proxy in between may keep settings to itself.
    async fn verify(&mut self) -> Result<()> {
        let sql = "SELECT CONCAT(@@session.time_zone, ' ', @@session.sql_mode, ' ', \
            COALESCE(@@session.character_set_results, 'NULL'), ' ', IF(@@session.autocommit, 1, 0))";
        let found: String = self.value("look at the session's settings", sql).await?;
        let mode: Vec<&str> = found.split(' ').nth(1).map_or_else(Vec::new, |mode| mode.split(',').collect());
        let is_whole = mode.len() == 2 && MODE.split(',').all(|word| mode.contains(&word));
        if is_whole && found.starts_with("+00:00 ") && found.ends_with(" NULL 1") {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "the server does not keep the session's settings")
            .with("found", found)
            .with("hint", "a proxy in between may be at fault; connect to the server itself"))
    }

    /// Runs one statement, and leaves its answer.
    pub(super) async fn run(&mut self, what: &'static str, sql: &str) -> Result<()> {
        self.run_bytes(what, sql.as_bytes()).await
    }

    /// Runs a statement that changes the catalog, again if it met another one there.
    pub(super) async fn change(&mut self, what: &'static str, sql: &str) -> Result<()> {
        let mut attempt = 1;
        loop {
            match self.run(what, sql).await {
                Err(error) if super::error::has_code(&error, &[1213]) && attempt < ATTEMPTS => attempt += 1,
                done => return done,
            }
        }
    }

    /// The same as [`run`](Self::run), of a statement that is not in UTF-8.
    pub(super) async fn run_bytes(&mut self, what: &'static str, sql: &[u8]) -> Result<()> {
        let asked = self.connection.query_drop(sql);
        let done = self.watch.attend(asked).await.map_err(|e| e.with("while", what))?;
        done.map_err(|e| failed(e, what))
    }

    /// The rows of a query.
    pub(super) async fn rows<T>(&mut self, what: &'static str, sql: &str) -> Result<Vec<T>>
    where
        T: FromRow + Send + Unpin + 'static,
    {
        let wait = self.wait;
        let read = async {
            let mut rows = Vec::new();
            let mut found = self.connection.query_stream::<mysql_async::Row, _>(sql).await?;
            while let Some(row) = found.next().await {
                let row = mysql_async::from_row_opt(row?);
                rows.push(row.map_err(|e| mysql_async::Error::from(DriverError::FromRow { row: e.0 }))?);
            }
            Ok(rows)
        };
        let read = tokio::time::timeout(wait, read).await.map_err(|_| silent(wait).with("while", what))?;
        read.map_err(|e| failed(e, what))
    }

    /// The only row of a query.
    pub(super) async fn row<T>(&mut self, what: &'static str, sql: &str) -> Result<T>
    where
        T: FromRow + Send + Unpin + 'static,
    {
        let none = || Error::new(ErrorKind::QueryFailed, "the server gave no row").with("while", what);
        self.rows(what, sql).await?.pop().ok_or_else(none)
    }

    /// The only value of a query.
    pub(super) async fn value<T>(&mut self, what: &'static str, sql: &str) -> Result<T>
    where
        T: mysql_async::prelude::FromValue + Send + Unpin + 'static,
    {
        let (value,): (T,) = self.row(what, sql).await?;
        Ok(value)
    }

    /// Ends the session. That it may be gone already is no matter.
    pub(super) async fn close(self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.connection.disconnect()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_servers_tell_them() {
        let parsed = |text| Server::parse(text).map(|server| (server.is_mariadb, server.version));
        assert_eq!(parsed("10.11.19-MariaDB-0+deb12u1-log"), Some((true, (10, 11, 19))));
        assert_eq!(parsed("5.5.5-10.6.12-MariaDB"), Some((true, (10, 6, 12))));
        assert_eq!(parsed("9.4.0"), Some((false, (9, 4, 0))));
        assert_eq!(parsed("8.0.36-0ubuntu0.22.04.1"), Some((false, (8, 0, 36))));
        assert_eq!(parsed("strange"), None);
    }
}
